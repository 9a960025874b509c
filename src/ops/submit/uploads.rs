//! Jobs of files: each is read, stored unless it is there, and queued.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use tokio_util::task::AbortOnDropHandle;

use super::super::desk::{Found, LocalFile, Misuse, find};
use super::content::{Content, Trouble};
use super::context::Context;
use super::enqueuer::Enqueuer;
use super::uploader::{Gauge, Uploader, total_of};
use crate::compute;
use crate::queue::Admin;
use crate::queue::control::{NewEntry, queue_for};
use crate::submission::{Identity, Input, Wishes};
use crate::untrusted;
use crate::wire::timestamp;

/// The folder of uploads, as the frontend has it.
pub(super) const UPLOADS: &str = "uploads";

/// What a task that sends one file needs.
struct Sender {
    uploader: Uploader,
    admin: Admin,
    wishes: Wishes,
    queue: String,
    identity: Identity,
    host: String,
}

/// A file that is in the bucket, or would be, and its job.
struct Ready {
    queue: String,
    job: NewEntry,
    /// The bytes that were sent; nothing if they were there.
    sent: Option<u64>,
}

/// Uploads files and queues their jobs, in their order.
pub(super) async fn submit(
    context: &Context,
    paths: &[PathBuf],
    enqueuer: &mut Enqueuer<'_>,
) -> anyhow::Result<()> {
    let files = find_files(context, paths).await?;
    let gauge = Gauge::begin(context.screen, total_of(&files))?;
    let sender = Arc::new(Sender::new(context, gauge));
    let sending = |file: LocalFile| {
        let sender = Arc::clone(&sender);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let sent = sender.send(&file).await;
            (file, sent)
        }))
    };
    // Each is a task, so that their digests use all cores; the order of the files is that of their jobs.
    let mut sent = stream::iter(files.into_iter().map(sending)).buffered(context.at_once);
    while let Some(ended) = sent.next().await {
        let (file, ready) = ended?;
        match ready {
            Ok(Ready { queue, job, sent }) => {
                enqueuer.count_transfer(sent);
                enqueuer.add_job(queue, job).await?;
            }
            Err(Trouble::File(why)) => enqueuer.except(file.path.display(), why)?,
            Err(Trouble::Peer(error)) => {
                // What is stored is queued, so that the next call need not ask for it.
                enqueuer.flush().await?;
                return Err(error.context("broken off; the same command goes on"));
            }
        }
    }
    drop(sent);
    if let Some(sender) = Arc::into_inner(sender) {
        sender.uploader.gauge.end()?;
    }
    Ok(())
}

/// The files that are named; what is left out is said.
pub(super) async fn find_files(
    context: &Context,
    paths: &[PathBuf],
) -> anyhow::Result<Vec<LocalFile>> {
    let (paths, limit) = (paths.to_vec(), context.limit);
    let found: Found = compute::run(move || find(&paths, limit))
        .await
        .map_err(Misuse)?;
    if let Some(text) = found.left_out() {
        writeln!(io::stderr(), "{}", untrusted::message(text))?;
    }
    Ok(found.files)
}

impl Sender {
    fn new(context: &Context, gauge: Gauge) -> Self {
        Self {
            uploader: Uploader {
                storage: context.storage.clone(),
                is_dry: context.is_dry,
                gauge,
            },
            admin: context.desk.admin.clone(),
            wishes: context.wishes.clone(),
            queue: context.queue.clone(),
            identity: context.identity,
            host: context.host.clone(),
        }
    }

    async fn send(&self, file: &LocalFile) -> Result<Ready, Trouble> {
        let content = Content::read(file).await?;
        let key = format!("{UPLOADS}/{}/{}", &content.sha256[..8], file.name);
        let input = Input {
            url: self.uploader.storage.public_url(&key),
            name: file.name.clone(),
            sha256: Some(content.sha256.clone()),
            key,
        };
        let queue = queue_for(&self.queue, &file.name);
        let stamp = timestamp();
        let job = self
            .wishes
            .job(&queue, &input, self.identity, (&stamp, &self.host));
        let is_known = self.identity != Identity::Random
            && self
                .admin
                .exists(&job.key)
                .await
                .map_err(anyhow::Error::from)?;
        let sent = self
            .uploader
            .send(file, &content, &input.key, is_known)
            .await?;
        Ok(Ready { queue, job, sent })
    }
}
