//! Cellpose models: normalization, tiles, and cells from the flows that the model answers.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures::TryStreamExt as _;
use ndarray::{Array2, Array3, Array4, ArrayD, ArrayView4, Axis, Ix4};

use super::cells::check_values;
use super::tiled_inference::{Answer, Model, answers};
use crate::compute;
use cell_analysis::cellpose::{Cellpose, Network, NetworkTiles, TileJoiner, normalize_channels};

/// How a Cellpose model is given an image, and what becomes of its flows.
#[derive(Clone, Debug)]
pub struct CellFlows {
    /// What the model wants.
    pub network: Network,
    /// How flows become cells. How many steps there are follows from the diameter.
    pub options: Cellpose,
}

impl CellFlows {
    /// Labels `[row, column]` of an image `[channel, row, column]`, whose cells have this diameter in pixels; without one, it
    /// is not scaled.
    ///
    /// # Errors
    ///
    /// Values that are not finite, a diameter that leaves no pixels, a model that answers no flows, and what [`Model`] fails
    /// with.
    pub async fn segment(
        &self,
        model: &Model,
        image: Array3<f32>,
        diameter: Option<f64>,
    ) -> anyhow::Result<Array2<u32>> {
        let (_, rows, columns) = image.dim();
        let tiles = NetworkTiles::new(&self.network, [rows, columns], diameter)?;
        self.check(model, &tiles)?;
        let cut = tiles.clone();
        let scaled = compute::run(move || {
            check_values(image.view().insert_axis(Axis(0)))?;
            anyhow::Ok(cut.scaled(normalize_channels(image).view()))
        });
        let scaled = Arc::new(scaled.await?);
        let batch = {
            let tiles = tiles.clone();
            move |range: Range<usize>| cut_tiles(&tiles, &scaled, range)
        };
        let answers = answers(model, tiles.len(), model.batch_size(), batch);
        let mut answers = std::pin::pin!(answers);
        let mut joiner = TileJoiner::new(&tiles);
        while let Some(answer) = answers.try_next().await? {
            let [_, rows, columns] = tiles.tile_shape();
            joiner =
                compute::run(move || added(joiner, &answer.into_arrays(), [rows, columns])).await?;
        }
        let options = Cellpose {
            steps: tiles.steps(),
            ..self.options.clone()
        };
        let labels = compute::run(move || options.segment(joiner.finish().view())).await?;
        Ok(labels)
    }

    /// Refuses a model that takes other tiles than the network.
    fn check(&self, model: &Model, tiles: &NetworkTiles) -> anyhow::Result<()> {
        let [_, _, _, channels] = model.input_shape();
        let wanted = self.network.channels;
        ensure!(
            channels < 0 || usize::try_from(channels) == Ok(wanted),
            "the model takes {channels} channels, a Cellpose network {wanted}: see CELLPOSE_NETWORK"
        );
        let [_, rows, columns] = tiles.tile_shape();
        let sides = model.fixed_tile().into_iter().zip([rows, columns]);
        for (fixed, found) in sides {
            let fixed = fixed.unwrap_or(found);
            ensure!(
                fixed == found,
                "the model takes tiles of {fixed} pixels a side, and this image would go in tiles of {rows} x {columns}: \
                 set CELLPOSE_TILE_SIZE={fixed}, or save the model for any size, since small images have small tiles"
            );
        }
        Ok(())
    }
}

/// Some tiles, `[tile, row, column, channel]`.
fn cut_tiles(tiles: &NetworkTiles, scaled: &Array3<f32>, range: Range<usize>) -> Array4<f32> {
    let [channels, rows, columns] = tiles.tile_shape();
    let mut batch = Array4::zeros((range.len(), rows, columns, channels));
    for (mut to, index) in batch.outer_iter_mut().zip(range) {
        let to = to.view_mut().permuted_axes([2, 0, 1]);
        tiles.copy_tile(scaled.view(), index, to);
    }
    batch
}

/// The heads of the tiles of an answer, joined to those before.
fn added(
    mut joiner: TileJoiner,
    answer: &Answer<ArrayD<f32>>,
    [rows, columns]: [usize; 2],
) -> anyhow::Result<TileJoiner> {
    let heads = flows(answer, [rows, columns])?;
    for (index, heads) in answer.tiles.clone().zip(heads.axis_iter(Axis(0))) {
        joiner.add(index, heads.permuted_axes([2, 0, 1]));
    }
    Ok(joiner)
}

/// The output `[tile, row, column, 3]` of an answer: models of Cellpose answer a vector of styles, too.
fn flows(
    answer: &Answer<ArrayD<f32>>,
    [rows, columns]: [usize; 2],
) -> anyhow::Result<ArrayView4<'_, f32>> {
    let mut images = answer
        .outputs
        .iter()
        .filter_map(|output| output.view().into_dimensionality::<Ix4>().ok());
    let found = images.find(|image| image.shape()[1..] == [rows, columns, 3]);
    found.with_context(|| {
        let shapes = answer
            .outputs
            .iter()
            .map(|output| format!("{:?}", output.shape()));
        format!(
            "a Cellpose model answers three heads, [tile, {rows}, {columns}, 3]; this one {}",
            shapes.collect::<Vec<_>>().join(", ")
        )
    })
}
