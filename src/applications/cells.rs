//! Segmentation of single cells, in culture and in tissue: the successors of the `DeepCell` applications.
//!
//! Numerics: normalized histograms, tiles with a margin, for each compartment two heads (distance to the cell's center
//! and interior), deep watershed; see Greenwald et al. 2022 and Bannon et al. 2021 for the models.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::bail;
use ndarray::{Array3, Array4, ArrayView4, Axis};

use super::tiled_inference::{Head, Heads, Model, Tiles, run_tiled};
use crate::compute;
use crate::error_class::InvalidInput;
use cell_analysis::finite_range;
use cell_analysis::segmentation::{
    DeepWatershed, MesmerPreprocess, PadMode, histogram_normalization, mesmer_preprocess,
    resize_image, resize_labels, resized_shape,
};

/// One way to segment cells: what its models were trained on and how their answers are read.
#[derive(Clone, Debug)]
pub struct Application {
    /// Micrometers per pixel of the training images.
    pub model_mpp: f64,
    /// How pixels are made ready.
    pub preparation: Preparation,
    /// What surrounds the image where tiles reach over its sides.
    pub pad: PadMode,
    /// More tiles than this are never sent in one request.
    pub largest_batch: usize,
    /// How many outputs the model has, if its answer cannot be read otherwise.
    pub outputs: Option<usize>,
    /// What is segmented: a channel of the result each.
    pub compartments: Vec<CompartmentHeads>,
}

/// How pixels are made ready for a model.
#[derive(Clone, Debug)]
pub enum Preparation {
    /// Histograms of each channel equalized in regions of an eighth of the image.
    Histogram,
    /// The brightest pixels cut off, then histograms equalized in regions of a fixed size.
    Mesmer(MesmerPreprocess),
}

/// Where a model's answer shows one compartment, and how that becomes labels.
#[derive(Clone, Debug)]
pub struct CompartmentHeads {
    /// The head that is high in the middle of an object.
    pub maxima: Head,
    /// The head that is high all over it.
    pub interior: Head,
    /// How the heads become labels.
    pub watershed: DeepWatershed,
}

/// A step of [`Application::segment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentationStep {
    /// The image is made ready for the model.
    Preprocess,
    /// The model is run.
    Predict,
    /// Labels are made of the model's answer.
    Postprocess,
}

/// What of the cells in tissue is segmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compartment {
    /// Whole cells.
    #[default]
    WholeCell,
    /// Nuclei.
    Nuclear,
    /// Whole cells and nuclei, numbered independently.
    Both,
}

impl FromStr for Compartment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "whole-cell" => Ok(Self::WholeCell),
            "nuclear" => Ok(Self::Nuclear),
            "both" => Ok(Self::Both),
            _ => Err("expected whole-cell, nuclear or both"),
        }
    }
}

impl Display for Compartment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WholeCell => "whole-cell",
            Self::Nuclear => "nuclear",
            Self::Both => "both",
        })
    }
}

impl Application {
    /// Nuclei in culture.
    pub fn nuclear() -> Self {
        Self::in_culture(DeepWatershed::nuclear())
    }

    /// Whole cells in culture, in one channel, stained or in phase contrast.
    pub fn cytoplasm() -> Self {
        Self::in_culture(DeepWatershed::cytoplasm())
    }

    fn in_culture(watershed: DeepWatershed) -> Self {
        Self {
            model_mpp: 0.65,
            preparation: Preparation::Histogram,
            pad: PadMode::Reflect,
            largest_batch: 32,
            outputs: None,
            compartments: vec![CompartmentHeads {
                maxima: Head {
                    output: 0,
                    channel: 0,
                },
                interior: Head {
                    output: -1,
                    channel: 0,
                },
                watershed,
            }],
        }
    }

    /// Cells in tissue by Mesmer, from a nuclear and a membrane channel.
    ///
    /// The model has four outputs: distance and classes of whole cells, then of nuclei; class 1 is the interior.
    pub fn mesmer(compartment: Compartment) -> Self {
        let whole_cell = CompartmentHeads::in_tissue(0, DeepWatershed::mesmer_whole_cell());
        let nuclear = CompartmentHeads::in_tissue(2, DeepWatershed::mesmer_nuclear());
        Self {
            model_mpp: 0.5,
            preparation: Preparation::Mesmer(MesmerPreprocess::default()),
            pad: PadMode::Constant,
            largest_batch: usize::MAX,
            outputs: Some(4),
            compartments: match compartment {
                Compartment::WholeCell => vec![whole_cell],
                Compartment::Nuclear => vec![nuclear],
                Compartment::Both => vec![whole_cell, nuclear],
            },
        }
    }

    /// Labels of the cells of `image`, `[batch, row, column, channel]`: the same shape with a channel for each
    /// compartment, 0 for the background; numbers restart in each batch item and channel.
    ///
    /// The image is resized by `scale` for the model, and the labels are resized back. Each step is told before it begins.
    ///
    /// # Errors
    ///
    /// Values that are not finite, a size of zero after scaling, and whatever the model server answers but heads.
    pub async fn segment(
        self,
        model: &Model,
        image: Array4<f32>,
        scale: f64,
        on_step: impl Fn(SegmentationStep),
    ) -> anyhow::Result<Array4<u32>> {
        let original = [image.dim().1, image.dim().2];
        let application = Arc::new(self);

        on_step(SegmentationStep::Preprocess);
        let this = Arc::clone(&application);
        let prepared = compute::run(move || this.prepare(image, this.image_mpp(scale))).await?;

        on_step(SegmentationStep::Predict);
        let heads = application.predict(model, prepared).await?;

        on_step(SegmentationStep::Postprocess);
        compute::run(move || application.label(heads, original)).await
    }

    /// Micrometers per pixel of an image that is `scale` times as large for the model.
    ///
    /// Sizes follow from the quotient of the two resolutions, which may differ from `scale` in its last bit; as sizes are
    /// truncated, a shortcut would now and then leave out a row (at 0.65 µm, a scale of 0.95 and 100 rows, for one). The
    /// Python applications went this way, and results are compared to the pixel.
    fn image_mpp(&self, scale: f64) -> f64 {
        scale * self.model_mpp
    }

    /// The image as the model takes it: resized and normalized.
    ///
    /// # Errors
    ///
    /// Values that are not finite, and a size of zero after scaling.
    pub fn prepare(&self, image: Array4<f32>, image_mpp: f64) -> Result<Array4<f32>, InvalidInput> {
        check_values(image.view())?;
        let image = match self.model_size([image.dim().1, image.dim().2], image_mpp)? {
            Some(size) => resize_image(image.view(), size),
            None => image,
        };
        Ok(match &self.preparation {
            Preparation::Histogram => histogram_normalization(image, None),
            Preparation::Mesmer(options) => mesmer_preprocess(image, options),
        })
    }

    /// The model's answer for a prepared image: for each compartment its maxima and its interior, each
    /// `[batch, row, column, 1]`.
    ///
    /// # Errors
    ///
    /// Whatever the model server answers but these heads.
    pub async fn predict(
        &self,
        model: &Model,
        prepared: Array4<f32>,
    ) -> anyhow::Result<Vec<Array4<f32>>> {
        let mut tiles = Tiles::of(model, prepared.dim().into(), self.pad);
        tiles.batch_size = tiles.batch_size.min(self.largest_batch);
        let compartments = self.compartments.iter();
        let heads = Heads::Only {
            wanted: compartments
                .flat_map(|heads| [heads.maxima, heads.interior])
                .collect(),
            outputs: self.outputs,
        };
        run_tiled(model, Arc::new(prepared), tiles, heads).await
    }

    /// Labels from the heads of the compartments, resized to `original` rows and columns.
    ///
    /// # Errors
    ///
    /// Heads of different sizes, or with values that are not numbers.
    pub fn label(
        &self,
        heads: Vec<Array4<f32>>,
        original: [usize; 2],
    ) -> anyhow::Result<Array4<u32>> {
        let mut channels = Vec::with_capacity(self.compartments.len());
        let mut heads = heads.into_iter();
        for CompartmentHeads { watershed, .. } in &self.compartments {
            let (Some(maxima), Some(interior)) = (heads.next(), heads.next()) else {
                bail!("expected two heads for each compartment");
            };
            channels.push(watershed.segment(only_channel(maxima), only_channel(interior))?);
        }
        let labels = match channels.as_slice() {
            [_] => channels.swap_remove(0).insert_axis(Axis(3)),
            _ => {
                let views: Vec<_> = channels.iter().map(|channel| channel.view()).collect();
                ndarray::stack(Axis(3), &views)?
            }
        };
        let resized = (labels.dim().1, labels.dim().2) != original.into();
        Ok(if resized {
            resize_labels(labels.view(), original)
        } else {
            labels
        })
    }

    /// Rows and columns for the model, if they are not the image's.
    fn model_size(
        &self,
        size: [usize; 2],
        image_mpp: f64,
    ) -> Result<Option<[usize; 2]>, InvalidInput> {
        let resized = resized_shape(size, image_mpp, self.model_mpp);
        if resized.is_some_and(|resized| resized.contains(&0)) {
            return Err(shrinks_to_nothing(image_mpp / self.model_mpp, size));
        }
        Ok(resized)
    }
}

impl CompartmentHeads {
    /// Distance in the output `first`, classes in the next one, of which the second is the interior.
    fn in_tissue(first: isize, watershed: DeepWatershed) -> Self {
        Self {
            maxima: Head {
                output: first,
                channel: 0,
            },
            interior: Head {
                output: first + 1,
                channel: 1,
            },
            watershed,
        }
    }
}

/// Why an image that would have no pixels for the model is refused.
pub(super) fn shrinks_to_nothing(scale: f64, [rows, columns]: [usize; 2]) -> InvalidInput {
    InvalidInput(format!(
        "a scale of {scale} would shrink an image of {columns} x {rows} pixels to nothing"
    ))
}

/// Refuses pixels that no arithmetic can use, rather than let them spread over the whole plane.
pub(super) fn check_values(image: ArrayView4<'_, f32>) -> Result<(), InvalidInput> {
    let image = image.as_standard_layout();
    let Some((lo, hi)) = image.as_slice().and_then(finite_range) else {
        return Err(InvalidInput(
            "the image has pixels that are not finite numbers (NaN or infinite)".to_owned(),
        ));
    };
    if !(hi - lo).is_finite() {
        return Err(InvalidInput(format!(
            "the image's range from {lo:e} to {hi:e} is too wide for 32-bit floats"
        )));
    }
    Ok(())
}

/// A head `[batch, row, column, 1]` without its last axis.
fn only_channel(head: Array4<f32>) -> Array3<f32> {
    head.index_axis_move(Axis(3), 0)
}
