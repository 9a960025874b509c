//! Detection of single-molecule spots: a model that scores every pixel, together with the steps it was trained with.
//!
//! Numerics: stretched planes, tiles with a margin, two heads (how probable a spot is, and where in the pixel it lies), peaks;
//! see Laubscher et al., "Accurate single-molecule spot detection for image-based spatial transcriptomics with weakly
//! supervised deep learning", 2024.

use std::sync::Arc;

use anyhow::Context as _;
use ndarray::{Array4, ArrayView2, ArrayView3, Axis};

use super::cells::check_values;
use super::tiled_inference::{Head, Heads, Model, Tiles, run_tiled};
use crate::compute;
use crate::error_class::InvalidInput;
use crate::serving;
use cell_analysis::segmentation::PadMode;
pub use cell_analysis::spots::{Contrast, SpotPeaks};
use cell_analysis::spots::{SpotHeads, labels_at, min_max_normalize};

/// The model's outputs in the order of their names: `classification` and `offset_regression`.
const SCORES: Head = Head {
    output: 0,
    channel: 1,
};
const ROW_OFFSETS: Head = Head {
    output: 1,
    channel: 0,
};
const COLUMN_OFFSETS: Head = Head {
    output: 1,
    channel: 1,
};

/// How spots are found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpotDetection {
    /// Which pixels are spots.
    pub peaks: SpotPeaks,
    /// How planes are stretched.
    pub contrast: Contrast,
}

impl SpotDetection {
    /// Whether spots can be found this way; meant for the start of a program.
    ///
    /// # Errors
    ///
    /// A threshold outside of 0 to 1.
    pub fn check(&self) -> Result<(), &'static str> {
        if (0.0..=1.0).contains(&self.peaks.threshold) {
            Ok(())
        } else {
            Err("Threshold value must be between 0 and 1.")
        }
    }

    /// The spots of every item of `image`, `[batch, row, column, channel]`: points `[row, column]` in pixels, the most
    /// probable first. A plane of one value has none.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] for pixels that are not finite and for another number of channels than the model's; anything else
    /// for a wrong threshold and whatever the model server answers but heads.
    pub async fn detect(
        &self,
        model: &Model,
        image: impl Into<Arc<Array4<f32>>>,
    ) -> anyhow::Result<Vec<Vec<[f64; 2]>>> {
        self.check().map_err(anyhow::Error::msg)?;
        let image = image.into();
        let (wanted, channels) = (model.input_shape()[3], image.dim().3);
        // A model may leave it open.
        if wanted >= 0 && i64::try_from(channels) != Ok(wanted) {
            let text = format!(
                "Input data must have {wanted} channels. Input data only has {channels} channels"
            );
            return Err(InvalidInput(text).into());
        }
        let contrast = self.contrast;
        let prepared = compute::run(move || {
            check_values(image.view())?;
            Ok::<_, InvalidInput>(min_max_normalize(Arc::unwrap_or_clone(image), contrast))
        });
        let heads = predict(model, Arc::new(prepared.await?)).await?;
        let heads = <[_; 3]>::try_from(heads).ok();
        let [scores, row_offsets, column_offsets] = heads.context("expected three heads")?;
        let peaks = self.peaks;
        Ok(compute::run(move || find(&scores, &row_offsets, &column_offsets, peaks)).await)
    }
}

/// The cells under `points` in the labels `[row, column, kind]` of an image, for each kind of cell a list in the order of
/// the points: both kinds if there are exactly two, else the first alone.
///
/// # Errors
///
/// A point beyond the image.
pub fn cells_of_spots(
    points: &[[f64; 2]],
    labels: ArrayView3<'_, f32>,
) -> Result<Vec<Vec<i64>>, InvalidInput> {
    let kinds = if labels.dim().2 == 2 { 2 } else { 1 };
    labels
        .axis_iter(Axis(2))
        .take(kinds)
        .map(|plane| cells_at(points, plane))
        .collect()
}

fn cells_at(points: &[[f64; 2]], plane: ArrayView2<'_, f32>) -> Result<Vec<i64>, InvalidInput> {
    let labels: Vec<f32> =
        labels_at(points, plane).map_err(|error| InvalidInput(error.to_string()))?;
    Ok(labels.into_iter().map(|label| label as i64).collect())
}

/// Scores, row offsets and column offsets, each `[batch, row, column, 1]`.
///
/// An image that is smaller than a tile in one direction goes to the model as a whole, padded in both directions by what it
/// differs. A model that takes nothing but its own size refuses that where the other direction is larger; then the image is
/// tiled in that direction.
async fn predict(model: &Model, image: Arc<Array4<f32>>) -> anyhow::Result<Vec<Array4<f32>>> {
    let (batches, rows, columns, channels) = image.dim();
    let shape = [batches, rows, columns, channels];
    let tile = model.tile_shape(shape);
    let is_small = rows < tile[0] || columns < tile[1];
    let whole = [
        rows + rows.abs_diff(tile[0]),
        columns + columns.abs_diff(tile[1]),
    ];
    let first = if is_small { whole } else { tile };
    match predict_tiles(model, Arc::clone(&image), first).await {
        Err(error) if first != tile && is_refusal(&error) => {
            predict_tiles(model, image, tile).await
        }
        answer => answer,
    }
}

async fn predict_tiles(
    model: &Model,
    image: Arc<Array4<f32>>,
    tile: [usize; 2],
) -> anyhow::Result<Vec<Array4<f32>>> {
    let tiles = Tiles::sized(model, image.dim().into(), tile, PadMode::Reflect);
    let heads = Heads::Only {
        wanted: vec![SCORES, ROW_OFFSETS, COLUMN_OFFSETS],
        outputs: Some(2),
    };
    run_tiled(model, image, tiles, heads).await
}

fn is_refusal(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(serving::Error::is_refusal)
}

/// The spots of each item of a batch.
fn find(
    scores: &Array4<f32>,
    row_offsets: &Array4<f32>,
    column_offsets: &Array4<f32>,
    peaks: SpotPeaks,
) -> Vec<Vec<[f64; 2]>> {
    (0..scores.dim().0)
        .map(|item| {
            peaks.find(&SpotHeads {
                scores: plane(scores, item),
                row_offsets: plane(row_offsets, item),
                column_offsets: plane(column_offsets, item),
            })
        })
        .collect()
}

/// The only channel of an item, `[row, column]`.
fn plane(head: &Array4<f32>, item: usize) -> ArrayView2<'_, f32> {
    head.index_axis(Axis(0), item).index_axis_move(Axis(2), 0)
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;
    use crate::serving::{Input, ModelId, ModelServer};

    /// A model of tiles of 8 x 8 pixels and nothing else, which takes the brightness for the score.
    async fn model() -> (ModelServer, Model) {
        let id = ModelId::new("Spots", 1);
        let output = |name| Input::float(name, &[-1, 8, 8, 2]);
        let run = |inputs: &[(String, ArrayD<f32>)]| {
            let scores = &inputs[0].1;
            let classes = ndarray::concatenate(Axis(3), &[scores.view(), scores.view()])
                .map_err(|e| e.to_string())?;
            let offsets = ArrayD::zeros(classes.raw_dim());
            Ok(vec![
                ("classification".to_owned(), classes),
                ("offset_regression".to_owned(), offsets),
            ])
        };
        let served = serving::Model {
            id: id.clone(),
            inputs: vec![Input::float("image", &[-1, 8, 8, 1])],
            outputs: vec![output("classification"), output("offset_regression")],
            run: Arc::new(run),
        };
        let server = ModelServer::start(0, vec![served])
            .await
            .expect("a free port");
        let client = server.client();
        let model = Model::load(&client, &id).await.expect("it is served");
        (server, model)
    }

    #[tokio::test]
    async fn an_image_of_odd_sides_is_tiled_for_a_model_that_takes_only_its_own() {
        let (_server, model) = model().await;
        let mut image = Array4::zeros((1, 5, 30, 1));
        image[[0, 2, 20, 0]] = 1.0;
        let spots = SpotDetection::default()
            .detect(&model, image)
            .await
            .expect("both sides are served");
        assert_eq!(spots, [[[2.0, 20.0]]]);
    }

    #[tokio::test]
    async fn what_no_spot_can_be_found_in_is_refused() {
        let (_server, model) = model().await;
        let detection = SpotDetection::default();
        let two_channels = detection
            .detect(&model, Array4::zeros((1, 8, 8, 2)))
            .await
            .expect_err("one is wanted");
        assert!(
            two_channels.to_string().contains("must have 1 channels"),
            "{two_channels}"
        );
        let nan = detection
            .detect(&model, Array4::from_elem((1, 8, 8, 1), f32::NAN))
            .await
            .expect_err("not finite");
        assert!(nan.is::<InvalidInput>(), "{nan}");
        let peaks = SpotPeaks {
            threshold: 1.5,
            ..SpotPeaks::default()
        };
        assert!(
            SpotDetection { peaks, ..detection }
                .detect(&model, Array4::zeros((1, 8, 8, 1)))
                .await
                .is_err()
        );
        let blank = detection
            .detect(&model, Array4::zeros((2, 8, 8, 1)))
            .await
            .expect("a plane of one value is fine");
        assert_eq!(blank, [[[0.0; 2]; 0], []]);
    }
}
