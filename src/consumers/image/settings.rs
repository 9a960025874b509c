//! The settings of the image consumer.

use std::fmt::{self, Display};
use std::str::FromStr;

use anyhow::Context as _;

use crate::applications::by_name::Pipeline;
use crate::consumers::limits::Limits;
use crate::consumers::model;
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
    pub(super) limits: Limits,
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
        let selection = reader.parsed(
            "MODEL_SELECTION",
            ModelSelection::Auto,
            "who names the model: auto, hash (the job), env",
        );
        let detect_scale = reader.flag(
            "SCALE_DETECT_ENABLED",
            false,
            "detect the scale of jobs that give none",
        );
        let scale_model = model(
            reader,
            "SCALE_DETECT_MODEL",
            "ScaleDetection:1",
            "model that detects the scale",
        );
        Self {
            selection,
            nuclear: model(
                reader,
                "NUCLEAR_MODEL",
                "NuclearSegmentation:6",
                "model of the first position of `channels`",
            ),
            cytoplasm: model(
                reader,
                "CYTOPLASM_MODEL",
                "CytoplasmSegmentation:5",
                "model of the second position",
            ),
            phase: model(
                reader,
                "PHASE_MODEL",
                "PhaseCytoSegmentation:0",
                "model of the third position",
            ),
            by_label: [
                functions(
                    reader,
                    ["NUCLEAR_PREPROCESS", "NUCLEAR_POSTPROCESS"],
                    "normalize",
                ),
                functions(
                    reader,
                    ["PHASE_PREPROCESS", "PHASE_POSTPROCESS"],
                    "histogram_normalization",
                ),
                functions(
                    reader,
                    ["CYTOPLASM_PREPROCESS", "CYTOPLASM_POSTPROCESS"],
                    "histogram_normalization",
                ),
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
            limits: Limits::load(reader),
        }
    }

    /// Model and functions for a kind of image: 0 nuclear, 1 phase, 2 cytoplasm.
    pub(super) fn by_label(&self, label: usize) -> anyhow::Result<(ModelId, Pipeline)> {
        let models = [&self.nuclear, &self.phase, &self.cytoplasm];
        let found = models.get(label).zip(self.by_label.get(label));
        let (model, names) = found
            .with_context(|| format!("the label model found kind {label}, known are 0 to 2"))?;
        Ok((
            ModelId::clone(model),
            Pipeline::parse(&names.pre, &names.post)?,
        ))
    }
}

/// Names of functions before and after the model, read only when a job needs them: a Kiosk may set ones that nobody uses.
#[derive(Debug)]
struct FunctionNames {
    pre: String,
    post: String,
}

fn functions(
    reader: &mut Reader<'_>,
    [pre, post]: [&'static str; 2],
    default_pre: &str,
) -> FunctionNames {
    FunctionNames {
        pre: reader.text(
            pre,
            default_pre,
            "functions that prepare an image of this kind (older jobs)",
        ),
        post: reader.text(
            post,
            "deep_watershed",
            "functions that make labels of the model's answers (older jobs)",
        ),
    }
}
