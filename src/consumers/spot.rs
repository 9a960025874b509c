//! Spots of single molecules in one image, or a batch of them (`CONSUMER_TYPE` `spot`).

use std::sync::Arc;

use async_trait::async_trait;
use ndarray::{Array2, Array4, Axis};

use super::input::Input;
use super::limits::Limits;
use super::preview::Previews;
use super::recipe::{self, Entries, model};
use crate::applications::Model;
use crate::applications::spots::{Contrast, SpotDetection, SpotPeaks};
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, ModelRequirement, Outcome};
use crate::consumers::output::ResultName;
use crate::job::{Job, Step};
use crate::serving::ModelId;
use crate::settings::{Loader, Parsed, Switch};
use bioimage::{encode_tiff, npy, spot_overlay};

/// Finds spots.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "spot",
    aliases: &[],
    summary: "finds the spots of single molecules in one image",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(SpotSettings::load(loader));
        Box::new(|clients| {
            Box::new(Spot {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

crate::settings! {
    /// Detection of spots.
    struct SpotVariables {
        /// Model that scores pixels, as `name:version`.
        polaris_model: Parsed<ModelId> = model("SpotDetection:3"),
        /// Score above which a pixel is a spot, from 0 to 1.
        polaris_threshold: f64 = SpotPeaks::default().threshold,
        /// Clip the brightest and darkest pixels before detection.
        polaris_clip: Switch = Switch(false),
    }
}

/// Model, threshold and limits of the spot consumer.
#[derive(Debug)]
pub struct SpotSettings {
    model: ModelId,
    detection: SpotDetection,
    limits: Limits,
    previews: Previews,
}

impl SpotSettings {
    /// Loads `POLARIS_MODEL`, `POLARIS_THRESHOLD`, `POLARIS_CLIP` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: SpotVariables = loader.load();
        let threshold = variables.polaris_threshold;
        let detection = SpotDetection {
            peaks: SpotPeaks {
                threshold,
                ..SpotPeaks::default()
            },
            contrast: if variables.polaris_clip.0 {
                Contrast::Clipped
            } else {
                Contrast::Full
            },
        };
        if detection.check().is_err() {
            loader.refuse(
                "POLARIS_THRESHOLD",
                threshold,
                "expected a number from 0 to 1",
            );
        }
        Self {
            model: variables.polaris_model.0,
            detection,
            limits: Limits::load(loader),
            previews: Previews::load(loader),
        }
    }
}

struct Spot {
    settings: Arc<SpotSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Spot {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        recipe::refuse_archives(job)
    }

    fn models(&self) -> Vec<ModelRequirement> {
        vec![ModelRequirement::of_images(&self.settings.model, 1)]
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Download);
        let channels = job.channel_numbers()?;
        let input = Input::fetch(job, &self.settings.limits, &self.clients).await?;

        job.step(Step::Preprocess);
        let decoded = input.decode(job, &self.settings.limits).await?;
        let image = bioimage::spot_batch(decoded.image, &decoded.container)?;
        let _memory = decoded.memory;
        let model = Model::load(&self.clients.serving, &self.settings.model).await?;
        let (image, limits) = (image.into_dyn(), &self.settings.limits);
        let image = recipe::validate(job, image, channels, &model, limits).await?;

        let previews = self.settings.previews;
        let (preview, image) = previews.see(image, None, decoded.type_maximum).await;

        job.step(Step::Predict);
        let image = Arc::new(image);
        let detection = &self.settings.detection;
        let spots = detection.detect(&model, Arc::clone(&image)).await?;

        job.step(Step::Upload);
        let name = ResultName::new(job.original_name()?);
        job.step(Step::Encode);
        let shown = preview.clone();
        let entries = compute::run(move || {
            spots
                .iter()
                .take(1)
                .for_each(|points| shown.show_spots(points));
            entries(&name, &image, spots)
        });
        recipe::store(job, &self.clients.storage, entries.await?, &preview).await
    }
}

/// A picture and the points of each batch item.
fn entries(
    name: &ResultName,
    image: &Array4<f32>,
    spots: Vec<Vec<[f64; 2]>>,
) -> anyhow::Result<Entries> {
    let mut entries = Vec::new();
    for (item, points) in spots.into_iter().enumerate() {
        let plane = image.index_axis(Axis(0), item).index_axis_move(Axis(2), 0);
        let picture = spot_overlay(plane, &points);
        entries.push((
            name.batch(item, "tif"),
            encode_tiff(picture.view().into_dyn()),
        ));
        let points = Array2::from(points);
        entries.push((
            name.batch(item, "npy"),
            npy::write(&points.view().into_dyn()),
        ));
    }
    Ok(entries)
}
