//! A model that the job names, with functions chosen by name, as consumers 0.3 to 0.8 worked.
//!
//! The whole image goes through: resized (nearest neighbor), prepared, tiled with zeros around, and the model's heads
//! made into labels or left as they are.

use std::sync::Arc;

use anyhow::{bail, ensure};
use ndarray::{Array3, Array4, ArrayView3, Axis, concatenate};

use super::cells::{check_values, shrinks_to_nothing};
use super::tiled_inference::{Heads, Model, Tiles, run_tiled};
use crate::error_class::{InvalidInput, Unsupported};
use cell_analysis::legacy;
use cell_analysis::segmentation::{
    DeepWatershed, MesmerPreprocess, PadMode, histogram_normalization, mesmer_preprocess,
    normalize, resize_nearest,
};

/// Functions of older consumers whose results cannot be reproduced from their documentation.
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
pub enum PreprocessFn {
    /// Zero mean and unit variance in each channel.
    Normalize,
    /// Contrast-limited histogram equalization of each channel.
    HistogramNormalization,
    /// The brightest pixels of each channel cut off, then equalization.
    Mesmer,
}

/// A function that makes labels of the model's heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostprocessFn {
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
    /// Star-convex polygons of a model of StarDist, which brings its own preparation: no other function goes with it.
    StarDist,
}

/// The functions of a job, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pipeline {
    /// Before the model.
    pub preprocess: Vec<PreprocessFn>,
    /// After it.
    pub postprocess: Vec<PostprocessFn>,
}

impl Pipeline {
    /// Reads two lists of names, separated by commas; an empty name and `none` do nothing.
    ///
    /// # Errors
    ///
    /// A name that is not known, or not built yet.
    pub fn parse(preprocess: &str, postprocess: &str) -> Result<Self, Unsupported> {
        let pipeline = Self {
            preprocess: names(preprocess)
                .map(|name| PreprocessFn::named(&name))
                .collect::<Result<_, _>>()?,
            postprocess: names(postprocess)
                .map(|name| PostprocessFn::named(&name))
                .collect::<Result<_, _>>()?,
        };
        let has_stars = pipeline.postprocess.contains(&PostprocessFn::StarDist);
        if has_stars && !pipeline.is_star_convex() {
            let text = "postprocess function `stardist` does all that its models need: name no other function";
            return Err(Unsupported(text.to_owned()));
        }
        Ok(pipeline)
    }

    /// Whether all that is done is what a model of StarDist needs.
    pub fn is_star_convex(&self) -> bool {
        self.preprocess.is_empty() && self.postprocess == [PostprocessFn::StarDist]
    }
}

const PREPROCESS_NAMES: &str = "normalize, histogram_normalization, multiplex_preprocess, none";

const POSTPROCESS_NAMES: &str = "deep_watershed, watershed, pixelwise, deepcell, mibi, multiplex_postprocess_consumer, stardist, none";

impl PreprocessFn {
    fn named(name: &str) -> Result<Self, Unsupported> {
        match name {
            "normalize" => Ok(Self::Normalize),
            "histogram_normalization" => Ok(Self::HistogramNormalization),
            "multiplex_preprocess" => Ok(Self::Mesmer),
            _ => Err(unknown("preprocess", name, PREPROCESS_NAMES)),
        }
    }

    fn apply(self, image: Array4<f32>) -> Array4<f32> {
        match self {
            Self::Normalize => normalize(image),
            Self::HistogramNormalization => histogram_normalization(image, None),
            Self::Mesmer => mesmer_preprocess(image, &MesmerPreprocess::default()),
        }
    }
}

impl PostprocessFn {
    fn named(name: &str) -> Result<Self, Unsupported> {
        match name {
            "deep_watershed" => Ok(Self::DeepWatershed),
            "watershed" => Ok(Self::Watershed),
            "pixelwise" | "deepcell" => Ok(Self::Pixelwise),
            "mibi" => Ok(Self::Mibi),
            "multiplex_postprocess_consumer" => Ok(Self::Multiplex),
            "stardist" => Ok(Self::StarDist),
            _ => Err(unknown("postprocess", name, POSTPROCESS_NAMES)),
        }
    }
}

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
pub fn prepare(
    image: Array4<f32>,
    scale: f64,
    functions: &[PreprocessFn],
) -> anyhow::Result<Prepared> {
    check_values(image.view())?;
    let (batch, rows, columns, _) = image.dim();
    ensure!(
        batch == 1,
        InvalidInput(format!(
            "a job that names its model takes one image, this file holds {batch}"
        ))
    );
    let size = [rows, columns].map(|n| (n as f64 * scale).round_ties_even() as usize);
    ensure!(
        size.iter().all(|&n| n > 0),
        shrinks_to_nothing(scale, [rows, columns])
    );
    let resized = if size == [rows, columns] {
        image
    } else {
        resize_nearest(image.view(), size)
    };
    let pixels = functions
        .iter()
        .fold(resized, |image, function| function.apply(image));
    Ok(Prepared {
        pixels: Arc::new(pixels),
        original: [rows, columns],
    })
}

/// All heads of the model for a prepared image, each `[1, row, column, channel]`.
pub async fn predict(model: &Model, pixels: Arc<Array4<f32>>) -> anyhow::Result<Vec<Array4<f32>>> {
    let tiles = Tiles::of(model, pixels.dim().into(), PadMode::Constant);
    run_tiled(model, pixels, tiles, Heads::All).await
}

/// The heads passed through the functions and resized to the original image: `[row, column, feature]`.
///
/// # Errors
///
/// A function that needs other heads than the model has.
pub fn postprocess(
    heads: Vec<Array4<f32>>,
    functions: &[PostprocessFn],
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

fn apply(function: PostprocessFn, heads: &[Array4<f32>]) -> anyhow::Result<Array4<f32>> {
    let labels = match function {
        PostprocessFn::DeepWatershed => deep_watershed(heads)?,
        PostprocessFn::Watershed => {
            let scores = only_head(heads, "watershed")?;
            legacy::ClassWatershed::new(legacy::Era::SkImage016)
                .segment(scores)
                .insert_axis(Axis(0))
        }
        PostprocessFn::Pixelwise => {
            let scores = class_scores(heads, "pixelwise")?;
            let interior = scores.index_axis(Axis(2), scores.dim().2 - 2);
            legacy::pixelwise(interior, PIXELWISE_THRESHOLD, PIXELWISE_MIN_SIZE)
                .insert_axis(Axis(0))
        }
        PostprocessFn::Mibi => legacy::mibi(class_scores(heads, "mibi")?).insert_axis(Axis(0)),
        PostprocessFn::Multiplex => return multiplex(heads),
        PostprocessFn::StarDist => bail!("function `stardist` needs the whole image"),
    };
    Ok(labels.mapv(|label| label as f32).insert_axis(Axis(3)))
}

fn deep_watershed(heads: &[Array4<f32>]) -> anyhow::Result<Array3<u32>> {
    let [maxima, interior, ..] = heads else {
        bail!(
            "function `deep_watershed` needs a model with two outputs, this one has {}",
            heads.len()
        );
    };
    let (maxima, interior) = (channel(maxima, 0), channel(interior, 0));
    Ok(legacy::LegacyDeepWatershed::default().segment(maxima.view(), interior.view())?)
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
    let whole_cell = compartment(&whole_cell, whole_maxima, whole_interior)?;
    let nuclear = compartment(&nuclear, nuclear_maxima, nuclear_interior)?;
    Ok(ndarray::stack(Axis(3), &[whole_cell.view(), nuclear.view()])?.mapv(|label| label as f32))
}

fn compartment(
    watershed: &DeepWatershed,
    maxima: &Array4<f32>,
    interior: &Array4<f32>,
) -> anyhow::Result<Array3<u32>> {
    let classes = interior.dim().3;
    ensure!(
        classes >= 2,
        "function `multiplex_postprocess_consumer` needs two classes or more, there are {classes}"
    );
    Ok(watershed.segment(channel(maxima, 0), channel(interior, 1))?)
}

/// One channel of a head, `[batch, row, column]`.
fn channel(head: &Array4<f32>, index: usize) -> Array3<f32> {
    head.index_axis(Axis(3), index).to_owned()
}

/// The scores of the only head, which has two classes or more.
fn class_scores<'h>(
    heads: &'h [Array4<f32>],
    function: &str,
) -> anyhow::Result<ArrayView3<'h, f32>> {
    let scores = only_head(heads, function)?;
    let classes = scores.dim().2;
    ensure!(
        classes >= 2,
        "function `{function}` needs a model with two classes or more, this one has {classes}"
    );
    Ok(scores)
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
        let pipeline =
            Pipeline::parse("Normalize, ,histogram_normalization", "none").expect("all are known");
        assert_eq!(
            pipeline.preprocess,
            [
                PreprocessFn::Normalize,
                PreprocessFn::HistogramNormalization
            ]
        );
        assert_eq!(pipeline.postprocess, []);
    }

    #[test]
    fn a_function_that_is_not_offered_is_refused_by_name() {
        let error = Pipeline::parse("", "retinanet").expect_err("its results are not described");
        assert!(
            error.to_string().contains("`retinanet` is not offered"),
            "{error}"
        );
        let error = Pipeline::parse("sharpen", "").expect_err("nobody knows it");
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
        let features =
            postprocess(heads, &[PostprocessFn::Multiplex], [30, 30]).expect("four heads");
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
        let refused = postprocess(vec![bump(1.0)], &[PostprocessFn::Multiplex], [30, 30])
            .expect_err("one head");
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
        let features = postprocess(heads, &[], [2, 3]).expect("nothing can fail");
        assert_eq!(features.dim(), (2, 3, 3));
        assert_eq!(features[[1, 2, 0]], 1.0);
        assert_eq!(features[[1, 2, 2]], 2.0);
    }
}
