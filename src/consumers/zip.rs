//! An archive of images (`CONSUMER_TYPE` `zip`): each image becomes a job, and their results one archive.

use std::io::Cursor;
use std::time::Instant;

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt as _};
use futures::{TryStreamExt as _, stream};

use crate::compute;
use crate::consumer::{Clients, Consumer, Kind, Outcome};
use crate::failure::InvalidInput;
use crate::job::{Child, ChildInput, Children, Family, Job, Output, Stage, Status};
use crate::settings::Reader;
use crate::storage::archive::{ArchiveLimits, Collector, Images};

/// What archives' queues are called, after the queue of their images.
const SUFFIX: &str = "-zip";

/// Uploads, and downloads, at the same time: so many files are in memory.
const TRANSFERS: usize = 4;

/// Makes a job of each image of an archive, and one archive of their results.
pub const KIND: Kind = Kind {
    name: "zip",
    aliases: &[],
    about: "makes a job of each image of an archive, and one archive of their results",
    queue_suffix: SUFFIX,
    configure: |reader| {
        let limits = limits(reader);
        Box::new(move |clients| Box::new(Zip { limits, clients: clients.clone() }))
    },
};

fn limits(reader: &mut Reader<'_>) -> ArchiveLimits {
    ArchiveLimits {
        entries: reader.parsed("MAX_ARCHIVE_ENTRIES", 10_000, "most images in an archive"),
        bytes: reader.bytes("MAX_ARCHIVE_BYTES", 16 << 30, "most bytes that an archive unpacks to"),
        ratio: reader.parsed("MAX_ARCHIVE_RATIO", 200, "most bytes of an image for each that it takes in the archive"),
    }
}

struct Zip {
    limits: ArchiveLimits,
    clients: Clients,
}

#[async_trait]
impl Consumer for Zip {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        let archive = job.input_file_name()?.to_lowercase().ends_with(".zip");
        if archive { Ok(()) } else { Err(job.invalid_file_type()) }
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        match job.family().await? {
            Family::None => self.expand(job).await,
            Family::Foreign(children) => Ok(Outcome::Wait(children)),
            Family::Waited(children) => self.collect(job, &children).await,
        }
    }
}

impl Zip {
    async fn expand(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.enter_stage(Stage::Download);
        let began = Instant::now();
        let archive = Cursor::new(self.clients.storage.download(job.input_file_name()?).await?);
        let limits = self.limits;
        let mut images = compute::run(move || Images::open(archive, limits)).await?;

        let queue = job.queue_name().strip_suffix(SUFFIX).unwrap_or(job.queue_name()).to_owned();
        let (folder, inheritance) = (format!("output/{}", job.run_id()), job.inheritance());
        let (mut children, mut uploads) = (Vec::new(), FuturesUnordered::new());
        loop {
            // An archive may take long in all; one image may not.
            job.enter_stage(Stage::Upload);
            let (next, rest) = compute::run(move || (images.read_next(), images)).await;
            images = rest;
            let Some((path, body)) = next? else { break };
            let key = format!("{folder}/{path}");
            let input = ChildInput { key: &key, original_name: &path, url: None };
            children.push(job.child(&queue, input, inheritance.clone()));
            uploads.push(async move { self.clients.storage.upload(&key, body.into()).await });
            if uploads.len() >= TRANSFERS {
                uploads.next().await.transpose()?;
            }
        }
        while uploads.next().await.transpose()?.is_some() {}
        if children.is_empty() {
            return Err(InvalidInput("the archive holds no images (files with a suffix)".to_owned()).into());
        }
        job.record_expanded(began.elapsed());
        Ok(Outcome::Wait(Children::new(children, Status::Waiting)))
    }

    async fn collect(&self, job: &Job, children: &[Child]) -> anyhow::Result<Outcome> {
        job.enter_stage(Stage::Download);
        let began = Instant::now();
        // The parts of an archive are independent: what failed is told, and the rest is a result.
        let done: Vec<_> = children.iter().filter_map(|child| child.result().ok()).collect();
        let downloads = done.into_iter().map(|key| async move {
            let file = self.clients.storage.download(&key).await?;
            anyhow::Ok((key, file))
        });
        let mut results = stream::iter(downloads).buffered(TRANSFERS);
        let mut collector = Collector::new(Cursor::new(Vec::new()));
        while let Some((key, file)) = results.try_next().await? {
            job.enter_stage(Stage::Download);
            collector = compute::run(move || {
                let name = key.rsplit('/').next().unwrap_or(&key);
                collector.add(&file, name).map(|()| collector)
            })
            .await?;
        }
        let archive = compute::run(move || collector.finish()).await?.into_inner();

        job.enter_stage(Stage::Upload);
        job.record_collected(children);
        let key = job.output_key();
        let url = self.clients.storage.upload(&key, archive.into()).await?;
        job.record_cleanup(began.elapsed());
        Ok(Outcome::Done(Output { key, url }))
    }
}
