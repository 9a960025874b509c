//! The settings of the image consumer.

use std::fmt::{self, Display};
use std::str::FromStr;

use anyhow::Context as _;
use ndarray::Array4;

use crate::applications::Model;
use crate::applications::named::Functions;
use crate::failure::InvalidInput;
use crate::images::{self, AxesError};
use crate::serving::ModelId;
use crate::settings::Reader;

/// Models, limits and detectors of the image consumer.
#[derive(Debug)]
pub struct ImageSettings {
    pub(super) selection: ModelSelection,
    pub(super) nuclear: ModelId,
    pub(super) cytoplasm: ModelId,
    pub(super) phase: ModelId,
    by_label: [FunctionNames; 3],
    pub(super) scale_detection: Option<ModelId>,
    pub(super) detect_label: bool,
    pub(super) label_detection_model: ModelId,
    scale_limits: (f64, f64),
    max_width: usize,
    max_height: usize,
    max_decoded_bytes: u64,
}

/// Who says which model is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelSelection {
    /// The job, if it names a model and neither channels nor dimension order; the environment otherwise.
    Auto,
    /// The job, whenever it names a model.
    Hash,
    /// The environment, always.
    Env,
}

impl FromStr for ModelSelection {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "hash" => Ok(Self::Hash),
            "env" => Ok(Self::Env),
            _ => Err("expected auto, hash or env"),
        }
    }
}

impl Display for ModelSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Hash => "hash",
            Self::Env => "env",
        })
    }
}

impl ImageSettings {
    /// Reads `NUCLEAR_MODEL`, `MAX_SCALE` and the like.
    pub fn load(reader: &mut Reader<'_>) -> Self {
        let selection =
            reader.parsed("MODEL_SELECTION", ModelSelection::Auto, "who names the model: auto, hash (the job), env");
        let detect_scale = reader.flag("SCALE_DETECT_ENABLED", false, "detect the scale of jobs that give none");
        let scale_model = model(reader, "SCALE_DETECT_MODEL", "ScaleDetection:1", "model that detects the scale");
        Self {
            selection,
            nuclear: model(
                reader,
                "NUCLEAR_MODEL",
                "NuclearSegmentation:6",
                "model of the first position of `channels`",
            ),
            cytoplasm: model(reader, "CYTOPLASM_MODEL", "CytoplasmSegmentation:5", "model of the second position"),
            phase: model(reader, "PHASE_MODEL", "PhaseCytoSegmentation:0", "model of the third position"),
            by_label: [
                functions(reader, ["NUCLEAR_PREPROCESS", "NUCLEAR_POSTPROCESS"], "normalize"),
                functions(reader, ["PHASE_PREPROCESS", "PHASE_POSTPROCESS"], "histogram_normalization"),
                functions(reader, ["CYTOPLASM_PREPROCESS", "CYTOPLASM_POSTPROCESS"], "histogram_normalization"),
            ],
            scale_detection: detect_scale.then_some(scale_model),
            detect_label: reader.flag(
                "LABEL_DETECT_ENABLED",
                false,
                "choose model and functions by the image's kind (older jobs)",
            ),
            label_detection_model: model(
                reader,
                "LABEL_DETECT_MODEL",
                "LabelDetection:1",
                "model that detects the kind of image",
            ),
            scale_limits: scale_limits(reader),
            max_width: reader.parsed("MAX_IMAGE_WIDTH", 2048, "largest image width, pixels"),
            max_height: reader.parsed("MAX_IMAGE_HEIGHT", 2048, "largest image height, pixels"),
            max_decoded_bytes: reader.bytes("MAX_DECODED_BYTES", 2 << 30, "largest decoded or rescaled image, bytes"),
        }
    }

    pub(super) fn decode_limits(&self) -> images::Limits {
        images::Limits { max_decoded_bytes: self.max_decoded_bytes }
    }

    /// The scale if it lies within `MIN_SCALE` and `MAX_SCALE`, both included.
    pub(super) fn check_scale(&self, scale: f64) -> anyhow::Result<f64> {
        let (min, max) = self.scale_limits;
        let inside = (min..=max).contains(&scale);
        inside.then_some(scale).with_context(|| InvalidInput(format!("scale {scale} is not between {min} and {max}")))
    }

    /// Refuses a scale that would make the image larger than a decoded one may be.
    pub(super) fn check_scaled_size(&self, image: &Array4<f32>, scale: f64) -> Result<(), InvalidInput> {
        let (batch, rows, columns, channels) = image.dim();
        let bytes = (batch * rows * columns * channels * size_of::<f32>()) as f64 * scale * scale;
        if bytes <= self.max_decoded_bytes as f64 {
            return Ok(());
        }
        Err(InvalidInput(format!(
            "scale {scale} makes an image of {columns} x {rows} pixels larger than the limit of {} bytes",
            self.max_decoded_bytes
        )))
    }

    /// Refuses an image that the model does not take or that is larger than allowed.
    pub(super) fn check_fit(&self, image: &Array4<f32>, model: &Model) -> Result<(), AxesError> {
        let (_, height, width, channels) = image.dim();
        let wanted = model.input_shape()[3];
        if i64::try_from(channels) != Ok(wanted) {
            return Err(AxesError::ChannelCount { channels, wanted });
        }
        let (max_width, max_height) = (self.max_width, self.max_height);
        if width > max_width || height > max_height {
            return Err(AxesError::TooLarge { width, height, max_width, max_height });
        }
        Ok(())
    }

    /// Model and functions for a kind of image: 0 nuclear, 1 phase, 2 cytoplasm.
    pub(super) fn by_label(&self, label: usize) -> anyhow::Result<(ModelId, Functions)> {
        let models = [&self.nuclear, &self.phase, &self.cytoplasm];
        let found = models.get(label).zip(self.by_label.get(label));
        let (model, names) = found.with_context(|| format!("the label model found kind {label}, known are 0 to 2"))?;
        Ok((ModelId::clone(model), Functions::parse(&names.pre, &names.post)?))
    }
}

fn model(reader: &mut Reader<'_>, name: &'static str, default: &str, doc: &'static str) -> ModelId {
    let default = default.parse().expect("defaults are `name:version`");
    reader.parsed(name, default, doc)
}

/// Names of functions before and after the model, read only when a job needs them: a Kiosk may set ones that nobody uses.
#[derive(Debug)]
struct FunctionNames {
    pre: String,
    post: String,
}

fn functions(reader: &mut Reader<'_>, [pre, post]: [&'static str; 2], default_pre: &str) -> FunctionNames {
    FunctionNames {
        pre: reader.text(pre, default_pre, "functions that prepare an image of this kind (older jobs)"),
        post: reader.text(post, "deep_watershed", "functions that make labels of the model's answers (older jobs)"),
    }
}

fn scale_limits(reader: &mut Reader<'_>) -> (f64, f64) {
    let max: f64 = reader.parsed("MAX_SCALE", 10.0, "largest scale a job may ask for");
    let min: f64 = reader.parsed("MIN_SCALE", 1.0 / max, "smallest scale a job may ask for (default 1 / MAX_SCALE)");
    if !(min > 0.0 && max.is_finite() && min <= max) {
        reader.problem(
            "MIN_SCALE, MAX_SCALE",
            format!("`{min}` and `{max}` cannot be used: expected 0 < MIN_SCALE <= MAX_SCALE"),
        );
    }
    (min, max)
}
