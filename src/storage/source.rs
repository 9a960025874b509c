//! An object that is read piece by piece.

use std::ops::Range;

use bytes::Bytes;
use object_store::{GetOptions, ObjectMeta};

use super::retry::Failure;
use super::{Bucket, Direction, Error, Object, Storage};

/// An object of which only pieces are in memory. All of them are of one version of it.
pub struct Source {
    storage: Storage,
    object: Object,
    size: u64,
    /// What the store said of the object with the first piece.
    version: Option<ObjectMeta>,
}

impl Source {
    pub(super) fn new(storage: Storage, object: Object, size: u64) -> Self {
        Self {
            storage,
            object,
            size,
            version: None,
        }
    }

    /// Bytes of the object.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// These bytes of the object, which are at least one and end with the object at the latest.
    ///
    /// # Errors
    ///
    /// As with [`Storage::download`], and [`Error::Replaced`].
    pub async fn read(&mut self, range: Range<u64>) -> Result<Bytes, Error> {
        let (found, bytes) = self
            .storage
            .retry
            .run(&self.object, || self.fetch(range.clone()))
            .await?;
        self.storage
            .retry
            .metrics
            .moved(Direction::Read, bytes.len());
        self.version = Some(found);
        Ok(bytes)
    }

    async fn fetch(&self, range: Range<u64>) -> Result<(ObjectMeta, Bytes), Failure> {
        let wanted = range.end - range.start;
        let mut options = GetOptions {
            range: Some(range.into()),
            ..GetOptions::default()
        };
        if let Bucket::Folder(_) = self.object.bucket {
            // Compared before the range is, which may lie beyond a file that has become shorter.
            options.if_match = self
                .version
                .as_ref()
                .and_then(|version| version.e_tag.clone());
        }
        let (found, bytes) = self.storage.fetch(&self.object, options).await?;
        let is_same = found.size == self.size
            && self
                .version
                .as_ref()
                .is_none_or(|version| *version == found);
        if !is_same || bytes.len() as u64 != wanted {
            return Err(Failure::Final(self.object.replaced()));
        }
        Ok((found, bytes))
    }
}
