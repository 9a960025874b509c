//! Files on their way into the bucket, each sent unless it is there.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::super::desk::{Line, LocalFile, Progress, Rate, Screen, size};
use super::content::{Content, Trouble};
use crate::storage::Storage;

/// What sends files.
pub(super) struct Uploader {
    pub(super) storage: Storage,
    pub(super) is_dry: bool,
    pub(super) gauge: Gauge,
}

/// How much has been sent, and how it is shown.
pub(super) struct Gauge {
    files: AtomicU64,
    bytes: AtomicU64,
    total: (u64, u64),
    rate: Mutex<Rate>,
    progress: Progress,
}

impl Uploader {
    /// Sends a file unless it is there, and gives the bytes that were sent.
    pub(super) async fn send(
        &self,
        file: &LocalFile,
        content: &Content,
        key: &str,
        is_known: bool,
    ) -> Result<Option<u64>, Trouble> {
        let (size_bytes, sha256) = (content.size_bytes, &content.sha256);
        let has = is_known || self.storage.has(key, size_bytes, sha256).await?;
        if has || self.is_dry {
            self.gauge.add(size_bytes);
        } else {
            let sent = |bytes| self.gauge.add(bytes);
            content.store(&self.storage, key, file, sent).await?;
        }
        self.gauge.add_file()?;
        Ok((!has).then_some(size_bytes))
    }
}

/// How many files there are, and their bytes.
pub(super) fn total_of(files: &[LocalFile]) -> (u64, u64) {
    let bytes = files.iter().map(|file| file.size_bytes).sum();
    (files.len() as u64, bytes)
}

impl Gauge {
    /// Shows that so many files with so many bytes are to be sent.
    pub(super) fn begin(screen: Screen, total: (u64, u64)) -> io::Result<Self> {
        let begin = line((0, 0), total, 0.0);
        Ok(Self {
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total,
            rate: Mutex::new(Rate::new()),
            progress: Progress::begin(screen, "uploads", Some(total.1), begin)?,
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
