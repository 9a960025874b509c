//! A model that the job names, with functions chosen by name, as consumers 0.3 to 0.8 worked.
//!
//! The whole image goes through: resized (nearest neighbour), prepared, tiled with zeros around, and the model's heads
//! made into labels or left as they are.

use std::sync::Arc;

use anyhow::{bail, ensure};
use ndarray::{Array3, Array4, ArrayView3, Axis, concatenate};

use super::cells::check_values;
use super::tiled::{Heads, Model, Tiles, run_tiled};
use crate::analysis::{
    DeepWatershed, MesmerPreprocess, PadMode, Tiling, histogram_normalization, legacy,
    mesmer_preprocess, normalize, resize_nearest,
};
use crate::error_class::{InvalidInput, Unsupported};

/// Functions of older consumers that nobody described well enough to repeat their results.
const NOT_OFFERED: [&str; 4] = [
    "retinanet",
    "retinanet-semantic",
    "multiplex",
    "deep_watershed_subcellular",
];

/// Score that the interior class exceeds, and pixels that an object has at least, for `pixelwise`.
const PIXELWISE_THRESHOLD: f64 = 0.8;
const PIXELWISE_MIN_SIZE: usize = 50;

/// A function that prepares the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pre {
    /// Zero mean and unit variance in each channel.
    Normalize,
    /// Contrast-limited histogram equalisation of each channel.
    HistogramNormalization,
    /// The brightest pixels of each channel cut off, then equalisation.
    Mesmer,
}

/// A function that makes labels of the model's heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// Watershed of the second head from the peaks of the first.
    DeepWatershed,
    /// Watershed of the most likely classes of the only head.
    Watershed,
    /// Connected components of the interior class of the only head.
    Pixelwise,
    /// Interior of the only head, grown inside its edges.
    Mibi,
    /// Whole cells and nuclei of four heads.
    Multiplex,
}

/// The functions of a job, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Functions {
    /// Before the model.
    pub pre: Vec<Pre>,
    /// After it.
    pub post: Vec<Post>,
}

impl Functions {
    /// Reads two lists of names, separated by commas; an empty name and `none` do nothing.
    ///
    /// # Errors
    ///
    /// A name that is not known, or not built yet.
    pub fn parse(pre: &str, post: &str) -> Result<Self, Unsupported> {
        let pre = names(pre).map(|name| match name.as_str() {
            "normalize" => Ok(Pre::Normalize),
            "histogram_normalization" => Ok(Pre::HistogramNormalization),
            "multiplex_preprocess" => Ok(Pre::Mesmer),
            _ => Err(unknown(
                "preprocess",
                &name,
                "normalize, histogram_normalization, multiplex_preprocess, none",
            )),
        });
        let post = names(post).map(|name| match name.as_str() {
            "deep_watershed" => Ok(Post::DeepWatershed),
            "watershed" => Ok(Post::Watershed),
            "pixelwise" | "deepcell" => Ok(Post::Pixelwise),
            "mibi" => Ok(Post::Mibi),
            "multiplex_postprocess_consumer" => Ok(Post::Multiplex),
            _ => Err(unknown("postprocess", &name, POSTPROCESS_NAMES)),
        });
        Ok(Self {
            pre: pre.collect::<Result<_, _>>()?,
            post: post.collect::<Result<_, _>>()?,
        })
    }
}

const POSTPROCESS_NAMES: &str =
    "deep_watershed, watershed, pixelwise, deepcell, mibi, multiplex_postprocess_consumer, none";

fn names(list: &str) -> impl Iterator<Item = String> {
    list.split(',')
        .map(|name| name.trim().to_lowercase())
        .filter(|name| !name.is_empty() && name != "none")
}

fn unknown(kind: &str, name: &str, known: &str) -> Unsupported {
    let what = if NOT_OFFERED.contains(&name) {
        "is not offered by this consumer"
    } else {
        "is not known"
    };
    Unsupported(format!(
        "{kind} function `{name}` {what}; available: {known}"
    ))
}

/// An image made ready for the model.
#[derive(Debug)]
pub struct Prepared {
    /// `[1, row, column, channel]`.
    pub pixels: Arc<Array4<f32>>,
    /// Rows and columns of the image as it came.
    pub original: [usize; 2],
}

/// The image resized by `scale` and passed through the functions.
///
/// # Errors
///
/// More than one batch item, values that are not finite, and a size of zero after scaling.
pub fn prepare(image: Array4<f32>, scale: f64, functions: &[Pre]) -> anyhow::Result<Prepared> {
    check_values(image.view())?;
    let (batch, rows, columns, _) = image.dim();
    ensure!(
        batch == 1,
        InvalidInput(format!(
            "a job that names its model takes one image, this file holds {batch}"
        ))
    );
    let size = [rows, columns].map(|n| (n as f64 * scale).round_ties_even() as usize);
    let too_small = InvalidInput(format!(
        "scale {scale} leaves nothing of an image of {columns} x {rows} pixels"
    ));
    ensure!(size.iter().all(|&n| n > 0), too_small);
    let resized = if size == [rows, columns] {
        image
    } else {
        resize_nearest(image.view(), size)
    };
    let pixels = functions
        .iter()
        .fold(resized, |image, function| match function {
            Pre::Normalize => normalize(image),
            Pre::HistogramNormalization => histogram_normalization(image, None),
            Pre::Mesmer => mesmer_preprocess(image, &MesmerPreprocess::default()),
        });
    Ok(Prepared {
        pixels: Arc::new(pixels),
        original: [rows, columns],
    })
}

/// All heads of the model for a prepared image, each `[1, row, column, channel]`.
pub async fn predict(model: &Model, pixels: Arc<Array4<f32>>) -> anyhow::Result<Vec<Array4<f32>>> {
    let shape: [usize; 4] = pixels.dim().into();
    let tiling = Arc::new(Tiling::new(
        shape,
        model.tile_shape(shape),
        PadMode::Constant,
    ));
    let tiles = Tiles {
        tiling,
        batch_size: model.batch_size(),
    };
    run_tiled(model, pixels, tiles, Heads::All).await
}

/// The heads passed through the functions and resized to the original image: `[row, column, feature]`.
///
/// # Errors
///
/// A function that needs other heads than the model has.
pub fn finish(
    heads: Vec<Array4<f32>>,
    functions: &[Post],
    original: [usize; 2],
) -> anyhow::Result<Array3<f32>> {
    let heads = functions.iter().try_fold(heads, |heads, function| {
        apply(*function, &heads).map(|labels| vec![labels])
    })?;
    let views: Vec<_> = heads.iter().map(|array| array.view()).collect();
    let joined = concatenate(Axis(3), &views)?;
    let resized = if [joined.dim().1, joined.dim().2] == original {
        joined
    } else {
        resize_nearest(joined.view(), original)
    };
    Ok(resized.index_axis_move(Axis(0), 0))
}

fn apply(function: Post, heads: &[Array4<f32>]) -> anyhow::Result<Array4<f32>> {
    let labels = match function {
        Post::DeepWatershed => {
            let [maxima, interior, ..] = heads else {
                bail!(
                    "function `deep_watershed` needs a model with two outputs, this one has {}",
                    heads.len()
                );
            };
            let plane = |head: &Array4<f32>| head.index_axis(Axis(3), 0).to_owned();
            legacy::LegacyDeepWatershed::default()
                .segment(plane(maxima).view(), plane(interior).view())?
        }
        Post::Watershed => {
            let scores = only_head(heads, "watershed")?;
            legacy::ClassWatershed::new(legacy::Era::SkImage016)
                .segment(scores)
                .insert_axis(Axis(0))
        }
        Post::Pixelwise => {
            let scores = only_head(heads, "pixelwise")?;
            let classes = scores.dim().2;
            ensure!(
                classes >= 2,
                "function `pixelwise` needs a model with two classes or more, this one has {classes}"
            );
            let interior = scores.index_axis(Axis(2), classes - 2);
            legacy::pixelwise(interior, PIXELWISE_THRESHOLD, PIXELWISE_MIN_SIZE)
                .insert_axis(Axis(0))
        }
        Post::Mibi => {
            let scores = only_head(heads, "mibi")?;
            let classes = scores.dim().2;
            ensure!(
                classes >= 2,
                "function `mibi` needs a model with two classes or more, this one has {classes}"
            );
            legacy::mibi(scores).insert_axis(Axis(0))
        }
        Post::Multiplex => return multiplex(heads),
    };
    Ok(labels.mapv(|label| label as f32).insert_axis(Axis(3)))
}

/// Whole cells and nuclei, a channel each, with the parameters of consumer 0.8.
fn multiplex(heads: &[Array4<f32>]) -> anyhow::Result<Array4<f32>> {
    let [
        whole_maxima,
        whole_interior,
        nuclear_maxima,
        nuclear_interior,
    ] = heads
    else {
        let count = heads.len();
        bail!(
            "function `multiplex_postprocess_consumer` needs a model with four outputs, this one has {count}"
        );
    };
    let whole_cell = DeepWatershed {
        maxima_threshold: 0.1,
        interior_threshold: 0.3,
        ..DeepWatershed::mesmer_nuclear()
    };
    let nuclear = DeepWatershed {
        interior_threshold: 0.6,
        interior_smooth: 0.0,
        ..whole_cell.clone()
    };
    let segment = |watershed: DeepWatershed,
                   maxima: &Array4<f32>,
                   interior: &Array4<f32>|
     -> anyhow::Result<_> {
        let classes = interior.dim().3;
        ensure!(
            classes >= 2,
            "function `multiplex_postprocess_consumer` needs two classes or more, there are {classes}"
        );
        Ok(watershed.segment(
            maxima.index_axis(Axis(3), 0).to_owned(),
            interior.index_axis(Axis(3), 1).to_owned(),
        )?)
    };
    let whole_cell = segment(whole_cell, whole_maxima, whole_interior)?;
    let nuclear = segment(nuclear, nuclear_maxima, nuclear_interior)?;
    Ok(ndarray::stack(Axis(3), &[whole_cell.view(), nuclear.view()])?.mapv(|label| label as f32))
}

/// Class scores `[row, column, class]` of a model with one output.
fn only_head<'h>(heads: &'h [Array4<f32>], function: &str) -> anyhow::Result<ArrayView3<'h, f32>> {
    let [head] = heads else {
        bail!(
            "function `{function}` needs a model with one output, this one has {}",
            heads.len()
        );
    };
    Ok(head.index_axis(Axis(0), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_functions_keep_their_order_and_forgive_blanks() {
        let functions =
            Functions::parse("Normalize, ,histogram_normalization", "none").expect("all are known");
        assert_eq!(functions.pre, [Pre::Normalize, Pre::HistogramNormalization]);
        assert_eq!(functions.post, []);
    }

    #[test]
    fn a_function_that_is_not_offered_is_refused_by_name() {
        let error = Functions::parse("", "retinanet").expect_err("its results are not described");
        assert!(
            error.to_string().contains("`retinanet` is not offered"),
            "{error}"
        );
        let error = Functions::parse("sharpen", "").expect_err("nobody knows it");
        assert!(
            error.to_string().contains("`sharpen` is not known"),
            "{error}"
        );
    }

    #[test]
    fn multiplex_gives_whole_cells_and_nuclei() {
        let bump = |height: f32| {
            Array4::from_shape_fn((1, 30, 30, 1), move |(_, row, column, _)| {
                let distance = (row as f32 - 15.0).hypot(column as f32 - 15.0) / 8.0;
                (height * (1.0 - distance)).max(0.0)
            })
        };
        let classes = |interior: Array4<f32>| {
            concatenate(Axis(3), &[bump(0.0).view(), interior.view()]).expect("planes")
        };
        let heads = vec![bump(1.0), classes(bump(1.0)), bump(1.0), classes(bump(1.0))];
        let features = finish(heads, &[Post::Multiplex], [30, 30]).expect("four heads");
        let pixels = |feature: usize| {
            features
                .index_axis(Axis(2), feature)
                .iter()
                .filter(|&&label| label == 1.0)
                .count()
        };
        assert!(
            pixels(0) > pixels(1) && pixels(1) >= 15,
            "{} and {}",
            pixels(0),
            pixels(1)
        );
        let refused = finish(vec![bump(1.0)], &[Post::Multiplex], [30, 30]).expect_err("one head");
        assert!(
            refused.to_string().contains("four outputs, this one has 1"),
            "{refused}"
        );
    }

    #[test]
    fn without_functions_every_channel_of_every_head_is_a_feature() {
        let heads = vec![
            Array4::from_elem((1, 2, 3, 1), 1.0),
            Array4::from_elem((1, 2, 3, 2), 2.0),
        ];
        let features = finish(heads, &[], [2, 3]).expect("nothing can fail");
        assert_eq!(features.dim(), (2, 3, 3));
        assert_eq!(features[[1, 2, 0]], 1.0);
        assert_eq!(features[[1, 2, 2]], 2.0);
    }
}
