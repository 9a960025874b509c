//! Spots and the cells they lie in (`CONSUMER_TYPE` `polaris`): the parts of one image are worked by other consumers.

mod parts;
mod results;

use std::sync::Arc;

use anyhow::bail;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::ArrayD;

use self::parts::{Part, bytes_of_parts, parts};
use self::results::{bytes_of_results, entries, unpack_all};
use super::limits;
use super::memory;
use super::preview::Preview;
use super::recipe::{self, Entries};
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, Outcome};
use crate::consumers::output::ResultName;
use crate::job::{Child, ChildInput, ChildSpec, ChildState, Children, Job, Status, Step};
use crate::memory::Reservation;
use crate::settings::Loader;
use bioimage::encode_tiff;

/// Results that are fetched at the same time.
const TRANSFERS: usize = 4;

/// Finds spots and the cells they lie in.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "polaris",
    aliases: &[],
    summary: "finds spots and the cells they lie in, through jobs for other consumers",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(PolarisSettings::load(loader));
        Box::new(|clients| {
            Box::new(Polaris {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

crate::settings! {
    /// Spots and the cells they lie in.
    struct PolarisVariables {
        /// Scale of the jobs that segment cells.
        polaris_scale: f64 = 0.38,
    }
}

/// Scale and limits of the polaris consumer.
#[derive(Debug)]
pub struct PolarisSettings {
    scale: f64,
    decoding: bioimage::Limits,
}

impl PolarisSettings {
    /// Loads `POLARIS_SCALE` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let PolarisVariables { polaris_scale } = loader.load();
        Self {
            scale: polaris_scale,
            decoding: limits::decoding(loader),
        }
    }
}

struct Polaris {
    settings: Arc<PolarisSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Polaris {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        recipe::refuse_archives(job)
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        if let ChildState::Finished(children) = job.children().await? {
            return self.collect(job, &children).await;
        }
        let (image, _memory) = self.image(job).await?;
        job.record_pixels(image.len());
        let (channels, kind) = (
            job.channel_positions()?,
            job.segmentation_type()?.to_owned(),
        );
        let parts = compute::run(move || parts(&image, &channels, &kind)).await?;
        job.step(Step::Store);
        let mut children = Vec::new();
        for part in parts {
            children.push(self.child(job, part).await?);
        }
        Ok(Outcome::Wait(
            Children::new(children, Status::Predicting).failing_fast(),
        ))
    }
}

impl Polaris {
    /// The image of a job, as soon as there is memory for it and its parts.
    async fn image(&self, job: &Job) -> anyhow::Result<(ArrayD<f32>, Reservation)> {
        let reference = job.input_file_name()?;
        let limits = self.settings.decoding;
        let guess = memory::size(&self.clients, reference).await?;
        let fetch = || async {
            job.step(Step::Download);
            let file = self.clients.storage.download(reference).await?;
            job.step(Step::Decode);
            let name = reference.to_owned();
            Ok(compute::run(move || {
                let header = bioimage::header_of(&file, &name).ok();
                (bytes_of_parts(file.len(), header.as_ref()), file)
            })
            .await)
        };
        let (file, memory) = memory::fetch_within(job, &self.clients, guess, fetch).await?;
        let name = reference.to_owned();
        let image = compute::run(move || bioimage::decode(&file, &name, &limits)).await?;
        Ok((image, memory))
    }

    /// The files that the jobs of the parts have found, by their queues: spots, nuclei, cytoplasm.
    async fn results(
        &self,
        job: &Job,
        children: &[Child],
    ) -> anyhow::Result<(Vec<(String, Entries)>, Reservation)> {
        let found: Vec<_> = children
            .iter()
            .filter_map(|child| Some((child.queue(), child.result().ok()?)))
            .collect();
        let mut guess = 0;
        for (_, key) in &found {
            guess += memory::size(&self.clients, key).await?;
        }
        let limits = self.settings.decoding;
        let fetch = || async {
            let downloads = found.clone().into_iter().map(|(queue, key)| async move {
                let file = self.clients.storage.download(&key).await?;
                anyhow::Ok((queue, file))
            });
            // In the order in which they were created.
            let files: Vec<(String, Bytes)> = stream::iter(downloads)
                .buffered(TRANSFERS)
                .try_collect()
                .await?;
            let (needed, files) =
                compute::run(move || (bytes_of_results(&files, &limits), files)).await;
            Ok((needed?, files))
        };
        let (files, memory) = memory::fetch_within(job, &self.clients, guess, fetch).await?;
        let results = compute::run(move || unpack_all(files, &limits)).await?;
        Ok((results, memory))
    }

    async fn child(&self, job: &Job, part: Part) -> anyhow::Result<ChildSpec> {
        let original = job.original_name()?.replace(['/', '\\'], "_");
        let name = format!(
            "{}-{original}-{}{}-image.tif",
            job.stable_id(),
            part.queue,
            part.name
        );
        let image = part.image;
        let tiff = compute::run(move || encode_tiff(image.view())).await;
        let key = format!("output/{name}");
        let url = self.clients.storage.upload(&key, tiff.into()).await?;
        let scale = self.settings.scale.to_string();
        let fields = [
            ("channels", part.channels),
            ("scale", &scale),
            ("dimension_order", "BXY"),
        ];
        let fields = fields
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .into();
        let input = ChildInput {
            key: &key,
            original_name: &name,
            url: Some(&url),
        };
        Ok(job.child(part.queue, input, fields))
    }

    async fn collect(&self, job: &Job, children: &[Child]) -> anyhow::Result<Outcome> {
        let failed = children.iter().filter(|child| child.has_failed());
        for child in failed.chain(children) {
            if let Err(failed) = child.result() {
                bail!(
                    "Analysis failed for image with hash: {} for this reason: {}",
                    child.key,
                    failed.reason
                );
            }
        }
        job.step(Step::Fetch);
        let (results, _memory) = self.results(job, children).await?;

        let limits = self.settings.decoding;
        job.step(Step::Upload);
        let name = ResultName::new(job.original_name()?);
        job.step(Step::Encode);
        let entries = compute::run(move || entries(&name, results, &limits)).await?;
        // Its images are those of its children, which have previews of their own.
        let preview = Preview::none();
        recipe::store(job, &self.clients.storage, entries, &preview).await
    }
}
