//! Models in BioImage.IO's packages: a folder or a zip says everything (`CONSUMER_TYPE` `bioimageio`).

use std::sync::Arc;

use async_trait::async_trait;
use ndarray::Axis;

use super::input::Input;
use super::limits::Limits;
use super::preview::{Preview, Previews};
use super::recipe::{self, Entries, model};
use crate::applications::described::{Described, Described2D};
use crate::compute;
use crate::consumer::{
    Clients, Consumer, ConsumerKind, Finding, ModelRequirement, Outcome, Verdict,
};
use crate::consumers::output::ResultName;
use crate::error_class::InvalidInput;
use crate::job::{Job, Step};
use crate::serving::ModelId;
use crate::settings::{Loader, Parsed};
use bioimage::encode_tiff;

/// Runs packages.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "bioimageio",
    aliases: &[],
    summary: "runs a BioImage.IO package on one image",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(BioimageioSettings::load(loader));
        Box::new(|clients| {
            Box::new(Bioimageio {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

crate::settings! {
    /// Models in BioImage.IO's packages.
    struct BioimageioVariables {
        /// Package of `MODEL_DIR` if a job names none, as `name:version`: `<name>/<version>`, `<name>` or `<name>.zip`.
        bioimageio_model: Parsed<ModelId> = model("model:1"),
    }
}

/// Package and limits of the bioimageio consumer.
#[derive(Debug)]
pub struct BioimageioSettings {
    model: ModelId,
    limits: Limits,
    previews: Previews,
}

impl BioimageioSettings {
    /// Loads `BIOIMAGEIO_MODEL`.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: BioimageioVariables = loader.load();
        Self {
            model: variables.bioimageio_model.0,
            limits: Limits::load(loader),
            previews: Previews::load(loader),
        }
    }
}

struct Bioimageio {
    settings: Arc<BioimageioSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Bioimageio {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        recipe::refuse_archives(job)
    }

    fn models(&self) -> Vec<ModelRequirement> {
        vec![ModelRequirement::of_a_package(&self.settings.model)]
    }

    /// Runs the test that the package brings.
    async fn rehearse(&self) -> Vec<Finding> {
        let (verdict, text) = match self.test().await {
            Ok(found) => found,
            Err(error) => (Verdict::Wrong, format!("{error:#}")),
        };
        vec![Finding {
            part: "package",
            verdict,
            text: format!("{}: {text}", self.settings.model),
        }]
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Download);
        let limits = &self.settings.limits;
        let id = recipe::model_of(job, &self.settings.model)?;
        let channels = job.channel_numbers()?;
        let input = Input::fetch(job, limits, &self.clients).await?;

        job.step(Step::Preprocess);
        let decoded = input.decode(job, limits).await?;
        let (type_maximum, _memory) = (decoded.type_maximum, decoded.memory);
        let image = recipe::with_axes_in_order(job, decoded.image, decoded.container).await?;
        limits.check_size(&image)?;
        let model = Described::load(&self.clients.serving, &id).await?;
        let (preview, image) = self
            .settings
            .previews
            .see(image, channels.as_deref(), type_maximum)
            .await;
        let images = recipe::with_channels(image, channels, Some(model.channels())).await?;

        job.step(Step::Predict);
        let name = ResultName::new(job.original_name()?);
        let mut entries = Entries::new();
        for (item, image) in images.into_iter().enumerate() {
            let outputs = model.run(image.index_axis_move(Axis(0), 0)).await?;
            let (name, shown) = (name.clone(), preview.clone());
            let encode = move || encode(&name, item, outputs, &shown);
            entries.extend(compute::run(encode).await);
        }

        job.step(Step::Upload);
        recipe::store(job, &self.clients.storage, entries, &preview).await
    }
}

impl Bioimageio {
    async fn test(&self) -> anyhow::Result<(Verdict, String)> {
        let id = &self.settings.model;
        let model = Described::load(&self.clients.serving, id).await?;
        let trials = model.test().await?;
        if trials.is_empty() {
            let text = "it brings no test tensors: whether its results are right was not seen";
            return Ok((Verdict::Warning, text.to_owned()));
        }
        let far = trials.iter().filter(|trial| !trial.comparison.is_close);
        let far: Vec<_> = far
            .map(|trial| {
                let comparison = &trial.comparison;
                format!(
                    "output `{}` differs from its test tensor in {} of {} values",
                    trial.output, comparison.differing, comparison.elements
                )
            })
            .collect();
        if far.is_empty() {
            let names: Vec<_> = trials.iter().map(|trial| trial.output.as_str()).collect();
            let text = format!("its own test passes: {}", names.join(", "));
            return Ok((Verdict::Ok, text));
        }
        Err(InvalidInput(far.join("; ")).into())
    }
}

/// A TIFF for each output: labels, or a channel each.
fn encode(
    name: &ResultName,
    item: usize,
    outputs: Vec<(String, Described2D)>,
    preview: &Preview,
) -> Entries {
    let mut entries = Entries::new();
    for (_, output) in outputs {
        match output {
            Described2D::Labels(labels) => {
                preview.show_labels(labels.view());
                let file = name.batch_feature(item, entries.len());
                entries.push((file, recipe::label_tiff(&labels.view().into_dyn())));
            }
            Described2D::Values(values) => {
                for plane in values.axis_iter(Axis(2)) {
                    let file = name.batch_feature(item, entries.len());
                    entries.push((file, encode_tiff(plane.into_dyn())));
                }
            }
        }
    }
    entries
}
