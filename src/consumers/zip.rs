//! An archive of images (`CONSUMER_TYPE` `zip`): each image becomes a job, and their results one archive.
//!
//! Neither archive is ever in memory as a whole: the images are fetched and sent on a few at a time, and the results go up
//! in parts while others come in. One image, or one result, is.

mod unpacker;

use std::pin::pin;
use std::time::Instant;

use async_trait::async_trait;
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream};

use self::unpacker::Unpacker;
use super::{memory, recipe};
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, Outcome};
use crate::error_class::InvalidInput;
use crate::job::{
    Child, ChildInput, ChildSpec, ChildState, Children, Job, Output, Status, Step, Timing,
};
use crate::settings::{Bytes, Loader};
use crate::storage::ObjectWriter;
use crate::storage::archive::{ArchiveError, ArchiveLimits, ZipMerger};

/// What archives' queues are called, after the queue of their images.
const SUFFIX: &str = "-zip";

/// Files that are fetched, or sent, at the same time: so many are in memory …
const TRANSFERS: usize = 4;

/// … unless they are larger than this together.
const TRANSFER_BYTES: u64 = 64 << 20;

/// Results whose size is asked for at the same time.
const LOOKS: usize = 16;

/// Makes a job of each image of an archive, and one archive of their results.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "zip",
    aliases: &[],
    summary: "makes a job of each image of an archive, and one archive of their results",
    queue_suffix: SUFFIX,
    configure: |loader| {
        let limits = limits(loader);
        Box::new(move |clients| {
            Box::new(Zip {
                limits,
                clients: clients.clone(),
            })
        })
    },
};

crate::settings! {
    /// Limits for archives.
    struct ArchiveVariables {
        /// Largest number of images in an archive.
        max_archive_entries: usize = 10_000,
        /// Largest size of an unpacked archive, in bytes.
        max_archive_bytes: Bytes = Bytes(16 << 30),
        /// Largest ratio between the unpacked and the packed size of an image in an archive.
        max_archive_ratio: u64 = 200,
    }
}

/// Loads `MAX_ARCHIVE_ENTRIES` and the like.
fn limits(loader: &mut Loader<'_>) -> ArchiveLimits {
    let variables: ArchiveVariables = loader.load();
    ArchiveLimits {
        entries: variables.max_archive_entries,
        bytes: variables.max_archive_bytes.0,
        ratio: variables.max_archive_ratio,
    }
}

struct Zip {
    limits: ArchiveLimits,
    clients: Clients,
}

#[async_trait]
impl Consumer for Zip {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        if recipe::is_archive(job.input_file_name()?) {
            Ok(())
        } else {
            Err(job.invalid_file_type())
        }
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        match job.children().await? {
            ChildState::None => self.expand(job).await,
            ChildState::CreatedElsewhere(children) => Ok(Outcome::Wait(children)),
            ChildState::Finished(children) => self.collect(job, &children).await,
        }
    }
}

impl Zip {
    async fn expand(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Fetch);
        let began = Instant::now();
        let storage = &self.clients.storage;
        let reference = job.input_file_name()?;
        let guess = if self.clients.memory.is_limited() {
            Unpacker::memory_to_open(storage, reference, self.limits).await?
        } else {
            0
        };
        let fetch = || async {
            let archive = Unpacker::open(storage, reference, self.limits).await?;
            let largest = archive.largest().unpacked;
            let images = (at_once(largest) as u64).saturating_mul(largest);
            let needed = archive.memory().max(guess).saturating_add(images);
            Ok((needed, archive))
        };
        let (archive, _memory) = memory::fetch_within(job, &self.clients, guess, fetch).await?;
        let at_once = at_once(archive.largest().unpacked);

        let mut children = Vec::new();
        let stored = self
            .store_images(job, archive, at_once, &mut children)
            .await;
        if let Err(error) = stored {
            self.clean_up(job, &error, &children).await;
            return Err(error);
        }
        if children.is_empty() {
            return Err(InvalidInput(
                "the archive holds no images (files with a suffix)".to_owned(),
            )
            .into());
        }
        job.record_timing(Timing::ChildrenUpload(began.elapsed()));
        Ok(Outcome::Wait(Children::new(children, Status::Waiting)))
    }

    /// Uploads the images of an archive, and adds a job for each.
    async fn store_images(
        &self,
        job: &Job,
        archive: Unpacker,
        at_once: usize,
        children: &mut Vec<ChildSpec>,
    ) -> anyhow::Result<()> {
        let storage = &self.clients.storage;
        let queue = job
            .queue_name()
            .strip_suffix(SUFFIX)
            .unwrap_or(job.queue_name());
        let (folder, inherited) = (folder_of_images(job), job.inherited_fields());
        let images = stream::try_unfold(archive, |archive| {
            // An archive may take long in all; one image may not.
            job.step(Step::Store);
            archive.next()
        });
        let uploads = images.map(|image| {
            let image = image.map(|(path, body)| {
                let key = format!("{folder}/{path}");
                let input = ChildInput {
                    key: &key,
                    original_name: &path,
                    url: None,
                };
                children.push(job.child(queue, input, inherited.clone()));
                (key, body)
            });
            async move {
                let (key, body) = image?;
                Ok(storage.upload(&key, body.into()).await.map(drop)?)
            }
        });
        all_or_damage(uploads.buffer_unordered(at_once)).await
    }

    /// Removes the images of an archive that turns out to be damaged behind them.
    ///
    /// Whoever may have taken the job over meanwhile meets the same damage. After any other error the images stay: the next
    /// attempt replaces them, and they may be somebody else's by now.
    async fn clean_up(&self, job: &Job, error: &anyhow::Error, children: &[ChildSpec]) {
        if error.is::<ArchiveError>() {
            let folder = folder_of_images(job);
            let keys = children
                .iter()
                .map(|child| format!("{folder}/{}", child.name));
            self.clients.storage.remove(keys.collect()).await;
        }
    }

    async fn collect(&self, job: &Job, children: &[Child]) -> anyhow::Result<Outcome> {
        job.step(Step::Fetch);
        let began = Instant::now();
        // The parts of an archive are independent: what failed is told, and the rest is a result.
        let done: Vec<_> = children
            .iter()
            .filter_map(|child| child.result().ok())
            .collect();
        let largest = self.largest_result(&done).await?;
        let at_once = at_once(largest);
        // Those fetched ahead, the one that is added, and what it adds.
        let results = (at_once as u64 + 2).saturating_mul(largest);
        let bytes = ObjectWriter::MEMORY.saturating_add(results);
        let _memory = memory::reserve(job, &self.clients, bytes).await?;

        let output = self.merge(job, done, at_once).await?;
        job.record_children(children);
        job.record_timing(Timing::Cleanup(began.elapsed()));
        Ok(Outcome::Done(output))
    }

    /// Stores one archive with the files of all results.
    async fn merge(
        &self,
        job: &Job,
        results: Vec<String>,
        at_once: usize,
    ) -> anyhow::Result<Output> {
        let storage = &self.clients.storage;
        let downloads = results.into_iter().map(|key| async move {
            let file = storage.download(&key).await?;
            anyhow::Ok((key, file))
        });
        let mut results = stream::iter(downloads).buffered(at_once);
        let key = job.output_key();
        let (mut merger, mut upload) = (ZipMerger::new(), storage.object_writer(&key)?);
        job.step(Step::Fetch);
        while let Some((key, file)) = results.try_next().await? {
            job.step(Step::Store);
            let (grown, rest) = compute::run(move || {
                let name = key.rsplit('/').next().unwrap_or(&key);
                (merger.add(&file, name), merger)
            })
            .await;
            merger = rest;
            upload.write(&grown?).await?;
            job.step(Step::Fetch);
        }
        job.step(Step::Store);
        let end = compute::run(move || merger.finish()).await?;
        upload.write(&end).await?;
        let url = upload.finish().await?;
        Ok(Output { key, url })
    }

    /// Bytes of the largest of these results; nothing if it does not matter.
    async fn largest_result(&self, keys: &[String]) -> anyhow::Result<u64> {
        let Clients {
            storage, memory, ..
        } = &self.clients;
        if !memory.is_limited() {
            return Ok(0);
        }
        let sizes = stream::iter(keys.to_vec()).map(|key| async move { storage.size(&key).await });
        let sizes = sizes.buffer_unordered(LOOKS);
        Ok(sizes
            .try_fold(0, |largest, size| future::ok(size.max(largest)))
            .await?)
    }
}

/// Waits for all uploads. With damage, which is the last that is unpacked, those before it are still waited for.
async fn all_or_damage(uploads: impl Stream<Item = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut uploads = pin!(uploads);
    let mut damage = None;
    while let Some(stored) = uploads.next().await {
        match stored {
            Err(error) if error.is::<ArchiveError>() => damage = Some(error),
            stored if damage.is_none() => stored?,
            _ => {}
        }
    }
    damage.map_or(Ok(()), Err)
}

/// Where the images of an archive go.
fn folder_of_images(job: &Job) -> String {
    format!("output/{}", job.stable_id())
}

/// How many files of this size are fetched or sent at the same time.
fn at_once(largest: u64) -> usize {
    let fit = usize::try_from(TRANSFER_BYTES / largest.max(1)).unwrap_or(TRANSFERS);
    fit.clamp(1, TRANSFERS)
}
