//! Files of plans: they are in the bucket before their batch begins.

use std::fs;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use batch_plan::Upload;
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::super::super::desk::{LocalFile, Screen, counted, listed, print_json, size};
use super::super::content::{Content, Trouble};
use super::super::uploader::{Gauge, Uploader};
use crate::exit_code;
use crate::storage::Storage;
use crate::submission::Prepared;
use crate::untrusted;

/// How files are sent.
pub(super) struct Sending<'a> {
    pub(super) storage: &'a Storage,
    pub(super) screen: Screen,
    pub(super) json: bool,
    pub(super) at_once: usize,
    pub(super) stop: &'a CancellationToken,
}

/// What came of it.
#[derive(Debug, Default)]
struct Sent {
    files: u64,
    bytes: u64,
    /// Files that were in the bucket already.
    there: u64,
    /// Files that could not be sent.
    failed: u64,
    is_stopped: bool,
}

/// Sends the files of a plan, each unless it is there. Gives the exit status if its batch cannot begin.
pub(super) async fn upload(
    prepared: &Prepared,
    sending: &Sending<'_>,
) -> anyhow::Result<Option<u8>> {
    let uploads = || prepared.lists.uploads(&prepared.plan);
    let sizes = uploads().map(|upload| upload.size);
    let total = sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size));
    if total.0 == 0 {
        return Ok(None);
    }
    let uploader = Arc::new(Uploader {
        storage: sending.storage.clone(),
        is_dry: false,
        gauge: Gauge::begin(sending.screen, total)?,
    });
    let mut sent = Sent::default();
    let ended = sent.all(uploads(), &uploader, sending).await;
    if let Some(uploader) = Arc::into_inner(uploader) {
        uploader.gauge.end()?;
    }
    ended?;
    sent.report(prepared.plan.name(), total.0, sending.json)
}

/// Says which files were written since their batch began, at so many seconds since 1970: nothing is uploaded for it any more.
pub(super) fn warn_of_changed(prepared: &Prepared, began: u64) -> io::Result<()> {
    let began = UNIX_EPOCH + Duration::from_secs(began + 1);
    let mut uploads = prepared.lists.uploads(&prepared.plan).filter(|upload| {
        let metadata = fs::metadata(&upload.file);
        let modified = metadata.and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified > began)
    });
    let Some(first) = uploads.next() else {
        return Ok(());
    };
    let changed = counted(1 + uploads.count() as u64, "file");
    let text = format!(
        "{changed} changed since the batch began ({}), and nothing more is uploaded for it: give what has changed another name",
        first.file.display()
    );
    writeln!(io::stderr(), "{}", untrusted::message(text))
}

impl Sent {
    async fn all(
        &mut self,
        uploads: impl Iterator<Item = Upload>,
        uploader: &Arc<Uploader>,
        sending: &Sending<'_>,
    ) -> anyhow::Result<()> {
        let tasks = uploads.map(|upload| {
            let uploader = Arc::clone(uploader);
            AbortOnDropHandle::new(tokio::spawn(async move {
                let sent = send(&uploader, &upload).await;
                (upload, sent)
            }))
        });
        let mut tasks = stream::iter(tasks).buffer_unordered(sending.at_once);
        loop {
            let Some(ended) = sending.stop.run_until_cancelled(tasks.next()).await else {
                self.is_stopped = true;
                return Ok(());
            };
            let Some(ended) = ended else {
                return Ok(());
            };
            match ended? {
                (_, Ok(Some(bytes))) => {
                    self.files += 1;
                    self.bytes += bytes;
                }
                (_, Ok(None)) => self.there += 1,
                (upload, Err(Trouble::File(why))) => self.except(&upload, &why)?,
                (_, Err(Trouble::Peer(error))) => {
                    return Err(error.context("broken off; the same command goes on"));
                }
            }
        }
    }

    fn except(&mut self, upload: &Upload, why: &str) -> io::Result<()> {
        self.failed += 1;
        let line = || format!("not uploaded: {}: {why}", upload.file.display());
        match listed(self.failed, line) {
            Some(line) => writeln!(io::stderr(), "{}", untrusted::message(line)),
            None => Ok(()),
        }
    }

    /// Says what came of it, and gives the exit status if not all files are there.
    fn report(&self, batch: &str, total: u64, json: bool) -> anyhow::Result<Option<u8>> {
        let there = self.files + self.there;
        if json {
            print_json(&json!({
                "event": "uploaded", "batch": batch, "files": total, "uploaded": self.files,
                "uploaded_bytes": self.bytes, "already_there": self.there, "failed": self.failed,
            }))?;
        }
        if self.is_stopped {
            let (there, total) = (there, counted(total, "file"));
            writeln!(
                io::stderr(),
                "interrupted: {there} of {total} are in the bucket, and nothing was submitted; the same command goes on"
            )?;
            return Ok(Some(exit_code::of_signal()));
        }
        if self.failed > 0 {
            let failed = counted(self.failed, "file");
            writeln!(
                io::stderr(),
                "batch {batch}: {failed} could not be uploaded, so nothing was submitted; the same command goes on"
            )?;
            return Ok(Some(exit_code::FOUND));
        }
        if !json {
            let (sent, bytes) = (counted(self.files, "file"), size(self.bytes as f64));
            writeln!(
                io::stdout(),
                "batch {batch}: {sent} uploaded ({bytes}), {} in the bucket already",
                self.there
            )?;
        }
        Ok(None)
    }
}

/// Sends one file, unless it is there.
async fn send(uploader: &Uploader, upload: &Upload) -> Result<Option<u64>, Trouble> {
    let file = LocalFile {
        path: upload.file.clone(),
        name: upload.key.clone(),
        size_bytes: upload.size,
        modified: None,
    };
    let content = Content::read(&file).await?;
    // Its size is a part of the plan.
    if content.size_bytes != upload.size {
        let text = "it has changed since the folder was read; submit it again";
        return Err(Trouble::File(text.to_owned()));
    }
    uploader.send(&file, &content, &upload.key, false).await
}
