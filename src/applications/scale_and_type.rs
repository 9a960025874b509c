//! Scale and type of an image, as a model sees them (off unless switched on).

use std::sync::Arc;

use anyhow::{bail, ensure};
use futures::TryStreamExt as _;
use ndarray::Array4;

use super::cells::check_values;
use super::tiled_inference::{Model, Tiles, answers_to_tiles};
use crate::compute;
use cell_analysis::segmentation::PadMode;

/// A scale closer to 1 than this is taken as 1.
const NEGLIGIBLE: f64 = 0.01;

/// The factor by which the image should be resized: the mean of the model's one number per tile; 1 if within 1 % of it.
pub async fn scale(model: &Model, image: impl Into<Arc<Array4<f32>>>) -> anyhow::Result<f64> {
    let scores = tile_scores(model, image.into()).await?;
    ensure!(
        scores.iter().all(|tile| tile.len() == 1),
        "a scale model answers one number per tile"
    );
    let sum: f64 = scores.iter().map(|tile| f64::from(tile[0])).sum();
    let mean = sum / scores.len() as f64;
    Ok(round_scale(mean))
}

/// A measured scale, with those close to 1 taken as 1.
pub fn round_scale(mean: f64) -> f64 {
    if (mean - 1.0).abs() < NEGLIGIBLE {
        1.0
    } else {
        mean
    }
}

/// The number of the image's type (the model `LabelDetection` knows 0 nuclear, 1 phase, 2 cytoplasm): the class with the
/// highest score summed over all tiles, the first of equals.
pub async fn image_type(
    model: &Model,
    image: impl Into<Arc<Array4<f32>>>,
) -> anyhow::Result<usize> {
    let scores = tile_scores(model, image.into()).await?;
    let classes = scores.first().map_or(0, Vec::len);
    ensure!(
        classes > 0 && scores.iter().all(|tile| tile.len() == classes),
        "a model of image types answers scores per tile"
    );
    let mut sums = vec![0.0_f64; classes];
    for tile in &scores {
        sums.iter_mut()
            .zip(tile)
            .for_each(|(sum, &score)| *sum += f64::from(score));
    }
    let best = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Ok(sums.iter().position(|&sum| sum == best).unwrap_or(0))
}

async fn tile_scores(model: &Model, image: Arc<Array4<f32>>) -> anyhow::Result<Vec<Vec<f32>>> {
    let checked = Arc::clone(&image);
    compute::run(move || check_values(checked.view())).await?;
    let tiles = Tiles::of(model, image.dim().into(), PadMode::Constant);
    let mut answers = std::pin::pin!(answers_to_tiles(model, image, tiles));
    let mut scores = Vec::new();
    while let Some(answer) = answers.try_next().await? {
        let answer = answer.into_arrays();
        let [output] = answer.outputs.as_slice() else {
            let count = answer.outputs.len();
            bail!("a model that judges images has one output, this one has {count}");
        };
        let tiles = output.outer_iter();
        scores.extend(tiles.map(|tile| tile.iter().copied().collect::<Vec<_>>()));
    }
    Ok(scores)
}
