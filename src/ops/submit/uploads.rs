//! Jobs of files: each is read, stored unless it is there, and queued.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::super::desk::{Line, Misuse, Progress, Rate, Screen, size};
use super::content::{Content, Trouble};
use super::context::Context;
use super::enqueuer::Enqueuer;
use super::files::{Found, LocalFile, find};
use super::new_jobs::{Identity, Input, Wishes, queue_for};
use crate::compute;
use crate::queue::{Admin, control::NewEntry};
use crate::storage::Storage;
use crate::wire::timestamp;

/// The folder of uploads, as the frontend has it.
pub(super) const UPLOADS: &str = "uploads";

/// What a task that sends one file needs.
struct Sender {
    storage: Storage,
    admin: Admin,
    wishes: Wishes,
    queue: String,
    identity: Identity,
    host: String,
    is_dry: bool,
    gauge: Gauge,
}

/// How much has been sent, and how it is shown.
pub(super) struct Gauge {
    files: AtomicU64,
    bytes: AtomicU64,
    total: (u64, u64),
    rate: Mutex<Rate>,
    progress: Progress,
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
    let gauge = Gauge::begin(context.screen, &files)?;
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
        sender.gauge.end()?;
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
        writeln!(io::stderr(), "{text}")?;
    }
    Ok(found.files)
}

impl Sender {
    fn new(context: &Context, gauge: Gauge) -> Self {
        Self {
            storage: context.storage.clone(),
            admin: context.desk.admin.clone(),
            wishes: context.wishes.clone(),
            queue: context.queue.clone(),
            identity: context.identity,
            host: context.host.clone(),
            is_dry: context.is_dry,
            gauge,
        }
    }

    async fn send(&self, file: &LocalFile) -> Result<Ready, Trouble> {
        let content = Content::read(file).await?;
        let key = format!("{UPLOADS}/{}/{}", &content.sha256[..8], file.name);
        let input = Input {
            url: self.storage.public_url(&key),
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
        let has = is_known
            || self
                .storage
                .has(&input.key, content.size_bytes, &content.sha256)
                .await?;
        if has || self.is_dry {
            self.gauge.add(content.size_bytes);
        } else {
            let sent = |bytes| self.gauge.add(bytes);
            content.store(&self.storage, &input.key, file, sent).await?;
        }
        self.gauge.add_file()?;
        Ok(Ready {
            queue,
            job,
            sent: (!has).then_some(content.size_bytes),
        })
    }
}

impl Gauge {
    pub(super) fn begin(screen: Screen, files: &[LocalFile]) -> io::Result<Self> {
        let bytes = files.iter().map(|file| file.size_bytes).sum();
        let total = (files.len() as u64, bytes);
        let begin = line((0, 0), total, 0.0);
        Ok(Self {
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total,
            rate: Mutex::new(Rate::new()),
            progress: Progress::begin(screen, "uploads", Some(bytes), begin)?,
        })
    }

    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_file(&self) -> io::Result<()> {
        self.files.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.progress.show(bytes, || self.line())
    }

    pub(super) fn end(self) -> io::Result<()> {
        let line = self.line();
        self.progress.end(self.bytes.into_inner(), line)
    }

    fn line(&self) -> Line {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let done = (self.files.load(Ordering::Relaxed), bytes);
        line(done, self.total, rate.of(bytes))
    }
}

fn line((files, bytes): (u64, u64), total: (u64, u64), rate: f64) -> Line {
    let left = total.1.saturating_sub(bytes) as f64 / rate;
    let left = left.is_finite().then(|| left.ceil() as u64);
    let mut text = format!("{files}/{} {}", total.0, size(bytes as f64));
    if rate > 0.0 {
        text += &format!(" {}/s", size(rate));
    }
    if let Some(left) = left.filter(|left| *left > 0) {
        text += &format!(" eta={left}s");
    }
    Line {
        text,
        json: json!({
            "done": files, "total": total.0, "bytes": bytes, "bytes_total": total.1,
            "bytes_per_s": rate.round(), "eta_s": left,
        }),
    }
}
