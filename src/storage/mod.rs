//! Inputs and results: objects in and out of a bucket or a folder, as a whole or piece by piece.
//!
//! Everything that talks to S3, Google Cloud Storage or a local folder is in here. A transfer survives whatever may
//! pass, for as long as the settings say, and ends at once when its future is dropped.

pub mod archive;

mod location;
mod metrics;
mod retry;
mod settings;
mod source;
mod store;
mod transport;
mod upload;

use crate::error_class::{Classify, ErrorClass};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use object_store::client::HttpError;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetResultPayload, ObjectMeta, ObjectStoreExt, PutOptions,
    PutPayload,
};
use prometheus_client::registry::Registry;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

pub use self::location::Bucket;
use self::location::Location;
use self::metrics::StorageMetrics;
use self::retry::{Failure, Retry};
pub use self::settings::StorageSettings;
pub use self::source::Source;
use self::store::Store;
use self::transport::{NoCredentials, Refusal, Silent};
pub use self::upload::Upload;

/// How long a process that ends waits for uploads that were given up to be cleaned away.
const CLEANING: Duration = Duration::from_secs(5);

/// Which way an object was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Out of the bucket.
    Read,
    /// Into the bucket.
    Write,
}

impl Direction {
    /// The word in metrics and traces.
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Why an object could not be fetched or stored. Messages are fit for users: no secrets, no local paths.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object.
    #[error("`{key}` is not in {bucket}")]
    NotFound {
        /// Key of the object.
        key: String,
        /// Where it should be.
        bucket: String,
    },
    /// The credentials do not suffice.
    #[error("{bucket} denies access to `{key}` ({reason})")]
    PermissionDenied {
        /// Key of the object.
        key: String,
        /// Where it is.
        bucket: String,
        /// The answer of the store.
        reason: String,
        /// Which way it was to go.
        direction: Direction,
    },
    /// The object is larger than the settings allow.
    #[error("`{key}` in {bucket} has {size_bytes} bytes, and {limit_bytes} are allowed")]
    TooLarge {
        /// Key of the object.
        key: String,
        /// Where it is.
        bucket: String,
        /// Its size.
        size_bytes: u64,
        /// The largest that is allowed.
        limit_bytes: u64,
    },
    /// The object was replaced while it was read piece by piece.
    #[error("`{key}` in {bucket} was replaced while it was read")]
    Replaced {
        /// Key of the object.
        key: String,
        /// Where it is.
        bucket: String,
    },
    /// The text names no object that can be in the bucket.
    #[error("`{reference}` names no object in {bucket}: {reason}")]
    Unusable {
        /// The key or URL, without its query and at most 200 characters of it.
        reference: String,
        /// The bucket of the settings.
        bucket: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What may pass has not passed in time.
    #[error("gave up on `{key}` in {bucket} after {attempts} attempts in {} s: {reason}", elapsed.as_secs())]
    Unavailable {
        /// Key of the object.
        key: String,
        /// Where it is or should go.
        bucket: String,
        /// How often it was attempted.
        attempts: u32,
        /// How long that took.
        elapsed: Duration,
        /// What the last attempt met.
        reason: String,
        /// Which way it was to go.
        direction: Direction,
    },
    /// The store refuses for another reason.
    #[error("`{key}` in {bucket} failed: {reason}")]
    Other {
        /// Key of the object.
        key: String,
        /// Where it is or should go.
        bucket: String,
        /// The answer of the store.
        reason: String,
        /// Which way it was to go.
        direction: Direction,
    },
    /// The settings do not make a client. For operators: the reason may name a local file.
    #[error("{bucket} cannot be opened: {reason}")]
    Open {
        /// The bucket of the settings.
        bucket: String,
        /// What is wrong.
        reason: String,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            // What was never there, or has been cleaned away, does not come back by itself.
            Self::NotFound { .. } | Self::Unusable { .. } => ErrorClass::InvalidInput,
            Self::TooLarge { .. } => ErrorClass::TooLarge,
            Self::Replaced { .. } => ErrorClass::StorageRead,
            Self::PermissionDenied { direction, .. }
            | Self::Unavailable { direction, .. }
            | Self::Other { direction, .. } => match direction {
                Direction::Read => ErrorClass::StorageRead,
                Direction::Write => ErrorClass::StorageWrite,
            },
            Self::Open { .. } => ErrorClass::Internal,
        }
    }
}

/// The bucket of inputs and results. Clones are cheap and share connections.
#[derive(Clone)]
pub struct Storage {
    store: Store,
    location: Arc<Location>,
    retry: Retry,
    stall_timeout: Duration,
    max_download_bytes: u64,
    /// Uploads that were given up and are being cleaned away.
    cleaning: TaskTracker,
}

/// One object and where it is, for requests and messages.
#[derive(Clone, Debug)]
struct Object {
    path: Path,
    bucket: Bucket,
    direction: Direction,
}

impl Storage {
    /// A client for the bucket of the settings. Makes no request; a folder is created if it is missing.
    pub fn open(settings: &StorageSettings) -> Result<Self, Error> {
        // The HTTP client panics without a crypto provider; that one is installed already is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = store::open(settings).map_err(|error| Error::Open {
            bucket: settings.bucket.to_string(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            store,
            location: Arc::new(Location::new(
                settings.bucket.clone(),
                &store::public_base(settings),
            )),
            retry: Retry {
                max_backoff: settings.max_backoff,
                limit: settings.retry_limit,
                metrics: StorageMetrics::new(&settings.bucket),
            },
            stall_timeout: settings.stall_timeout,
            max_download_bytes: settings.max_download_bytes,
            cleaning: TaskTracker::new(),
        })
    }

    /// The whole object that a job's input reference means: a key, or a URL of an object in this bucket.
    ///
    /// An object above `MAX_DOWNLOAD_BYTES` is refused before its first byte is read.
    pub async fn download(&self, reference: &str) -> Result<Bytes, Error> {
        let object = self.object(self.location.object_key(reference)?, Direction::Read);
        let fetched = self
            .retry
            .run(&object, || self.fetch(&object, GetOptions::default()))
            .await;
        let (_, body) = fetched?;
        self.retry.metrics.moved(Direction::Read, body.len());
        Ok(body)
    }

    /// The same object for reading it piece by piece. Asks for its size.
    ///
    /// One above `MAX_DOWNLOAD_BYTES` is refused.
    pub async fn source(&self, reference: &str) -> Result<Source, Error> {
        let size = self.size(reference).await?;
        let object = self.object(self.location.object_key(reference)?, Direction::Read);
        Ok(Source::new(self.clone(), object, size))
    }

    /// The size in bytes of the object that a job's input reference means.
    ///
    /// One above `MAX_DOWNLOAD_BYTES` is refused.
    pub async fn size(&self, reference: &str) -> Result<u64, Error> {
        let object = self.object(self.location.object_key(reference)?, Direction::Read);
        let ask = async || {
            let found = self
                .store
                .objects
                .head(&object.path)
                .await
                .map_err(|error| object.failure(&error))?;
            self.check_size(&object, found.size).map(|()| found.size)
        };
        self.retry.run(&object, ask).await
    }

    /// Stores `body` under `key`, replacing what was there in one step, and gives the public URL.
    ///
    /// The content type follows from the key's extension; the access list is the one of the settings.
    pub async fn upload(&self, key: &str, body: Bytes) -> Result<String, Error> {
        let object = self.object(self.location.new_key(key)?, Direction::Write);
        self.retry
            .run(&object, || self.send(&object, body.clone()))
            .await?;
        self.retry.metrics.moved(Direction::Write, body.len());
        Ok(self.location.public_url(object.path.as_ref()))
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
            | Err(Failure::Final(Error::NotFound { .. } | Error::PermissionDenied { .. })) => true,
            Err(_) => false,
        }
    }

    /// [`Self::upload`] of an object that is written piece by piece. Makes no request.
    pub fn begin_upload(&self, key: &str) -> Result<Upload, Error> {
        Ok(Upload::new(
            self.clone(),
            self.object(self.location.new_key(key)?, Direction::Write),
        ))
    }

    /// Waits until uploads that were given up have left nothing in the bucket, but only a few seconds.
    pub async fn close(&self) {
        self.cleaning.close();
        if timeout(CLEANING, self.cleaning.wait()).await.is_err() {
            tracing::warn!("parts of an upload that was given up may be left in the bucket");
        }
    }

    /// The public URL of the object with this key, whether it exists or not.
    pub fn public_url(&self, key: &str) -> String {
        self.location.public_url(key.trim_start_matches('/'))
    }

    fn object(&self, path: Path, direction: Direction) -> Object {
        Object {
            path,
            bucket: self.location.bucket().clone(),
            direction,
        }
    }

    /// An object or a part of it, and what the store says of it.
    async fn fetch(
        &self,
        object: &Object,
        options: GetOptions,
    ) -> Result<(ObjectMeta, Bytes), Failure> {
        let found = self
            .store
            .objects
            .get_opts(&object.path, options)
            .await
            .map_err(|error| object.failure(&error))?;
        let (meta, size) = (found.meta.clone(), found.range.end - found.range.start);
        self.check_size(object, size)?;
        let body = match found.payload {
            GetResultPayload::Stream(chunks) => self.collect(object, size, chunks).await?,
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

    /// One buffer of the announced size; a server that goes silent in between counts as unavailable.
    async fn collect(
        &self,
        object: &Object,
        size: u64,
        mut chunks: BoxStream<'static, object_store::Result<Bytes>>,
    ) -> Result<Bytes, Failure> {
        let capacity =
            usize::try_from(size).map_err(|_| object.too_large(size, self.max_download_bytes))?;
        let mut body = Vec::with_capacity(capacity);
        loop {
            let next = timeout(self.stall_timeout, chunks.try_next()).await;
            let next =
                next.map_err(|_| Failure::Passing(Silent(self.stall_timeout).to_string()))?;
            let Some(chunk) = next.map_err(|error| object.failure(&error))? else {
                break;
            };
            if chunk.len() > capacity - body.len() {
                return Err(Failure::Passing(
                    "more bytes came than were announced".to_owned(),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        if body.len() < capacity {
            return Err(Failure::Passing(
                "fewer bytes came than were announced".to_owned(),
            ));
        }
        Ok(Bytes::from(body))
    }

    async fn send(&self, object: &Object, body: Bytes) -> Result<(), Failure> {
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
            .field("bucket", self.location.bucket())
            .finish_non_exhaustive()
    }
}

impl Object {
    fn attributes(&self) -> Attributes {
        match &self.bucket {
            // Folders keep no attributes, and refuse them.
            Bucket::Folder(_) => Attributes::new(),
            _ => {
                Attributes::from_iter([(Attribute::ContentType, content_type(self.path.as_ref()))])
            }
        }
    }

    /// What an error of the client means for this object, and whether it may pass.
    fn failure(&self, error: &object_store::Error) -> Failure {
        tracing::debug!(storage.key = %self.path, storage.bucket = %self.bucket, %error, "storage request failed");
        let causes = || causes(error);
        let root = causes().last().map(ToString::to_string).unwrap_or_default();
        if causes().any(|cause| cause.is::<NoCredentials>()) {
            return Failure::Passing(format!("no credentials: {root}"));
        }
        if let Some(refusal) = refusal_in(error) {
            return self.refused(refusal);
        }
        if causes().any(|cause| cause.is::<HttpError>()) {
            return Failure::Passing(root);
        }
        let io = causes().find_map(|cause| cause.downcast_ref::<io::Error>());
        Failure::Final(self.unexpected(error, io.map(io::Error::kind)))
    }

    /// What an error of a folder means, where nothing passes.
    fn final_failure(&self, error: &object_store::Error) -> Error {
        match self.failure(error) {
            Failure::Final(error) => error,
            Failure::Passing(reason) => self.other(reason),
        }
    }

    /// What an error means that came of no request: trouble of a folder, or of the client itself.
    fn unexpected(&self, error: &object_store::Error, io: Option<io::ErrorKind>) -> Error {
        match (error, &self.bucket, io) {
            (object_store::Error::NotFound { .. }, Bucket::Folder(_), _) => self.not_found(),
            (object_store::Error::Precondition { .. }, Bucket::Folder(_), _) => self.replaced(),
            (_, Bucket::Folder(_), Some(kind @ io::ErrorKind::PermissionDenied)) => {
                self.denied(kind.to_string())
            }
            (_, Bucket::Folder(_), Some(kind)) => self.other(kind.to_string()),
            (_, Bucket::Folder(_), None) => {
                self.other("a folder cannot hold a file of this name".to_owned())
            }
            _ => self.other("no usable credentials, or an answer that makes no sense".to_owned()),
        }
    }

    fn refused(&self, refusal: &Refusal) -> Failure {
        let reason = refusal.to_string();
        match (refusal.status, refusal.code.as_deref()) {
            // A 200 that carries an error is a store that failed halfway.
            (200 | 408 | 429 | 500 | 502 | 503 | 504, _) => Failure::Passing(reason),
            (404, code) if self.direction == Direction::Read && code != Some("NoSuchBucket") => {
                Failure::Final(self.not_found())
            }
            // Only ranges can be unsatisfiable, and those asked for were inside the object.
            (416, _) => Failure::Final(self.replaced()),
            (401 | 403, _) => Failure::Final(self.denied(reason)),
            _ => Failure::Final(self.other(reason)),
        }
    }

    fn not_found(&self) -> Error {
        Error::NotFound {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
        }
    }

    fn replaced(&self) -> Error {
        Error::Replaced {
            key: self.path.to_string(),
            bucket: self.bucket.to_string(),
        }
    }

    fn denied(&self, reason: String) -> Error {
        let (key, bucket) = (self.path.to_string(), self.bucket.to_string());
        Error::PermissionDenied {
            key,
            bucket,
            reason,
            direction: self.direction,
        }
    }

    fn other(&self, reason: String) -> Error {
        let (key, bucket) = (self.path.to_string(), self.bucket.to_string());
        Error::Other {
            key,
            bucket,
            reason,
            direction: self.direction,
        }
    }

    fn too_large(&self, size_bytes: u64, limit_bytes: u64) -> Failure {
        let (key, bucket) = (self.path.to_string(), self.bucket.to_string());
        Failure::Final(Error::TooLarge {
            key,
            bucket,
            size_bytes,
            limit_bytes,
        })
    }

    fn unavailable(&self, attempts: u32, elapsed: Duration, reason: String) -> Error {
        let (key, bucket) = (self.path.to_string(), self.bucket.to_string());
        Error::Unavailable {
            key,
            bucket,
            attempts,
            elapsed,
            reason,
            direction: self.direction,
        }
    }
}

fn causes(error: &object_store::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    })
}

/// The answer of the store behind an error, if there was one.
fn refusal_in(error: &object_store::Error) -> Option<&Refusal> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn content_type(key: &str) -> &'static str {
    let name = key.rsplit('/').next().unwrap_or(key);
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("zip") => "application/zip",
        Some("tif" | "tiff") => "image/tiff",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        // npy, trk and trks among them: no registered type.
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Object {
        Object {
            path: Path::from("up/a.tif"),
            bucket: Bucket::Google("b".to_owned()),
            direction: Direction::Read,
        }
    }

    fn refused(status: u16, code: Option<&str>) -> Failure {
        object().refused(&Refusal {
            status,
            code: code.map(str::to_owned),
        })
    }

    #[test]
    fn busy_stores_may_recover() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(
                matches!(refused(status, None), Failure::Passing(_)),
                "{status}"
            );
        }
    }

    #[test]
    fn other_refusals_are_final_and_tell_apart_what_a_caller_can_do() {
        let error = |status, code| match refused(status, code) {
            Failure::Final(error) => error,
            Failure::Passing(reason) => panic!("{status} would be repeated: {reason}"),
        };
        assert!(matches!(
            error(404, Some("NoSuchKey")),
            Error::NotFound { .. }
        ));
        assert!(matches!(
            error(403, Some("AccessDenied")),
            Error::PermissionDenied { .. }
        ));
        assert!(matches!(error(401, None), Error::PermissionDenied { .. }));
        assert!(matches!(error(416, None), Error::Replaced { .. }));
        for status in [301, 400, 405, 409, 412, 501] {
            assert!(
                matches!(error(status, None), Error::Other { .. }),
                "{status}"
            );
        }
        assert_eq!(
            error(404, Some("NoSuchBucket")).to_string(),
            "`up/a.tif` in gs://b failed: HTTP 404 NoSuchBucket"
        );
    }

    #[test]
    fn the_content_type_follows_from_the_extension_in_any_case() {
        for (key, expected) in [
            ("output/a.zip", "application/zip"),
            ("a.TIF", "image/tiff"),
            ("a.b.tiff", "image/tiff"),
            ("a.PNG", "image/png"),
            ("spots.csv", "text/csv"),
            ("lineage.json", "application/json"),
            ("a.npy", "application/octet-stream"),
            ("folder.zip/a", "application/octet-stream"),
        ] {
            assert_eq!(content_type(key), expected, "{key}");
        }
    }
}
