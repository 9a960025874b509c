//! Segmentation of one image (`CONSUMER_TYPE` `image` or `segmentation`).
//!
//! Two generations of jobs meet here. Newer jobs say with `channels` which image channel goes to the nuclear,
//! cytoplasm and phase models that the environment names. Older jobs name the model and the functions themselves.

mod plan;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use ndarray::{Array4, Axis};

use self::plan::{NamedPlan, Pass, Plan};
pub use self::settings::ImageSettings;
use super::Entries;
use super::input::Input;
use crate::applications::{Model, detect, named};
use crate::compute;
use crate::consumer::{Clients, Consumer, Kind, ModelNeed, Outcome};
use crate::images::output::ResultName;
use crate::images::{self, encode_tiff};
use crate::job::{Detected, Job, Stage, Status};
use crate::memory::Reservation;
use crate::serving;

/// Segments one image.
pub const KIND: Kind = Kind {
    name: "image",
    aliases: &["segmentation"],
    about: "segments the cells of one image",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(ImageSettings::load(loader));
        Box::new(|clients| {
            Box::new(Image {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

struct Image {
    settings: Arc<ImageSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Image {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        super::refuse_archives(job)
    }

    fn models(&self) -> Vec<ModelNeed> {
        let ImageSettings {
            nuclear,
            cytoplasm,
            phase,
            scale_detection,
            detect_label,
            label_detection_model,
            ..
        } = &*self.settings;
        let mut needs = vec![ModelNeed::of_images(nuclear, 1)];
        needs.extend([cytoplasm, phase].map(|model| ModelNeed::of_images(model, 1).optional()));
        let label_detection = detect_label.then_some(label_detection_model);
        needs.extend(
            scale_detection
                .iter()
                .chain(label_detection)
                .map(|model| ModelNeed::of_images(model, 1)),
        );
        needs
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.enter(Status::Started);
        let plan = plan::of(job, &self.settings)?;
        let input = Input::fetch(job, &self.settings.limits, &self.clients).await?;

        job.enter(Status::PreProcessing);
        let (image, _memory) = self.decode(job, input).await?;
        let entries = match plan {
            Plan::Channels(passes) => self.segment(job, image, passes).await?,
            Plan::Named(plan) => self.run_named(job, image, plan).await?,
        };

        job.enter(Status::SavingResults);
        super::store(job, &self.clients.storage, entries).await
    }
}

impl Image {
    async fn decode(&self, job: &Job, input: Input) -> anyhow::Result<(Array4<f32>, Reservation)> {
        let (image, memory) = input.decode(job, &self.settings.limits).await?;
        let order = match job.dimension_order()? {
            "" => {
                images::default_order(image.shape(), images::Container::of(job.input_file_name()?))?
            }
            order => order,
        };
        let order = order.to_owned();
        Ok((
            compute::run(move || images::to_bxyc(image, &order)).await?,
            memory,
        ))
    }

    async fn segment(
        &self,
        job: &Job,
        image: Array4<f32>,
        passes: Vec<Pass>,
    ) -> anyhow::Result<Entries> {
        plan::check_channels(&passes, image.dim().3)?;
        let scale = self
            .scale(job, || channel(&image, passes[0].channel))
            .await?;
        self.settings.limits.check_scaled_size(&image, scale)?;
        let inputs = select_channels(image, &passes);
        let name = ResultName::new(job.original_name()?);
        let mut features = Vec::new();
        for (c, (pass, input)) in passes.into_iter().zip(inputs).enumerate() {
            let model = Model::load(&self.clients.serving, &pass.model).await?;
            self.settings.limits.check_fit(&input, &model)?;
            job.enter(Status::Predicting);
            let labels = super::segment(job, pass.application, &model, input, scale).await?;
            let name = name.clone();
            job.enter_stage(Stage::Encode);
            features.push(compute::run(move || encode_labels(&name, c, labels)).await);
        }
        Ok(by_batch_item(features))
    }

    async fn run_named(
        &self,
        job: &Job,
        image: Array4<f32>,
        plan: NamedPlan,
    ) -> anyhow::Result<Entries> {
        let scale = self.scale(job, || image.clone()).await?;
        self.settings.limits.check_scaled_size(&image, scale)?;
        let (id, functions) = self.choose_named(job, &image, plan).await?;
        let model = Model::load(&self.clients.serving, &id).await?;
        self.settings.limits.check_fit(&image, &model)?;
        let input = compute::run(move || {
            named::prepare(image, scale, &functions.pre).map(|input| (input, functions))
        })
        .await;
        let (input, functions) = input?;

        job.enter(Status::Predicting);
        let heads = named::predict(&model, input.pixels).await?;

        job.enter(Status::PostProcessing);
        let name = ResultName::new(job.original_name()?);
        compute::run(move || {
            let result = named::finish(heads, &functions.post, input.original)?;
            let features = result.axis_iter(Axis(2)).enumerate();
            Ok(features
                .map(|(c, plane)| (name.feature(c), encode_tiff(plane.into_dyn())))
                .collect())
        })
        .await
    }

    /// The job's scale within its limits, else what the detector says if it is on, else 1.
    async fn scale(
        &self,
        job: &Job,
        image: impl FnOnce() -> Array4<f32> + Send,
    ) -> anyhow::Result<f64> {
        if let Some(scale) = job.scale()? {
            return Ok(self.settings.limits.check_scale(scale)?);
        }
        let scale = match &self.settings.scale_detection {
            Some(model) => {
                detect::scale(&Model::load(&self.clients.serving, model).await?, image()).await?
            }
            None => 1.0,
        };
        job.record_detected(Detected::Scale(scale));
        Ok(scale)
    }

    async fn choose_named(
        &self,
        job: &Job,
        image: &Array4<f32>,
        plan: NamedPlan,
    ) -> anyhow::Result<(serving::ModelId, named::Functions)> {
        let label = match plan {
            NamedPlan::Model(id, functions) => return Ok((id, functions)),
            NamedPlan::Label(label) => label,
            NamedPlan::Detect => {
                let model =
                    Model::load(&self.clients.serving, &self.settings.label_detection_model)
                        .await?;
                let label = detect::label(&model, image.clone()).await?;
                job.record_detected(Detected::Label(label));
                label
            }
        };
        self.settings.by_label(label)
    }
}

/// The channel of each pass, `[batch, row, column, 1]`; the only channel is the image itself.
fn select_channels(image: Array4<f32>, passes: &[Pass]) -> Vec<Array4<f32>> {
    if image.dim().3 == 1 && passes.len() == 1 {
        return vec![image];
    }
    passes
        .iter()
        .map(|pass| channel(&image, pass.channel))
        .collect()
}

fn channel(image: &Array4<f32>, index: usize) -> Array4<f32> {
    image
        .index_axis(Axis(3), index)
        .to_owned()
        .insert_axis(Axis(3))
}

/// One TIFF for each batch item of a feature.
fn encode_labels(name: &ResultName, feature: usize, labels: Array4<u32>) -> Entries {
    let items = labels.outer_iter().enumerate();
    items
        .map(|(b, item)| {
            // Results are f32 for every reader of today; labels stay far below 2^24.
            let pixels = item.index_axis(Axis(2), 0).mapv(|label| label as f32);
            (
                name.batch_feature(b, feature),
                encode_tiff(pixels.view().into_dyn()),
            )
        })
        .collect()
}

/// The entries of all features, batch items first.
fn by_batch_item(features: Vec<Entries>) -> Entries {
    let mut entries: Vec<_> = features
        .into_iter()
        .flat_map(|feature| feature.into_iter().enumerate())
        .collect();
    entries.sort_by_key(|(item, _)| *item);
    entries.into_iter().map(|(_, entry)| entry).collect()
}
