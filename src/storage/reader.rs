//! An object that is read piece by piece.

use std::ops::Range;

use bytes::Bytes;
use object_store::{GetOptions, ObjectMeta};
use tokio::sync::Mutex;

use super::client::Storage;
use super::error::{Direction, Error, Failure};
use super::object::Object;
use super::passage::Passage;
use super::provider::Bucket;

/// An object of which only pieces are in memory. All of them are of one version of it.
pub struct RangeReader {
    storage: Storage,
    object: Object,
    size: u64,
    /// What the store calls this version of the object.
    tag: Option<String>,
    /// What the store said of the object with the first piece.
    version: Option<ObjectMeta>,
    way: Way,
}

/// How a piece is come by.
enum Way {
    /// By its range.
    Ranges,
    /// By passing over all that comes before it: from where the last piece ended, or from the beginning again.
    Passage(Box<Mutex<Option<Passage>>>),
}

impl Storage {
    /// The object that [`Self::download`] would fetch, for reading it piece by piece. Asks for its size.
    ///
    /// One above `MAX_DOWNLOAD_BYTES` is refused. One whose size the store does not tell has no ranges: its pieces are best
    /// read in order.
    pub async fn range_reader(&self, reference: &str) -> Result<RangeReader, Error> {
        let object = self.object(self.urls.object_key(reference)?, Direction::Read);
        let size = self.measure(&object).await?;
        let way = if size.has_ranges {
            Way::Ranges
        } else {
            Way::Passage(Box::default())
        };
        Ok(RangeReader {
            storage: self.clone(),
            object,
            size: size.bytes,
            tag: size.tag,
            version: None,
            way,
        })
    }
}

impl RangeReader {
    /// Bytes of the object.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What the store calls the version of the object that it has told of, if it has names for them.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// These bytes of the object, which are at least one and end with the object at the latest.
    ///
    /// # Errors
    ///
    /// As with [`Storage::download`], and [`Error::ChangedWhileReading`].
    pub async fn read(&mut self, range: Range<u64>) -> Result<Bytes, Error> {
        let retry = &self.storage.retry;
        let (found, bytes) = retry
            .run(&self.object, async || match &self.way {
                Way::Ranges => self.fetch(range.clone()).await,
                Way::Passage(passage) => self.pass(passage, &range).await,
            })
            .await?;
        retry.metrics.moved(Direction::Read, bytes.len());
        self.version = Some(found);
        Ok(bytes)
    }

    async fn fetch(&self, range: Range<u64>) -> Result<(ObjectMeta, Bytes), Failure> {
        let wanted = range.end - range.start;
        let mut options = GetOptions {
            range: Some(range.into()),
            ..GetOptions::default()
        };
        if let (Bucket::Folder(_), Some(version)) = (&self.object.bucket, &self.version) {
            // Compared before the range is, which may lie beyond a file that has become shorter.
            options.if_match.clone_from(&version.e_tag);
        }
        let (found, bytes) = self.storage.fetch(&self.object, options).await?;
        if found.size != self.size || !self.is_same(&found) || bytes.len() as u64 != wanted {
            return Err(Failure::Permanent(self.object.changed()));
        }
        Ok((found, bytes))
    }

    /// The same without ranges.
    async fn pass(
        &self,
        open: &Mutex<Option<Passage>>,
        range: &Range<u64>,
    ) -> Result<(ObjectMeta, Bytes), Failure> {
        let kept = open.lock().await.take();
        let mut passage = match kept.filter(|passage| passage.is_before(range.start)) {
            Some(passage) => passage,
            None => self.storage.passage(&self.object).await?,
        };
        let bytes = passage.piece(range).await?;
        let found = passage.version.clone();
        if !self.is_same(&found) || bytes.len() as u64 != range.end - range.start {
            return Err(Failure::Permanent(self.object.changed()));
        }
        *open.lock().await = Some(passage);
        Ok((found, bytes))
    }

    fn is_same(&self, found: &ObjectMeta) -> bool {
        match &self.version {
            Some(version) => version == found,
            None => self.tag.is_none() || found.e_tag.is_none() || self.tag == found.e_tag,
        }
    }
}
