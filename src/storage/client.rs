//! The client of the bucket: whole objects in and out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, future, stream};
use object_store::path::Path;
use object_store::{
    GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStoreExt, PutOptions, PutPayload,
};
use prometheus_client::registry::Registry;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::error::{Direction, Error, Failure};
use super::metrics::StorageMetrics;
use super::object::Object;
use super::passage::Passage;
use super::provider::{CloudOptions, Store};
use super::retry::Retry;
use super::settings::StorageSettings;
use super::unknown_size::UnknownSize;
use super::urls::ObjectUrls;

/// How long a process that ends waits for abandoned uploads to be cleaned up.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Objects that are removed at the same time.
const REMOVALS: usize = 16;

/// What is known of an object before it is read.
pub(super) struct Size {
    pub(super) bytes: u64,
    /// Whether any piece of it can be read alone.
    pub(super) has_ranges: bool,
    /// What the store calls this version of it.
    pub(super) tag: Option<String>,
}

/// The bucket of inputs and results. Clones are cheap and share connections.
#[derive(Clone)]
pub struct Storage {
    pub(super) store: Store,
    pub(super) urls: Arc<ObjectUrls>,
    pub(super) retry: Retry,
    stall_timeout: Duration,
    max_download_bytes: u64,
    /// Abandoned uploads that are being cleaned up.
    pub(super) cleanup: TaskTracker,
}

impl Storage {
    /// A client for the bucket of the settings. Makes no request; a folder is created if it is missing.
    pub fn open(settings: &StorageSettings) -> Result<Self, Error> {
        // The HTTP client panics without a crypto provider; that one is installed already is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bucket = &settings.bucket;
        let options = CloudOptions {
            stall_timeout: settings.stall_timeout,
            acl: settings.acl.as_deref(),
        };
        let store = bucket.open(&settings.providers, options);
        let store = store.map_err(|error| Error::Open {
            bucket: bucket.to_string(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            store,
            urls: Arc::new(ObjectUrls::new(
                bucket.clone(),
                settings.public_url.as_deref(),
                bucket.default_public_url(&settings.providers),
                bucket.other_addresses(&settings.providers),
            )),
            retry: Retry {
                max_backoff: settings.max_backoff,
                limit: settings.retry_limit,
                metrics: StorageMetrics::new(bucket.label()),
            },
            stall_timeout: settings.stall_timeout,
            max_download_bytes: settings.max_download_bytes,
            cleanup: TaskTracker::new(),
        })
    }

    /// The whole object that a job's input reference means: a key, or a URL of an object in this bucket.
    ///
    /// An object above `MAX_DOWNLOAD_BYTES` is refused before its first byte is read.
    pub async fn download(&self, reference: &str) -> Result<Bytes, Error> {
        let object = self.object(self.urls.object_key(reference)?, Direction::Read);
        let fetched = self
            .retry
            .run(&object, || self.fetch(&object, GetOptions::default()))
            .await;
        let (_, body) = fetched?;
        self.retry.metrics.moved(Direction::Read, body.len());
        Ok(body)
    }

    /// The size in bytes of the object that a job's input reference means.
    ///
    /// One above `MAX_DOWNLOAD_BYTES` is refused. If the store does not tell it, the object is read and its bytes are counted.
    pub async fn size(&self, reference: &str) -> Result<u64, Error> {
        let object = self.object(self.urls.object_key(reference)?, Direction::Read);
        Ok(self.measure(&object).await?.bytes)
    }

    /// The size of an object, and whether it can be read by ranges.
    pub(super) async fn measure(&self, object: &Object) -> Result<Size, Error> {
        self.retry.run(object, || self.measure_once(object)).await
    }

    async fn measure_once(&self, object: &Object) -> Result<Size, Failure> {
        let head = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = self.get(object, head).await?;
        if UnknownSize::of(&found).is_some() {
            let passage = self.passage(object).await?;
            return Ok(Size {
                bytes: passage.length(self.max_download_bytes).await?,
                has_ranges: false,
                tag: None,
            });
        }
        self.check_size(object, found.meta.size)?;
        Ok(Size {
            bytes: found.meta.size,
            has_ranges: true,
            tag: found.meta.e_tag,
        })
    }

    /// The object from its first byte on.
    pub(super) async fn passage(&self, object: &Object) -> Result<Passage, Failure> {
        let found = self.get(object, GetOptions::default()).await?;
        Ok(self.passage_of(object, found))
    }

    fn passage_of(&self, object: &Object, found: GetResult) -> Passage {
        let (version, mark) = (found.meta.clone(), UnknownSize::of(&found));
        let chunks = found.into_stream();
        let chunks = match mark {
            Some(mark) => mark.unpack(chunks),
            None => chunks,
        };
        Passage::new(object, version, chunks, self.stall_timeout)
    }

    pub(super) async fn get(
        &self,
        object: &Object,
        options: GetOptions,
    ) -> Result<GetResult, Failure> {
        object.check().await?;
        let found = self.store.objects.get_opts(&object.path, options).await;
        found.map_err(|error| object.failure(&error))
    }

    /// Stores `body` under `key`, replacing what was there in one step, and gives the public URL.
    ///
    /// The content type follows from the key's extension; the access list is the one of the settings.
    pub async fn upload(&self, key: &str, body: Bytes) -> Result<String, Error> {
        let object = self.object(self.urls.new_key(key)?, Direction::Write);
        self.put(&object, body).await?;
        Ok(self.urls.public_url(object.path.as_ref()))
    }

    /// Stores a whole object.
    pub(super) async fn put(&self, object: &Object, body: Bytes) -> Result<(), Error> {
        let size = body.len();
        self.retry
            .run(object, || self.send(object, body.clone()))
            .await?;
        self.retry.metrics.moved(Direction::Write, size);
        Ok(())
    }

    /// Removes what a job has stored and nobody needs, as far as the store allows it.
    pub async fn remove(&self, keys: Vec<String>) {
        let refused = stream::iter(keys)
            .map(|key| async move {
                let object = self.object(self.urls.new_key(&key).ok()?, Direction::Write);
                object.check().await.ok()?;
                let removed = self.store.objects.delete(&object.path).await;
                match object.failure(&removed.err()?) {
                    Failure::Permanent(Error::NotFound { .. }) => None,
                    Failure::Permanent(error) => Some(error.to_string()),
                    Failure::Transient(reason) => Some(reason),
                }
            })
            .buffer_unordered(REMOVALS)
            .filter_map(future::ready)
            .collect::<Vec<_>>()
            .await;
        if let Some(error) = refused.first() {
            let left = refused.len();
            tracing::warn!(
                left,
                error,
                "objects that nobody needs are left in the bucket"
            );
        }
    }

    /// Adds the counters of the bucket to a registry.
    pub(crate) fn register(&self, all: &mut Registry) {
        self.retry.metrics.register(all);
    }

    /// Whether the bucket answers at all, be it that there is no such object or that it may not be seen.
    pub async fn is_reachable(&self) -> bool {
        let nothing = self.object(Path::from("rc-probe"), Direction::Read);
        match self
            .store
            .objects
            .head(&nothing.path)
            .await
            .map_err(|error| nothing.failure(&error))
        {
            Ok(_)
            | Err(Failure::Permanent(Error::NotFound { .. } | Error::PermissionDenied { .. })) => {
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until abandoned uploads have left nothing in the bucket, but only a few seconds.
    pub async fn close(&self) {
        self.cleanup.close();
        if timeout(CLEANUP_TIMEOUT, self.cleanup.wait()).await.is_err() {
            tracing::warn!("abandoned uploads may have left parts in the bucket");
        }
    }

    /// The key of the object that a job's input reference means, as listings have it. Makes no request.
    pub(crate) fn key_of(&self, reference: &str) -> Result<String, Error> {
        Ok(self.urls.object_key(reference)?.to_string())
    }

    /// The public URL of the object with this key, whether it exists or not.
    pub fn public_url(&self, key: &str) -> String {
        self.urls.public_url(key.trim_start_matches('/'))
    }

    pub(super) fn object(&self, path: Path, direction: Direction) -> Object {
        Object {
            path,
            bucket: self.urls.bucket().clone(),
            direction,
            sha256: None,
        }
    }

    /// An object or a part of it, and what the store says of it.
    pub(super) async fn fetch(
        &self,
        object: &Object,
        options: GetOptions,
    ) -> Result<(ObjectMeta, Bytes), Failure> {
        let found = self.get(object, options).await?;
        if UnknownSize::of(&found).is_some() {
            let (meta, passage) = (found.meta.clone(), self.passage_of(object, found));
            return Ok((meta, passage.all(self.max_download_bytes).await?));
        }
        let (meta, size) = (found.meta.clone(), found.range.end - found.range.start);
        self.check_size(object, size)?;
        let body = match found.payload {
            GetResultPayload::Stream(chunks) => {
                let passage = Passage::new(object, meta.clone(), chunks, self.stall_timeout);
                self.collect(object, size, passage).await?
            }
            GetResultPayload::File(..) => found
                .bytes()
                .await
                .map_err(|error| object.failure(&error))?,
        };
        Ok((meta, body))
    }

    fn check_size(&self, object: &Object, size: u64) -> Result<(), Failure> {
        if size > self.max_download_bytes {
            Err(object.too_large(size, self.max_download_bytes))
        } else {
            Ok(())
        }
    }

    /// One buffer of the announced size; a server that stalls in between counts as unavailable.
    async fn collect(
        &self,
        object: &Object,
        size: u64,
        mut passage: Passage,
    ) -> Result<Bytes, Failure> {
        let capacity =
            usize::try_from(size).map_err(|_| object.too_large(size, self.max_download_bytes))?;
        let mut body = Vec::with_capacity(capacity);
        while let Some(chunk) = passage.next().await? {
            if chunk.len() > capacity - body.len() {
                return Err(Failure::Transient(
                    "the answer was longer than announced".to_owned(),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        if body.len() < capacity {
            return Err(Failure::Transient(
                "the answer was shorter than announced".to_owned(),
            ));
        }
        Ok(Bytes::from(body))
    }

    async fn send(&self, object: &Object, body: Bytes) -> Result<(), Failure> {
        object.check().await?;
        let options = PutOptions {
            attributes: object.attributes(),
            ..PutOptions::default()
        };
        let stored = self
            .store
            .objects
            .put_opts(&object.path, PutPayload::from_bytes(body), options)
            .await;
        stored.map(drop).map_err(|error| object.failure(&error))
    }
}

/// The bucket alone: a client would show its access token.
impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("bucket", self.urls.bucket())
            .finish_non_exhaustive()
    }
}
