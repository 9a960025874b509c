//! Segmentation of one image (`CONSUMER_TYPE` `image` or `segmentation`).
//!
//! Two generations of jobs meet here. Newer jobs say with `channels` which image channel goes to the nuclear,
//! cytoplasm and phase models that the environment names. Older jobs name the model and the functions themselves.

mod plan;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use ndarray::{Array3, Array4, Axis};

use self::plan::{NamedPlan, Pass, Plan};
pub use self::settings::ImageSettings;
use super::input::Input;
use super::preview::Preview;
use super::recipe::{self, Entries};
use crate::applications::{Model, by_name, scale_and_type};
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, ModelRequirement, Outcome};
use crate::consumers::output::ResultName;
use crate::error_class::InvalidInput;
use crate::job::{Detected, Job, Step};
use crate::serving;
use bioimage::encode_tiff;

/// Segments one image.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "image",
    aliases: &["segmentation"],
    summary: "segments the cells of one image",
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
        recipe::refuse_archives(job)
    }

    fn models(&self) -> Vec<ModelRequirement> {
        let ImageSettings {
            nuclear,
            cytoplasm,
            phase,
            scale_detection,
            detect_label,
            label_detection_model,
            ..
        } = &*self.settings;
        let mut needs = vec![ModelRequirement::of_images(nuclear, 1)];
        needs.extend(
            [cytoplasm, phase].map(|model| ModelRequirement::of_images(model, 1).optional()),
        );
        let label_detection = detect_label.then_some(label_detection_model);
        needs.extend(
            scale_detection
                .iter()
                .chain(label_detection)
                .map(|model| ModelRequirement::of_images(model, 1)),
        );
        needs
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Download);
        let plan = plan::of(job, &self.settings)?;
        let input = Input::fetch(job, &self.settings.limits, &self.clients).await?;

        job.step(Step::Preprocess);
        let decoded = input.decode(job, &self.settings.limits).await?;
        let (scale, type_maximum) = (decoded.scale, decoded.type_maximum);
        let _memory = decoded.memory;
        let image = recipe::with_axes_in_order(job, decoded.image, decoded.container).await?;
        let (previews, chosen) = (self.settings.previews, plan.channels());
        let (preview, image) = previews.see(image, chosen.as_deref(), type_maximum).await;
        let work = Work {
            job,
            scale,
            preview: &preview,
        };
        let entries = match plan {
            Plan::Channels(passes) => self.segment(work, image, passes).await?,
            Plan::Named(plan) => self.run_named(work, image, plan).await?,
        };

        job.step(Step::Upload);
        recipe::store(job, &self.clients.storage, entries, &preview).await
    }
}

/// What the ways to segment an image have in common.
#[derive(Clone, Copy)]
struct Work<'w> {
    job: &'w Job,
    /// That which the job asks for.
    scale: Option<f64>,
    preview: &'w Preview,
}

impl Image {
    async fn segment(
        &self,
        work: Work<'_>,
        image: Array4<f32>,
        passes: Vec<Pass>,
    ) -> anyhow::Result<Entries> {
        let Work { job, preview, .. } = work;
        plan::check_channels(&passes, image.dim().3)?;
        let image = Arc::new(image);
        let scale = self.scale(&work, &image, Some(passes[0].channel)).await?;
        self.settings.limits.check_scaled_size(&image, scale)?;
        let channels = passes.iter().map(|pass| pass.channel).collect();
        let inputs = compute::run(move || select_channels(image, channels)).await;
        let name = ResultName::new(job.original_name()?);
        let mut features = Vec::new();
        for (c, (pass, input)) in passes.into_iter().zip(inputs).enumerate() {
            let model = Model::load(&self.clients.serving, &pass.model).await?;
            self.settings.limits.check_fit(&input, &model)?;
            job.step(Step::Predict);
            let labels = pass
                .application
                .segment(&model, input, scale, recipe::follow(job))
                .await?;
            let (name, shown) = (name.clone(), preview.clone());
            job.step(Step::Encode);
            features.push(compute::run(move || encode_labels(&name, c, labels, &shown)).await);
        }
        Ok(by_batch_item(features))
    }

    async fn run_named(
        &self,
        work: Work<'_>,
        image: Array4<f32>,
        plan: NamedPlan,
    ) -> anyhow::Result<Entries> {
        let job = work.job;
        let image = Arc::new(image);
        let scale = self.scale(&work, &image, None).await?;
        self.settings.limits.check_scaled_size(&image, scale)?;
        let (id, pipeline) = self.choose_named(job, &image, plan).await?;
        let model = Model::load(&self.clients.serving, &id).await?;
        if pipeline.is_star_convex() {
            let work = Work {
                scale: Some(scale),
                ..work
            };
            return self.run_star_convex(work, image, (model, id)).await;
        }
        self.settings.limits.check_fit(&image, &model)?;
        let input = compute::run(move || {
            let image = Arc::unwrap_or_clone(image);
            by_name::prepare(image, scale, &pipeline.preprocess).map(|input| (input, pipeline))
        })
        .await;
        let (input, pipeline) = input?;

        job.step(Step::Predict);
        let heads = by_name::predict(&model, input.pixels).await?;

        job.step(Step::Postprocess);
        let name = ResultName::new(job.original_name()?);
        let shown = work.preview.clone();
        compute::run(move || {
            let result = by_name::postprocess(heads, &pipeline.postprocess, input.original)?;
            Ok(encode_features(&name, &result, &shown))
        })
        .await
    }

    /// A model of StarDist that the job names.
    async fn run_star_convex(
        &self,
        Work {
            job,
            scale,
            preview,
        }: Work<'_>,
        image: Arc<Array4<f32>>,
        (model, id): (Model, serving::ModelId),
    ) -> anyhow::Result<Entries> {
        self.settings.limits.check_size(&image)?;
        let image = compute::run(move || Arc::unwrap_or_clone(image)).await;
        let mut images = recipe::images_for(image, None, &model).await?.into_iter();
        let (Some(image), None) = (images.next(), images.next()) else {
            let text = "a job that names its model takes one image, this file holds several";
            return Err(InvalidInput(text.to_owned()).into());
        };
        job.step(Step::Predict);
        let settings = &self.settings.star_convex;
        let application = settings.application(&self.clients.serving, &id).await?;
        let scale = scale.unwrap_or(1.0);
        let found = application.segment(&model, image, scale).await?;
        job.step(Step::Encode);
        let name = ResultName::new(job.original_name()?).feature(0);
        Ok(vec![(
            name,
            recipe::shown_label_tiff(found.labels, preview).await,
        )])
    }

    /// The scale of a job, detected if it does not say it.
    async fn scale(
        &self,
        work: &Work<'_>,
        image: &Arc<Array4<f32>>,
        channel: Option<usize>,
    ) -> anyhow::Result<f64> {
        match work.scale {
            Some(scale) => Ok(scale),
            None => self.detect_scale(work.job, image, channel).await,
        }
    }

    /// The scale of a job that does not say it: what the detector finds in a channel, or in the image, if it is on, else 1.
    async fn detect_scale(
        &self,
        job: &Job,
        image: &Arc<Array4<f32>>,
        channel: Option<usize>,
    ) -> anyhow::Result<f64> {
        let scale = match &self.settings.scale_detection {
            Some(model) => {
                let model = Model::load(&self.clients.serving, model).await?;
                scale_and_type::scale(&model, part(image, channel).await).await?
            }
            None => 1.0,
        };
        job.record_detected(Detected::Scale(scale));
        Ok(scale)
    }

    async fn choose_named(
        &self,
        job: &Job,
        image: &Arc<Array4<f32>>,
        plan: NamedPlan,
    ) -> anyhow::Result<(serving::ModelId, by_name::Pipeline)> {
        let label = match plan {
            NamedPlan::Model(id, functions) => return Ok((id, functions)),
            NamedPlan::Label(label) => label,
            NamedPlan::Detect => {
                let id = &self.settings.label_detection_model;
                let model = Model::load(&self.clients.serving, id).await?;
                let label = scale_and_type::image_type(&model, Arc::clone(image)).await?;
                job.record_detected(Detected::Label(label));
                label
            }
        };
        self.settings.by_label(label)
    }
}

/// One channel, or the whole image.
async fn part(image: &Arc<Array4<f32>>, index: Option<usize>) -> Arc<Array4<f32>> {
    let image = Arc::clone(image);
    match index {
        Some(index) => compute::run(move || Arc::new(channel(&image, index))).await,
        None => image,
    }
}

/// These channels, each `[batch, row, column, 1]`; the only channel is the image itself.
fn select_channels(image: Arc<Array4<f32>>, channels: Vec<usize>) -> Vec<Array4<f32>> {
    if image.dim().3 == 1 && channels.len() == 1 {
        return vec![Arc::unwrap_or_clone(image)];
    }
    let channels = channels.into_iter();
    channels.map(|index| channel(&image, index)).collect()
}

fn channel(image: &Array4<f32>, index: usize) -> Array4<f32> {
    let channel = image.index_axis(Axis(3), index);
    channel.to_owned().insert_axis(Axis(3))
}

/// One TIFF for each batch item of a feature.
fn encode_labels(
    name: &ResultName,
    feature: usize,
    labels: Array4<u32>,
    preview: &Preview,
) -> Entries {
    let items = labels.outer_iter().enumerate();
    items
        .map(|(b, item)| {
            let labels = item.index_axis(Axis(2), 0);
            if b == 0 {
                preview.show_labels(labels);
            }
            let labels = labels.into_dyn();
            (name.batch_feature(b, feature), recipe::label_tiff(&labels))
        })
        .collect()
}

/// One TIFF for each feature of `[row, column, feature]`.
fn encode_features(name: &ResultName, result: &Array3<f32>, preview: &Preview) -> Entries {
    if let Some(first) = result.axis_iter(Axis(2)).next() {
        preview.show_values(first);
    }
    let features = result.axis_iter(Axis(2)).enumerate();
    features
        .map(|(c, plane)| (name.feature(c), encode_tiff(plane.into_dyn())))
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
