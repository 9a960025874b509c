//! Segmentation of one image of tissue by Mesmer (`CONSUMER_TYPE` `mesmer` or `multiplex`).
//!
//! The image has a nuclear and a membrane channel, or the job's `channels` picks them; which axis holds them the file says or
//! is found out, as `dimension_order` is not for these jobs.

use std::sync::Arc;

use async_trait::async_trait;
use ndarray::{Array4, Axis};

use super::input::Input;
use super::limits::Limits;
use super::preview::{Preview, Previews};
use super::recipe::{self, Entries, model};
use crate::applications::{Application, Compartment, Model};
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, ModelRequirement, Outcome};
use crate::consumers::output::ResultName;
use crate::error_class::InvalidInput;
use crate::job::{Detected, Job, Step};
use crate::serving::ModelId;
use crate::settings::{Loader, Parsed};

/// Segments whole cells and nuclei in one image of tissue.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "mesmer",
    aliases: &["multiplex"],
    summary: "segments whole cells and nuclei in one image of tissue",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(MesmerSettings::load(loader));
        Box::new(|clients| {
            Box::new(Mesmer {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

crate::settings! {
    /// Segmentation of tissue.
    struct MesmerVariables {
        /// Model for cells in tissue, as `name:version`.
        mesmer_model: Option<Parsed<ModelId>> = None => "that of `MULTIPLEX_MODEL`",
        /// Older name of `MESMER_MODEL`.
        multiplex_model: Parsed<ModelId> = model("MultiplexSegmentation:9"),
        /// What is segmented if the job does not say: `whole-cell`, `nuclear` or `both`.
        mesmer_compartment: Parsed<Compartment> = Parsed(Compartment::default()),
    }
}

/// Model, compartment and limits of the mesmer consumer.
#[derive(Debug)]
pub struct MesmerSettings {
    model: ModelId,
    compartment: Compartment,
    limits: Limits,
    previews: Previews,
}

impl MesmerSettings {
    /// Loads `MESMER_MODEL`, `MESMER_COMPARTMENT` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: MesmerVariables = loader.load();
        if variables.mesmer_model.is_none() {
            loader.fall_back("MESMER_MODEL", "MULTIPLEX_MODEL");
        }
        let Parsed(model) = variables.mesmer_model.unwrap_or(variables.multiplex_model);
        Self {
            model,
            compartment: variables.mesmer_compartment.0,
            limits: Limits::load(loader),
            previews: Previews::load(loader),
        }
    }
}

struct Mesmer {
    settings: Arc<MesmerSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Mesmer {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        recipe::refuse_archives(job)
    }

    fn models(&self) -> Vec<ModelRequirement> {
        vec![ModelRequirement::of_images(&self.settings.model, 2)]
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Download);
        let compartment = self.compartment(job)?;
        let channels = job.channel_numbers()?;
        let input = Input::fetch(job, &self.settings.limits, &self.clients).await?;

        job.step(Step::Preprocess);
        let decoded = input.decode(job, &self.settings.limits).await?;
        let placed = bioimage::placed_by_names(decoded.image, &decoded.container);
        let (scale, _memory) = (decoded.scale.unwrap_or(1.0), decoded.memory);
        if decoded.scale.is_none() {
            job.record_detected(Detected::Scale(scale));
        }
        let model = Model::load(&self.clients.serving, &self.settings.model).await?;
        let limits = &self.settings.limits;
        let image = match placed {
            Ok(placed) => recipe::pick_channels(job, placed, channels, &model, limits).await?,
            Err(image) => {
                // Without axes of length 1, and a batch axis in front.
                let image = bioimage::squeeze(image).insert_axis(Axis(0));
                recipe::validate(job, image, channels, &model, limits).await?
            }
        };
        limits.check_scaled_size(&image, scale)?;
        let previews = self.settings.previews;
        let (preview, image) = previews.see(image, None, decoded.type_maximum).await;

        job.step(Step::Predict);
        let application = Application::mesmer(compartment);
        let labels = application
            .segment(&model, image, scale, recipe::follow(job))
            .await?;

        job.step(Step::Upload);
        let name = ResultName::new(job.original_name()?);
        job.step(Step::Encode);
        let shown = preview.clone();
        let entries = compute::run(move || encode_labels(&name, &labels, &shown)).await;
        recipe::store(job, &self.clients.storage, entries, &preview).await
    }
}

impl Mesmer {
    fn compartment(&self, job: &Job) -> anyhow::Result<Compartment> {
        let Some(text) = job.compartment()? else {
            return Ok(self.settings.compartment);
        };
        text.parse()
            .map_err(|expected| InvalidInput(format!("compartment `{text}`: {expected}")).into())
    }
}

/// One TIFF for each compartment, `[1, row, column]`.
fn encode_labels(name: &ResultName, labels: &Array4<u32>, preview: &Preview) -> Entries {
    if let Some(first) = labels.axis_iter(Axis(3)).next() {
        first
            .outer_iter()
            .take(1)
            .for_each(|labels| preview.show_labels(labels));
    }
    let features = labels.axis_iter(Axis(3)).enumerate();
    features
        .map(|(c, feature)| (name.feature(c), recipe::label_tiff(&feature.into_dyn())))
        .collect()
}
