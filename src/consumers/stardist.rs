//! Cells as star-convex polygons, with a model of StarDist (`CONSUMER_TYPE` `stardist`).

mod export;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;

use self::export::Exports;
pub use self::settings::StarDistSettings;
use super::input::Input;
use super::limits::Limits;
use super::preview::Previews;
use super::recipe::{self, Entries};
use crate::applications::Model;
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, ModelRequirement, Outcome};
use crate::consumers::output::ResultName;
use crate::job::{Job, Step};
use cell_analysis::stardist::StarInstances;

/// Segments cells as star-convex polygons.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "stardist",
    aliases: &[],
    summary: "segments the cells of one image with a model of StarDist",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(StarDistSettings::load(loader));
        let limits = Limits::load(loader);
        let previews = Previews::load(loader);
        Box::new(move |clients| {
            Box::new(StarDist {
                settings,
                limits,
                previews,
                clients: clients.clone(),
            })
        })
    },
};

struct StarDist {
    settings: Arc<StarDistSettings>,
    limits: Limits,
    previews: Previews,
    clients: Clients,
}

#[async_trait]
impl Consumer for StarDist {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        recipe::refuse_archives(job)
    }

    fn models(&self) -> Vec<ModelRequirement> {
        vec![ModelRequirement::of_any_images(&self.settings.model)]
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Download);
        let limits = &self.limits;
        let id = recipe::model_of(job, &self.settings.model)?;
        let channels = job.channel_numbers()?;
        let input = Input::fetch(job, limits, &self.clients).await?;

        job.step(Step::Preprocess);
        let decoded = input.decode(job, limits).await?;
        let (scale, type_maximum) = (decoded.scale.unwrap_or(1.0), decoded.type_maximum);
        let _memory = decoded.memory;
        let image = recipe::with_axes_in_order(job, decoded.image, decoded.container).await?;
        let model = Model::load(&self.clients.serving, &id).await?;
        let chosen = channels.as_deref();
        let (preview, image) = self.previews.see(image, chosen, type_maximum).await;
        let images = recipe::images_for(image, channels, &model).await?;

        job.step(Step::Predict);
        let name = ResultName::new(job.original_name()?);
        let application = self
            .settings
            .application(&self.clients.serving, &id)
            .await?;
        let mut entries = Entries::new();
        for (item, image) in images.into_iter().enumerate() {
            limits.check_size(&image)?;
            limits.check_scaled_size(&image, scale)?;
            let instances = application.segment(&model, image, scale).await?;
            let (name, exports, shown) = (name.clone(), self.settings.exports, preview.clone());
            let encoded = compute::run(move || {
                shown.show_labels(instances.labels.view());
                encode(&name, item, &instances, exports)
            });
            entries.extend(encoded.await?);
        }

        job.step(Step::Upload);
        recipe::store(job, &self.clients.storage, entries, &preview).await
    }
}

/// The files of a batch item: labels, and polygons as the settings want them.
fn encode(
    name: &ResultName,
    item: usize,
    instances: &StarInstances,
    exports: Exports,
) -> anyhow::Result<Entries> {
    let labels = recipe::label_tiff(&instances.labels.view().into_dyn());
    let mut entries = vec![(name.batch_feature(item, 0), labels)];
    entries.extend(exports.of(name, item, &instances.polygons)?);
    Ok(entries)
}
