//! The settings of the image consumer.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::applications::by_name::Pipeline;
use crate::consumers::limits::Limits;
use crate::consumers::preview::Previews;
use crate::consumers::recipe::model;
use crate::consumers::stardist::StarDistSettings;
use crate::serving::ModelId;
use crate::settings::{Loader, Parsed, Switch, Word};

crate::settings! {
    /// Segmentation of images.
    struct ImageVariables {
        /// Which model is used: `env` always takes those set here, `hash` that of the job if it names one, `auto` the same unless the job has `channels` or `dimension_order`.
        model_selection: Word<ModelSelection> = Word(ModelSelection::Auto),
        /// Detect the scale of images whose job does not give one.
        scale_detect_enabled: Switch = Switch(false),
        /// Model that detects the scale, as `name:version`.
        scale_detect_model: Parsed<ModelId> = model("ScaleDetection:1"),
        /// Model for the first position of `channels`, as `name:version`.
        nuclear_model: Parsed<ModelId> = model("NuclearSegmentation:6"),
        /// Model for the second position of `channels`, as `name:version`.
        cytoplasm_model: Parsed<ModelId> = model("CytoplasmSegmentation:5"),
        /// Model for the third position of `channels`, as `name:version`.
        phase_model: Parsed<ModelId> = model("PhaseCytoSegmentation:0"),
        /// Preprocessing of nuclear images whose type is detected (older jobs).
        nuclear_preprocess: String = "normalize".to_owned(),
        /// Postprocessing of nuclear images whose type is detected (older jobs).
        nuclear_postprocess: String = "deep_watershed".to_owned(),
        /// Preprocessing of phase contrast images whose type is detected (older jobs).
        phase_preprocess: String = "histogram_normalization".to_owned(),
        /// Postprocessing of phase contrast images whose type is detected (older jobs).
        phase_postprocess: String = "deep_watershed".to_owned(),
        /// Preprocessing of cytoplasm images whose type is detected (older jobs).
        cytoplasm_preprocess: String = "histogram_normalization".to_owned(),
        /// Postprocessing of cytoplasm images whose type is detected (older jobs).
        cytoplasm_postprocess: String = "deep_watershed".to_owned(),
        /// Detect the type of an image, and choose model and functions by it (older jobs).
        label_detect_enabled: Switch = Switch(false),
        /// Model that detects the type of an image, as `name:version`.
        label_detect_model: Parsed<ModelId> = model("LabelDetection:1"),
    }
}

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
    pub(super) star_convex: StarDistSettings,
    pub(super) previews: Previews,
}

/// Who says which model is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ModelSelection {
    /// The job, if it names a model and neither channels nor dimension order; the environment otherwise.
    Auto,
    /// The job, whenever it names a model.
    Hash,
    /// The environment, always.
    Env,
}

impl ImageSettings {
    /// Loads `NUCLEAR_MODEL`, `MAX_SCALE` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: ImageVariables = loader.load();
        let Parsed(scale_model) = variables.scale_detect_model;
        Self {
            selection: variables.model_selection.0,
            nuclear: variables.nuclear_model.0,
            cytoplasm: variables.cytoplasm_model.0,
            phase: variables.phase_model.0,
            by_label: [
                FunctionNames {
                    pre: variables.nuclear_preprocess,
                    post: variables.nuclear_postprocess,
                },
                FunctionNames {
                    pre: variables.phase_preprocess,
                    post: variables.phase_postprocess,
                },
                FunctionNames {
                    pre: variables.cytoplasm_preprocess,
                    post: variables.cytoplasm_postprocess,
                },
            ],
            scale_detection: variables.scale_detect_enabled.0.then_some(scale_model),
            detect_label: variables.label_detect_enabled.0,
            label_detection_model: variables.label_detect_model.0,
            limits: Limits::load(loader),
            star_convex: StarDistSettings::load(loader),
            previews: Previews::load(loader),
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
