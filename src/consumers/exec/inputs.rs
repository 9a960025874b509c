//! What a job brings along, as files of its folder: inputs, the items of a manifest, and results of other jobs.

use std::path::{Path, PathBuf};

use batch_plan::{ItemState, Manifest, ManifestItem};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex;

use super::children::ChildLine;
use super::job_line::JobInput;
use super::scratch::Scratch;
use crate::compute;
use crate::error_class::{InvalidInput, TooLarge};
use crate::job::{Child, Job};
use crate::storage::Storage;
use crate::storage::archive::{Unpacked, unpack_files};

/// Objects that are fetched at the same time.
const TRANSFERS: usize = 4;

/// Bytes of a manifest at most.
const MANIFEST_BYTES: u64 = 64 << 20;

/// Fetches what a job brings along.
pub(super) struct Fetcher<'a> {
    storage: &'a Storage,
    limit: u64,
    /// Bytes that its files may still take.
    room: Mutex<u64>,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(storage: &'a Storage, limit: u64) -> Self {
        Self {
            storage,
            limit,
            room: Mutex::new(limit),
        }
    }

    /// The inputs that these fields of the job name, each on a line of its own; fetched or only told.
    pub(super) async fn inputs(
        &self,
        job: &Job,
        fields: &[String],
        is_fetched: bool,
        scratch: &mut Scratch,
    ) -> anyhow::Result<Vec<JobInput>> {
        let mut inputs = Vec::new();
        for field in fields {
            let lines = job.field(field)?.unwrap_or_default().lines();
            for key in lines.map(str::trim).filter(|key| !key.is_empty()) {
                if Manifest::is_at(key) {
                    inputs.extend(self.items(key, is_fetched, scratch).await?);
                    continue;
                }
                let path = scratch.input(key);
                inputs.push(match is_fetched {
                    true => self.input(key, path).await?,
                    false => JobInput::elsewhere(&path, key),
                });
            }
        }
        Ok(inputs)
    }

    async fn input(&self, key: &str, path: PathBuf) -> anyhow::Result<JobInput> {
        let size = self.fetch(key, &path).await?;
        Ok(JobInput::in_file(path, key, size))
    }

    /// The items of a manifest, numbered in their order.
    async fn items(
        &self,
        key: &str,
        is_fetched: bool,
        scratch: &mut Scratch,
    ) -> anyhow::Result<Vec<JobInput>> {
        if self.storage.size(key).await? > MANIFEST_BYTES {
            let text = format!("the manifest `{key}` has more than {MANIFEST_BYTES} bytes");
            return Err(TooLarge(text).into());
        }
        let text = self.storage.download(key).await?;
        let manifest = compute::run(move || Manifest::read(&text)).await;
        let manifest = manifest
            .map_err(|why| InvalidInput(format!("the manifest `{key}` cannot be used: {why}")))?;
        let items = manifest.items.into_iter().zip(1..).map(|(item, number)| {
            let name = item.input.as_deref().unwrap_or(&item.id);
            let path = scratch.numbered_input(number, name);
            (item, path)
        });
        let items: Vec<_> = items.collect();
        let scratch = &*scratch;
        let items = items
            .into_iter()
            .map(|(item, path)| self.item(item, path, is_fetched, scratch));
        stream::iter(items).buffered(TRANSFERS).try_collect().await
    }

    async fn item(
        &self,
        item: ManifestItem,
        path: PathBuf,
        is_fetched: bool,
        scratch: &Scratch,
    ) -> anyhow::Result<JobInput> {
        let key = item.input.as_deref().unwrap_or_default();
        let input = match is_fetched && !key.is_empty() {
            true => self.input(key, path.clone()).await?,
            false => JobInput::elsewhere(&path, key),
        };
        let results = match &item.result {
            Some(result) if is_fetched && item.state == ItemState::Done => {
                let name = path.file_name().unwrap_or_default();
                self.results(result, &scratch.results().join(name)).await?
            }
            _ => Vec::new(),
        };
        Ok(input.of_item(item, results))
    }

    /// The children that the job has waited for, with their results.
    pub(super) async fn children(
        &self,
        children: &[Child],
        scratch: &mut Scratch,
    ) -> anyhow::Result<Vec<ChildLine>> {
        let folders = children
            .iter()
            .map(|child| (child.clone(), scratch.results_of(&child.name())));
        let folders: Vec<_> = folders.collect();
        let lines = folders.into_iter().map(|(child, folder)| async move {
            let results = match child.result() {
                Ok(key) => Ok(self.results(&key, &folder).await?),
                Err(failed) => Err(failed.reason),
            };
            anyhow::Ok(ChildLine::new(&child, results))
        });
        stream::iter(lines).buffered(TRANSFERS).try_collect().await
    }

    /// Unpacks a result into a folder, and gives its files.
    async fn results(&self, key: &str, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        tokio::fs::create_dir_all(folder).await?;
        let packed = folder.join(".result.part");
        let size = self.fetch(key, &packed).await?;
        let mut room = self.room.lock().await;
        let (most, to, name) = (*room + size, folder.to_owned(), key.to_owned());
        let unpacked = compute::run(move || {
            let most = Unpacked {
                bytes: most,
                reserved: "",
            };
            let paths = unpack_files(&packed, &name, &to, most)?;
            let _ = std::fs::remove_file(&packed);
            let sizes = paths
                .iter()
                .map(|path| path.metadata().map_or(0, |it| it.len()));
            anyhow::Ok((sizes.sum::<u64>(), paths))
        });
        let (taken, paths) = unpacked.await?;
        *room = (*room + size).saturating_sub(taken);
        Ok(paths)
    }

    /// Fetches one object, if there is room for it.
    async fn fetch(&self, key: &str, path: &Path) -> anyhow::Result<u64> {
        let size = self.storage.size(key).await?;
        {
            let mut room = self.room.lock().await;
            *room = room.checked_sub(size).ok_or_else(|| {
                TooLarge(format!(
                    "the inputs have more than {} bytes, which is all that the files of a job may take (EXEC_DISK)",
                    self.limit
                ))
            })?;
        }
        self.storage.download_to(key, path).await?;
        Ok(size)
    }
}
