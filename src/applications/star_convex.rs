//! StarDist models: normalization, tiles that overlap, and polygons that are suppressed over the whole image at once.
//!
//! Tiles leave no seams: of each only the part counts whose surroundings the model has seen, and only candidates are kept of
//! it, so that the heads of a large image are never all in memory.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use futures::TryStreamExt as _;
use ndarray::{Array4, ArrayD, ArrayView4, Axis, Ix4, Slice};

use super::cells::{check_values, shrinks_to_nothing};
use super::overlapping::{MULTIPLE, Window, Windows};
use super::tiled_inference::{Answer, Model, answers};
use crate::compute;
use cell_analysis::segmentation::resize_image;
use cell_analysis::stardist::{
    Candidates, PercentileNormalization, StarDist, StarHeads, StarInstances, pad_to_multiple,
};

/// How a StarDist model is given an image, and what becomes of its answer.
#[derive(Clone, Debug)]
pub struct StarConvex {
    /// Thresholds and margin. The grid is that of the model.
    pub options: StarDist,
    /// What happens to values before.
    pub normalization: PercentileNormalization,
    /// Side of tiles for a model that takes any size, in pixels.
    pub tile: usize,
    /// Pixels around the part of a tile that counts; without it, an eighth of the tile.
    pub halo: Option<usize>,
}

impl StarConvex {
    /// Labels and polygons of an image `[1, row, column, channel]`, which is resized by `scale` before the model sees it.
    ///
    /// # Errors
    ///
    /// Values that are not finite, a size of zero after scaling, a model that is none of StarDist, and what [`Model`] fails
    /// with.
    pub async fn segment(
        &self,
        model: &Model,
        image: Array4<f32>,
        scale: f64,
    ) -> anyhow::Result<StarInstances> {
        let (_, rows, columns, _) = image.dim();
        let original = [rows, columns];
        let plan = self.clone();
        let tile = model.fixed_tile();
        let cut = compute::run(move || plan.prepare(image, scale, tile)).await?;
        let seen = cut.size;
        let cut = Arc::new(cut);
        let batch = {
            let cut = Arc::clone(&cut);
            move |tiles: Range<usize>| cut.windows.cut(cut.image.view(), tiles)
        };
        let batches = answers(model, cut.windows.len(), model.batch_size(), batch);
        let mut batches = std::pin::pin!(batches);
        let mut candidates: Option<Candidates> = None;
        while let Some(answer) = batches.try_next().await? {
            let (so_far, cut, options) =
                (candidates.take(), Arc::clone(&cut), self.options.clone());
            let work = move || cut.add(so_far, &options, &answer.into_arrays());
            candidates = Some(compute::run(work).await?);
        }
        let candidates = candidates.context("the image has no tiles")?;
        compute::run(move || {
            let factors = [0, 1].map(|axis| original[axis] as f64 / seen[axis] as f64);
            let mut polygons = candidates.suppress()?;
            if seen != original {
                polygons = polygons.rescaled(factors);
            }
            let labels = polygons.labels(original, f32::NEG_INFINITY);
            Ok(StarInstances { labels, polygons })
        })
        .await
    }

    /// The image as the model sees it, and where it is cut.
    fn prepare(
        &self,
        image: Array4<f32>,
        scale: f64,
        fixed: [Option<usize>; 2],
    ) -> anyhow::Result<Cut> {
        check_values(image.view())?;
        let (_, rows, columns, _) = image.dim();
        let size = [rows, columns].map(|length| (length as f64 * scale).round() as usize);
        ensure!(
            size.iter().all(|length| *length > 0),
            shrinks_to_nothing(scale, [rows, columns])
        );
        let image = if size == [rows, columns] {
            image
        } else {
            resize_image(image.view(), size)
        };
        let image = self.normalization.normalize(image);
        let padded = pad_to_multiple(image.view(), Windows::multiple(size, fixed));
        let tile = fixed.map(|fixed| fixed.unwrap_or(self.tile));
        let halo = |tile: usize| self.halo.unwrap_or(tile / 8);
        let windows = Windows::new([padded.dim().1, padded.dim().2], tile, halo);
        Ok(Cut {
            image: padded,
            size,
            windows,
        })
    }
}

/// An image that is ready for the model, and its tiles.
struct Cut {
    /// Padded, `[1, row, column, channel]`.
    image: Array4<f32>,
    /// Rows and columns before it was padded.
    size: [usize; 2],
    windows: Windows,
}

impl Cut {
    /// The candidates so far and those of the tiles of an answer.
    fn add(
        &self,
        so_far: Option<Candidates>,
        options: &StarDist,
        answer: &Answer<ArrayD<f32>>,
    ) -> anyhow::Result<Candidates> {
        let heads = Heads::of(&answer.outputs)?;
        let grid = self.grid(&heads)?;
        let mut candidates = match so_far {
            Some(candidates) => candidates,
            None => {
                let options = StarDist {
                    grid,
                    ..options.clone()
                };
                let (_, rows, columns, _) = self.image.dim();
                options.candidates(self.size, [rows / grid[0], columns / grid[1]])?
            }
        };
        for (place, tile) in answer.tiles.clone().enumerate() {
            let [down, across] = self.windows.of(tile);
            let cells = |window: &Window, grid: usize| {
                let core =
                    window.core.start - window.shown.start..window.core.end - window.shown.start;
                Slice::from(core.start / grid..core.end / grid)
            };
            let (rows, columns) = (cells(down, grid[0]), cells(across, grid[1]));
            let probabilities = heads.probabilities.index_axis(Axis(0), place);
            let probabilities = probabilities.index_axis_move(Axis(2), 0);
            let distances = heads.distances.index_axis(Axis(0), place);
            let heads = StarHeads {
                probabilities: probabilities
                    .slice_axis_move(Axis(0), rows)
                    .slice_axis_move(Axis(1), columns),
                distances: distances
                    .slice_axis_move(Axis(0), rows)
                    .slice_axis_move(Axis(1), columns),
            };
            let offset = [down.core.start / grid[0], across.core.start / grid[1]];
            candidates.add(&heads, offset)?;
        }
        Ok(candidates)
    }

    /// Pixels of the image for each cell of the heads.
    fn grid(&self, heads: &Heads<'_>) -> anyhow::Result<[usize; 2]> {
        let cells = [1, 2].map(|axis| heads.probabilities.len_of(Axis(axis)));
        let pixels = self.windows.tile_shape();
        let fits = |axis: usize| {
            cells[axis] > 0 && pixels[axis].is_multiple_of(cells[axis]) && {
                MULTIPLE.is_multiple_of(pixels[axis] / cells[axis])
            }
        };
        ensure!(
            fits(0) && fits(1),
            "the model answered {cells:?} cells for a tile of {pixels:?} pixels, which is no grid of StarDist"
        );
        Ok([0, 1].map(|axis| pixels[axis] / cells[axis]))
    }
}

/// Heads of a batch of tiles, `[tile, row, column, channel]`.
struct Heads<'a> {
    probabilities: ArrayView4<'a, f32>,
    distances: ArrayView4<'a, f32>,
}

impl<'a> Heads<'a> {
    /// The heads among the outputs of a model: one output of a probability and distances, as packages have it, or the output
    /// of one channel and the one of most channels. Classes, if there are any, are left out.
    fn of(outputs: &'a [ArrayD<f32>]) -> anyhow::Result<Self> {
        let images = outputs
            .iter()
            .map(|output| output.view().into_dimensionality::<Ix4>());
        let images = images.collect::<Result<Vec<_>, _>>();
        let images = images.context("a StarDist model answers [batch, row, column, channel]")?;
        let (probabilities, distances) = match images.as_slice() {
            [joined] if joined.len_of(Axis(3)) > 3 => joined.split_at(Axis(3), 1),
            several => {
                let single = several.iter().find(|image| image.len_of(Axis(3)) == 1);
                let most = several.iter().max_by_key(|image| image.len_of(Axis(3)));
                match (single, most) {
                    (Some(single), Some(most)) if most.len_of(Axis(3)) >= 3 => (*single, *most),
                    _ => bail!(
                        "a StarDist model answers a probability and three distances or more, this one {}",
                        shapes(outputs)
                    ),
                }
            }
        };
        ensure!(
            probabilities.shape()[..3] == distances.shape()[..3],
            "the heads of the model have different sizes: {}",
            shapes(outputs)
        );
        Ok(Self {
            probabilities,
            distances,
        })
    }
}

fn shapes(outputs: &[ArrayD<f32>]) -> String {
    let shapes = outputs.iter().map(|output| format!("{:?}", output.shape()));
    shapes.collect::<Vec<_>>().join(", ")
}
