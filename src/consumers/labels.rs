//! Cells that the model itself has labeled (`CONSUMER_TYPE` `labels`): InstanSeg, CellSAM, and others whose server does all of
//! the post-processing.

use std::sync::Arc;

use async_trait::async_trait;

use super::input::Input;
use super::limits::Limits;
use super::preview::Previews;
use super::recipe::{self, Entries, model};
use crate::applications::Model;
use crate::applications::label_heads::LabelHeads;
use crate::consumer::{Clients, Consumer, ConsumerKind, ModelRequirement, Outcome};
use crate::consumers::output::ResultName;
use crate::job::{Job, Step};
use crate::serving::ModelId;
use crate::settings::{List, Loader, Parsed};
use cell_analysis::stardist::{ChannelScaling, PercentileNormalization};

/// Joins labels that a model answers.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "labels",
    aliases: &["instanseg"],
    summary: "segments one image with a model that answers labels, such as InstanSeg",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(LabelsSettings::load(loader));
        Box::new(|clients| {
            Box::new(Labels {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

crate::settings! {
    /// Segmentation with models that answer labels.
    struct LabelsVariables {
        /// Model that answers labels, as `name:version`.
        labels_model: Parsed<ModelId> = model("InstanSeg:1"),
        /// Which of its outputs holds the labels, counted from 0 in the order of their names.
        labels_output: usize = 0,
        /// Which channel of that output.
        labels_channel: usize = 0,
        /// Percentiles of each channel that become 0 and 1, separated by a comma.
        labels_percentiles: List = List(vec!["0.1".to_owned(), "99.9".to_owned()]),
        /// Side of tiles for models that take any size, in pixels.
        labels_tile_size: usize = 512,
        /// Pixels of a tile that only surround the part that counts: more than half of the widest cell.
        labels_halo: usize = 64,
    }
}

/// Model, tiles and limits of the labels consumer.
#[derive(Debug)]
pub struct LabelsSettings {
    model: ModelId,
    application: LabelHeads,
    limits: Limits,
    previews: Previews,
}

impl LabelsSettings {
    /// Loads `LABELS_MODEL`, `LABELS_HALO` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: LabelsVariables = loader.load();
        let [low, high] =
            recipe::percentiles(loader, "LABELS_PERCENTILES", &variables.labels_percentiles);
        Self {
            model: variables.labels_model.0,
            application: LabelHeads {
                normalization: PercentileNormalization {
                    low,
                    high,
                    channels: ChannelScaling::Apart,
                    epsilon: 1e-6,
                },
                tile: variables.labels_tile_size,
                halo: variables.labels_halo,
                output: variables.labels_output,
                channel: variables.labels_channel,
            },
            limits: Limits::load(loader),
            previews: Previews::load(loader),
        }
    }
}

struct Labels {
    settings: Arc<LabelsSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Labels {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        recipe::refuse_archives(job)
    }

    fn models(&self) -> Vec<ModelRequirement> {
        vec![ModelRequirement::of_any_images(&self.settings.model)]
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
        let model = Model::load(&self.clients.serving, &id).await?;
        let (preview, image) = self
            .settings
            .previews
            .see(image, channels.as_deref(), type_maximum)
            .await;
        let images = recipe::images_for(image, channels, &model).await?;

        job.step(Step::Predict);
        let name = ResultName::new(job.original_name()?);
        let mut entries = Entries::new();
        for (item, image) in images.into_iter().enumerate() {
            let labels = self.settings.application.segment(&model, image).await?;
            let name = name.batch_feature(item, 0);
            let tiff = recipe::shown_label_tiff(labels, &preview).await;
            entries.push((name, tiff));
        }

        job.step(Step::Upload);
        recipe::store(job, &self.clients.storage, entries, &preview).await
    }
}
