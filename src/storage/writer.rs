//! An object that is written piece by piece, and is there when it is whole.
//!
//! A small one is stored by one request. A larger one goes up in parts while it is written.

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore as _, PutMultipartOptions, PutPayload};

use super::client::Storage;
use super::error::{Direction, Error};
use super::multipart::{Multipart, PART_BYTES, PARTS_AT_ONCE};
use super::object::Object;

/// An object that is being written. Dropped before [`finish`](Self::finish) it leaves nothing behind, unless the process
/// ends at once or the store does not answer.
pub struct ObjectWriter {
    storage: Storage,
    object: Object,
    /// What is not yet on its way: a part at most.
    buffer: Vec<u8>,
    /// Where the parts go, once there is more than one.
    parts: Option<Parts>,
}

enum Parts {
    Bucket(Multipart),
    /// A hidden file beside the one that it will become; it goes away with the value.
    Folder(Box<dyn MultipartUpload>),
}

impl Storage {
    /// [`Self::upload`] of an object that is written piece by piece. Makes no request.
    pub fn object_writer(&self, key: &str) -> Result<ObjectWriter, Error> {
        Ok(ObjectWriter {
            storage: self.clone(),
            object: self.object(self.urls.new_key(key)?, Direction::Write),
            buffer: Vec::new(),
            parts: None,
        })
    }
}

impl ObjectWriter {
    /// The same, but the object tells the SHA-256 of its content, if the store keeps such things.
    #[must_use]
    pub(crate) fn with_sha256(mut self, sha256: &str) -> Self {
        self.object.sha256 = Some(sha256.to_owned());
        self
    }

    /// What a writer holds at most, in bytes.
    pub const MEMORY: u64 = ((PARTS_AT_ONCE + 1) * PART_BYTES) as u64;

    /// Adds these bytes. Waits while too many before them are on their way.
    ///
    /// # Errors
    ///
    /// As with [`Storage::upload`]; nothing can be added after an error.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            // A full buffer is sent only now: the last part is left to `finish`.
            if self.buffer.len() == PART_BYTES {
                let part = std::mem::replace(&mut self.buffer, Vec::with_capacity(PART_BYTES));
                self.put_part(part.into()).await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
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
        let rest = Bytes::from(std::mem::take(&mut self.buffer));
        if self.parts.is_none() {
            self.storage.put(&self.object, rest).await?;
        } else {
            self.put_part(rest).await?;
        }
        match self.parts.take() {
            None => {}
            Some(Parts::Bucket(parts)) => parts.complete().await?,
            Some(Parts::Folder(mut file)) => {
                let stored = file.complete().await;
                stored.map_err(|error| self.object.permanent_failure(&error))?;
            }
        }
        Ok(self.storage.urls.public_url(self.object.path.as_ref()))
    }

    async fn put_part(&mut self, part: Bytes) -> Result<(), Error> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(Parts::begin(&self.storage, &self.object).await?),
        };
        match parts {
            Parts::Bucket(parts) => parts.put(part).await,
            Parts::Folder(file) => {
                let size = part.len();
                let written = file.put_part(PutPayload::from_bytes(part)).await;
                written.map_err(|error| self.object.permanent_failure(&error))?;
                self.storage.retry.metrics.moved(Direction::Write, size);
                Ok(())
            }
        }
    }
}

impl Parts {
    async fn begin(storage: &Storage, object: &Object) -> Result<Self, Error> {
        if let Some(store) = &storage.store.parts {
            let multipart = Multipart::begin(storage, store, object).await?;
            return Ok(Self::Bucket(multipart));
        }
        let options = PutMultipartOptions::default();
        let folder = &storage.store.objects;
        object
            .check()
            .await
            .map_err(|failure| object.settled(failure))?;
        let begun = folder.put_multipart_opts(&object.path, options).await;
        begun
            .map(Self::Folder)
            .map_err(|error| object.permanent_failure(&error))
    }
}
