//! A multi-part upload: parts that are stored side by side, and the one request that makes an object of them.
//!
//! Nobody sees the parts before that; if it never comes they are cleaned up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{MultipartId, ObjectStoreExt as _, PutMultipartOptions, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::client::Storage;
use super::error::{Direction, Error, Failure};
use super::object::{Object, http_status_error};

/// Bytes of every part but the last. Stores want 5 MiB at least and 10 000 parts at most, some that all are of one size.
pub(super) const PART_BYTES: usize = 8 << 20;

/// Parts that are under way at the same time.
pub(super) const PARTS_AT_ONCE: usize = 2;

/// How long parts may still take of an upload that is abandoned.
const LAST_PARTS_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a store is asked again and again to abort an upload.
const ABORT_TIMEOUT: Duration = Duration::from_secs(60);

/// The parts of an object; whatever they are when this is dropped, they are cleaned up.
pub(super) struct Multipart {
    /// Nothing once the parts are an object.
    upload: Option<Arc<Upload>>,
    running: JoinSet<Result<StoredPart, Error>>,
    /// By their place in the object.
    stored: Vec<Option<PartId>>,
    size: u64,
}

/// An upload as the store knows it.
struct Upload {
    storage: Storage,
    store: Arc<dyn MultipartStore>,
    object: Object,
    id: MultipartId,
}

/// A part that the store has.
struct StoredPart {
    place: usize,
    id: PartId,
}

impl Multipart {
    pub(super) async fn begin(
        storage: &Storage,
        store: &Arc<dyn MultipartStore>,
        object: &Object,
    ) -> Result<Self, Error> {
        let create = async || {
            let options = PutMultipartOptions {
                attributes: object.attributes_of_parts(),
                ..PutMultipartOptions::default()
            };
            let begun = store.create_multipart_opts(&object.path, options).await;
            begun.map_err(|error| object.failure(&error))
        };
        let id = storage.retry.run(object, create).await?;
        let upload = Upload {
            storage: storage.clone(),
            store: Arc::clone(store),
            object: object.clone(),
            id,
        };
        Ok(Self {
            upload: Some(Arc::new(upload)),
            running: JoinSet::new(),
            stored: Vec::new(),
            size: 0,
        })
    }

    /// Sends the next part. Waits while too many are under way.
    pub(super) async fn put(&mut self, part: Bytes) -> Result<(), Error> {
        self.wait_for_capacity(PARTS_AT_ONCE - 1).await?;
        if let Some(upload) = self.upload.clone() {
            let place = self.stored.len();
            self.stored.push(None);
            self.size += part.len() as u64;
            self.running
                .spawn(async move { upload.put(place, part).await }.in_current_span());
        }
        Ok(())
    }

    /// Makes an object of the parts.
    pub(super) async fn complete(mut self) -> Result<(), Error> {
        self.wait_for_capacity(0).await?;
        if let Some(upload) = &self.upload {
            let parts = self.stored.drain(..).flatten().collect();
            upload.complete(parts, self.size).await?;
        }
        self.upload = None;
        Ok(())
    }

    /// Waits until no more parts than these are under way.
    async fn wait_for_capacity(&mut self, max_running: usize) -> Result<(), Error> {
        while self.running.len() > max_running {
            match self.running.join_next().await {
                Some(Ok(part)) => {
                    let part = part?;
                    self.stored[part.place] = Some(part.id);
                }
                Some(Err(end)) if end.is_panic() => std::panic::resume_unwind(end.into_panic()),
                // Only a runtime that is shutting down cancels tasks, and then nobody waits for the object.
                Some(Err(_)) => std::future::pending().await,
                None => {}
            }
        }
        Ok(())
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        let (Some(upload), Ok(runtime)) = (self.upload.take(), Handle::try_current()) else {
            return;
        };
        let mut running = std::mem::take(&mut self.running);
        let tracker = upload.storage.cleanup.clone();
        let cleanup = async move {
            // A part that the store is about to have would stay if it came after the end.
            let rest = async { while running.join_next().await.is_some() {} };
            let _ = timeout(LAST_PARTS_TIMEOUT, rest).await;
            running.shutdown().await;
            upload.abort().await;
        };
        tracker.spawn_on(cleanup.in_current_span(), &runtime);
    }
}

impl Upload {
    async fn put(&self, place: usize, part: Bytes) -> Result<StoredPart, Error> {
        let put = async || {
            let body = PutPayload::from_bytes(part.clone());
            let stored = self
                .store
                .put_part(&self.object.path, &self.id, place, body);
            stored.await.map_err(|error| self.object.failure(&error))
        };
        let retry = &self.storage.retry;
        let id = retry.run(&self.object, put).await?;
        retry.metrics.moved(Direction::Write, part.len());
        Ok(StoredPart { place, id })
    }

    async fn complete(&self, parts: Vec<PartId>, size: u64) -> Result<(), Error> {
        let complete = || self.complete_once(parts.clone(), size);
        self.storage.retry.run(&self.object, complete).await
    }

    async fn complete_once(&self, parts: Vec<PartId>, size: u64) -> Result<(), Failure> {
        let (object, store) = (&self.object, &self.store);
        let stored = store.complete_multipart(&object.path, &self.id, parts);
        let Err(error) = stored.await else {
            return Ok(());
        };
        let answer = http_status_error(&error);
        let is_forgotten = answer.is_some_and(|answer| object.bucket.has_forgotten_parts(answer));
        if is_forgotten && self.is_stored(size).await {
            Ok(())
        } else {
            Err(object.failure(&error))
        }
    }

    /// Whether the object is there though the store has forgotten its parts: it has put them together, and its answer was
    /// lost. Whoever stores under a key stores the same again.
    async fn is_stored(&self, size: u64) -> bool {
        let found = self.storage.store.objects.head(&self.object.path).await;
        found.is_ok_and(|found| found.size == size)
    }

    /// Has the store forget the parts, if it can be reached.
    async fn abort(&self) {
        let abort = async || {
            let aborted = self.store.abort_multipart(&self.object.path, &self.id);
            aborted.await.map_err(|error| self.object.failure(&error))
        };
        let aborted = timeout(ABORT_TIMEOUT, self.storage.retry.run(&self.object, abort)).await;
        if !matches!(aborted, Ok(Ok(()))) {
            tracing::warn!(
                storage.key = %self.object.path, storage.bucket = %self.object.bucket,
                "an upload could not be aborted; its parts may be left in the bucket"
            );
        }
    }
}
