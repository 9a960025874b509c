//! Segmentation of single cells in culture: nuclei and cytoplasm, the successors of the `DeepCell` applications.
//!
//! Numerics: histogram normalisation, tiles with reflected borders, two heads (distance to the cell's centre and
//! interior), deep watershed; see Greenwald et al. 2022 and Bannon et al. 2021 for the models.

use std::sync::Arc;

use ndarray::{Array4, ArrayView4, Axis};

use super::tiled::{Head, Heads, Model, Tiles, run_tiled};
use crate::analysis::{
    DeepWatershed, PadMode, Tiling, histogram_normalization, resize_image, resize_labels, resized_shape,
};
use crate::compute;
use crate::failure::InvalidInput;

/// More tiles than this are never sent in one request.
const LARGEST_BATCH: usize = 32;
const MAXIMA_AND_INTERIOR: Heads = Heads::Only(&[Head { output: 0, channel: 0 }, Head { output: -1, channel: 0 }]);

/// A kind of segmentation: what its models were trained on and how their answers are read.
#[derive(Clone, Debug)]
pub struct Application {
    /// Micrometres per pixel of the training images.
    pub model_mpp: f64,
    /// What surrounds the image where tiles reach over its sides.
    pub pad: PadMode,
    /// How the heads become labels.
    pub watershed: DeepWatershed,
}

impl Application {
    /// Nuclei.
    pub fn nuclear() -> Self {
        Self { model_mpp: 0.65, pad: PadMode::Reflect, watershed: DeepWatershed::nuclear() }
    }

    /// Whole cells in one channel, stained or in phase contrast.
    pub fn cytoplasm() -> Self {
        Self { model_mpp: 0.65, pad: PadMode::Reflect, watershed: DeepWatershed::cytoplasm() }
    }

    /// Labels of the cells of `image`, `[batch, row, column, 1]`, 0 for the background; numbers restart in each batch item.
    ///
    /// The image has `image_mpp` micrometres per pixel. Unless the model has the same, the image is resized for it, and the
    /// labels are resized back.
    ///
    /// # Errors
    ///
    /// Values that are not finite, a size of zero after scaling, and whatever the model server answers but heads.
    pub async fn segment(&self, model: &Model, image: Array4<f32>, image_mpp: f64) -> anyhow::Result<Array4<u32>> {
        let original = [image.dim().1, image.dim().2];
        let size = self.model_size(original, image_mpp)?;
        let prepared = Arc::new(compute::run(move || prepare(image, size)).await?);
        let tiles = self.tiles(model, &prepared);
        let heads = run_tiled(model, Arc::clone(&prepared), tiles, MAXIMA_AND_INTERIOR).await?;
        drop(prepared);
        let watershed = self.watershed.clone();
        compute::run(move || label_cells(&heads, &watershed, original)).await
    }

    /// Rows and columns for the model, if they are not the image's.
    fn model_size(&self, size: [usize; 2], image_mpp: f64) -> Result<Option<[usize; 2]>, InvalidInput> {
        let resized = resized_shape(size, image_mpp, self.model_mpp);
        if resized.is_some_and(|resized| resized.contains(&0)) {
            let ([rows, columns], factor) = (size, image_mpp / self.model_mpp);
            return Err(InvalidInput(format!(
                "a scale of {factor} leaves nothing of an image of {columns} x {rows} pixels"
            )));
        }
        Ok(resized)
    }

    fn tiles(&self, model: &Model, image: &Array4<f32>) -> Tiles {
        let shape: [usize; 4] = image.dim().into();
        let tiling = Arc::new(Tiling::new(shape, model.tile_shape(shape), self.pad));
        Tiles { tiling, batch_size: model.batch_size().min(LARGEST_BATCH) }
    }
}

/// Refuses pixels that no arithmetic can use, rather than let them spread over the whole plane.
pub(super) fn check_values(image: ArrayView4<'_, f32>) -> Result<(), InvalidInput> {
    let (mut lo, mut hi) = (f32::INFINITY, f32::NEG_INFINITY);
    let mut finite = true;
    for &value in image {
        finite &= value.is_finite();
        lo = lo.min(value);
        hi = hi.max(value);
    }
    if !finite {
        return Err(InvalidInput("the image has pixels that are not finite numbers (NaN or infinite)".to_owned()));
    }
    if !(hi - lo).is_finite() {
        return Err(InvalidInput(format!("the image's range from {lo:e} to {hi:e} is too wide for 32-bit floats")));
    }
    Ok(())
}

fn prepare(image: Array4<f32>, size: Option<[usize; 2]>) -> anyhow::Result<Array4<f32>> {
    check_values(image.view())?;
    let image = match size {
        Some(size) => resize_image(image.view(), size),
        None => image,
    };
    Ok(histogram_normalization(image, None))
}

fn label_cells(heads: &[Array4<f32>], watershed: &DeepWatershed, original: [usize; 2]) -> anyhow::Result<Array4<u32>> {
    let plane = |head: &Array4<f32>| head.index_axis(Axis(3), 0).to_owned();
    let (maxima, interior) = (plane(&heads[0]), plane(&heads[1]));
    let labels = watershed.segment(maxima.view(), interior.view())?.insert_axis(Axis(3));
    let resized = (labels.dim().1, labels.dim().2) != original.into();
    Ok(if resized { resize_labels(labels.view(), original) } else { labels })
}
