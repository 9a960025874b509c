//! An object that is written piece by piece, and is there when it is whole.
//!
//! A small one is stored by one request. A larger one goes up in parts while it is written; until they are put together
//! nobody sees them, and if that never happens they are cleaned away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{
    MultipartId, MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutMultipartOptions,
    PutPayload,
};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{Direction, Error, Object, Storage, refusal_in};

/// Bytes of every part but the last. Stores want 5 MiB at least and 10 000 parts at most, some that all are of one size.
const PART_BYTES: usize = 8 << 20;

/// Parts that are under way at the same time.
const PARTS_AT_ONCE: usize = 2;

/// How long parts may still take of an upload that is given up.
const LAST_PARTS: Duration = Duration::from_secs(1);

/// How long a store is asked again and again to forget an upload.
const CLEANING: Duration = Duration::from_secs(60);

/// An object that is being written. Dropped before [`finish`](Self::finish) it leaves nothing behind, unless the process
/// ends at once or the store does not answer.
pub struct Upload {
    storage: Storage,
    object: Object,
    /// What is not yet on its way: a part at most.
    waiting: Vec<u8>,
    parts: Option<Parts>,
}

/// Where parts go.
enum Parts {
    Bucket(BucketParts),
    /// A hidden file beside the one that it will become; it goes away with the value.
    Folder(Box<dyn MultipartUpload>),
}

impl Upload {
    /// What an upload holds at most, in bytes.
    pub const MEMORY: u64 = ((PARTS_AT_ONCE + 1) * PART_BYTES) as u64;

    pub(super) fn new(storage: Storage, object: Object) -> Self {
        Self {
            storage,
            object,
            waiting: Vec::new(),
            parts: None,
        }
    }

    /// Adds these bytes. Waits while too many before them are on their way.
    ///
    /// # Errors
    ///
    /// As with [`Storage::upload`]; nothing can be added after an error.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            if self.waiting.len() == PART_BYTES {
                let part = std::mem::replace(&mut self.waiting, Vec::with_capacity(PART_BYTES));
                self.put(part.into()).await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Makes the object appear, in place of what was there, and gives its public URL.
    ///
    /// # Errors
    ///
    /// As with [`Storage::upload`].
    pub async fn finish(mut self) -> Result<String, Error> {
        let rest = Bytes::from(std::mem::take(&mut self.waiting));
        if self.parts.is_none() {
            self.storage
                .retry
                .run(&self.object, || {
                    self.storage.send(&self.object, rest.clone())
                })
                .await?;
            self.storage
                .retry
                .metrics
                .moved(Direction::Write, rest.len());
        } else {
            self.put(rest).await?;
        }
        match self.parts.take() {
            None => {}
            Some(Parts::Bucket(parts)) => parts.complete().await?,
            Some(Parts::Folder(mut file)) => {
                let stored = file.complete().await;
                let failed = |error| self.object.final_failure(&error);
                stored.map(drop).map_err(failed)?;
            }
        }
        Ok(self.storage.location.public_url(self.object.path.as_ref()))
    }

    async fn put(&mut self, part: Bytes) -> Result<(), Error> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(Parts::begin(&self.storage, &self.object).await?),
        };
        match parts {
            Parts::Bucket(parts) => parts.put(part).await,
            Parts::Folder(file) => {
                let size = part.len();
                let written = file.put_part(PutPayload::from_bytes(part)).await;
                written.map_err(|error| self.object.final_failure(&error))?;
                self.storage.retry.metrics.moved(Direction::Write, size);
                Ok(())
            }
        }
    }
}

impl Parts {
    async fn begin(storage: &Storage, object: &Object) -> Result<Self, Error> {
        let Some(store) = &storage.store.parts else {
            let begun = storage
                .store
                .objects
                .put_multipart_opts(&object.path, PutMultipartOptions::default())
                .await;
            return begun
                .map(Self::Folder)
                .map_err(|error| object.final_failure(&error));
        };
        let begin = async || {
            let options = PutMultipartOptions {
                attributes: object.attributes(),
                ..PutMultipartOptions::default()
            };
            let begun = store.create_multipart_opts(&object.path, options).await;
            begun.map_err(|error| object.failure(&error))
        };
        let id = storage.retry.run(object, begin).await?;
        let target = Target {
            storage: storage.clone(),
            store: Arc::clone(store),
            object: object.clone(),
            id,
        };
        Ok(Self::Bucket(BucketParts {
            target: Some(Arc::new(target)),
            running: JoinSet::new(),
            done: Vec::new(),
            size: 0,
        }))
    }
}

/// Parts of an object in a bucket; whatever they are when this is dropped, they are cleaned away.
struct BucketParts {
    /// Nothing once the parts are an object.
    target: Option<Arc<Target>>,
    running: JoinSet<Result<(usize, PartId), Error>>,
    /// By their place in the object.
    done: Vec<Option<PartId>>,
    size: u64,
}

/// An upload as the store knows it.
struct Target {
    storage: Storage,
    store: Arc<dyn MultipartStore>,
    object: Object,
    id: MultipartId,
}

impl BucketParts {
    async fn put(&mut self, part: Bytes) -> Result<(), Error> {
        self.leave_running(PARTS_AT_ONCE - 1).await?;
        if let Some(target) = self.target.clone() {
            let place = self.done.len();
            self.done.push(None);
            self.size += part.len() as u64;
            self.running
                .spawn(async move { target.put(place, part).await }.in_current_span());
        }
        Ok(())
    }

    async fn complete(mut self) -> Result<(), Error> {
        self.leave_running(0).await?;
        if let Some(target) = &self.target {
            target
                .complete(self.done.drain(..).flatten().collect(), self.size)
                .await?;
        }
        self.target = None;
        Ok(())
    }

    /// Waits until no more parts than these are under way.
    async fn leave_running(&mut self, most: usize) -> Result<(), Error> {
        while self.running.len() > most {
            match self.running.join_next().await {
                Some(Ok(part)) => {
                    let (place, part) = part?;
                    self.done[place] = Some(part);
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

impl Drop for BucketParts {
    fn drop(&mut self) {
        let (Some(target), Ok(runtime)) = (self.target.take(), Handle::try_current()) else {
            return;
        };
        let mut running = std::mem::take(&mut self.running);
        let tracker = target.storage.cleaning.clone();
        let cleaning = async move {
            // A part that the store is about to have would stay if it came after the end.
            let rest = async { while running.join_next().await.is_some() {} };
            let _ = timeout(LAST_PARTS, rest).await;
            running.shutdown().await;
            target.abort().await;
        };
        tracker.spawn_on(cleaning.in_current_span(), &runtime);
    }
}

impl Target {
    async fn put(&self, place: usize, part: Bytes) -> Result<(usize, PartId), Error> {
        let put = async || {
            let body = PutPayload::from_bytes(part.clone());
            let stored = self
                .store
                .put_part(&self.object.path, &self.id, place, body)
                .await;
            stored.map_err(|error| self.object.failure(&error))
        };
        let stored = self.storage.retry.run(&self.object, put).await?;
        self.storage
            .retry
            .metrics
            .moved(Direction::Write, part.len());
        Ok((place, stored))
    }

    async fn complete(&self, parts: Vec<PartId>, size: u64) -> Result<(), Error> {
        let complete = async || {
            let stored = self
                .store
                .complete_multipart(&self.object.path, &self.id, parts.clone())
                .await;
            let Err(error) = stored else { return Ok(()) };
            let is_forgotten = refusal_in(&error).is_some_and(|refusal| refusal.status == 404);
            if is_forgotten && self.is_stored(size).await {
                Ok(())
            } else {
                Err(self.object.failure(&error))
            }
        };
        self.storage.retry.run(&self.object, complete).await
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
            let aborted = self
                .store
                .abort_multipart(&self.object.path, &self.id)
                .await;
            aborted.map_err(|error| self.object.failure(&error))
        };
        let aborted = timeout(CLEANING, self.storage.retry.run(&self.object, abort)).await;
        if !matches!(aborted, Ok(Ok(()))) {
            tracing::warn!(storage.key = %self.object.path, storage.bucket = %self.object.bucket, "parts of an upload may be left behind");
        }
    }
}
