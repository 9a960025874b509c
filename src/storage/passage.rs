//! An object on its way, from its first byte to its last, when nobody tells where the last one is.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::ObjectMeta;
use tokio::time::timeout;

use super::error::Failure;
use super::object::Object;
use super::transport::Stalled;

/// The bytes of an object as they come.
pub(super) struct Passage {
    object: Object,
    /// What the store says of it, but for its size.
    pub(super) version: ObjectMeta,
    chunks: BoxStream<'static, object_store::Result<Bytes>>,
    stall_timeout: Duration,
    /// Where the bytes begin that have come and are not taken.
    position: u64,
    waiting: Bytes,
}

impl Passage {
    /// A server that is silent for longer than the timeout counts as unavailable.
    pub(super) fn new(
        object: &Object,
        version: ObjectMeta,
        chunks: BoxStream<'static, object_store::Result<Bytes>>,
        stall_timeout: Duration,
    ) -> Self {
        Self {
            object: object.clone(),
            version,
            chunks,
            stall_timeout,
            position: 0,
            waiting: Bytes::new(),
        }
    }

    /// Whether bytes from this place on are still to come.
    pub(super) fn is_before(&self, place: u64) -> bool {
        self.position <= place
    }

    /// The next bytes, until there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if !self.waiting.is_empty() {
            return Ok(Some(self.take(self.waiting.len())));
        }
        let next = timeout(self.stall_timeout, self.chunks.try_next()).await;
        let next = next.map_err(|_| Failure::Transient(Stalled(self.stall_timeout).to_string()))?;
        let chunk = next.map_err(|error| self.object.failure(&error))?;
        if let Some(chunk) = &chunk {
            self.position += chunk.len() as u64;
        }
        Ok(chunk)
    }

    /// How many bytes there are, which may not be more than the limit.
    pub(super) async fn length(mut self, limit: u64) -> Result<u64, Failure> {
        while self.next().await?.is_some() {
            self.check_position(limit)?;
        }
        Ok(self.position)
    }

    /// All bytes, which may not be more than the limit.
    pub(super) async fn all(mut self, limit: u64) -> Result<Bytes, Failure> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            self.check_position(limit)?;
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// These bytes, which are still to come; fewer if the object ends before.
    pub(super) async fn piece(&mut self, range: &Range<u64>) -> Result<Bytes, Failure> {
        let mut piece = BytesMut::new();
        while self.position < range.end {
            let Some(mut chunk) = self.next().await? else {
                break;
            };
            let begin = self.position - chunk.len() as u64;
            if self.position > range.end {
                let excess = usize::try_from(self.position - range.end).unwrap_or(usize::MAX);
                self.waiting = chunk.split_off(chunk.len().saturating_sub(excess));
                self.position = range.end;
            }
            let before = usize::try_from(range.start.saturating_sub(begin)).unwrap_or(usize::MAX);
            piece.extend_from_slice(chunk.get(before..).unwrap_or_default());
        }
        Ok(piece.freeze())
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.position += length as u64;
        self.waiting.split_to(length)
    }

    fn check_position(&self, limit: u64) -> Result<(), Failure> {
        if self.position > limit {
            Err(self.object.longer_than(limit))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use futures::stream;
    use object_store::path::Path;

    use super::super::error::Direction;
    use super::super::provider::Bucket;
    use super::*;

    fn passage(length: u8, chunk: usize) -> Passage {
        let object = Object {
            path: Path::from("a"),
            bucket: Bucket::Gcs("b".to_owned()),
            direction: Direction::Read,
            sha256: None,
        };
        let version = ObjectMeta {
            location: Path::from("a"),
            last_modified: Default::default(),
            size: 0,
            e_tag: None,
            version: None,
        };
        let bytes: Vec<u8> = (0..length).collect();
        let chunks: Vec<_> = bytes
            .chunks(chunk)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        Passage::new(
            &object,
            version,
            stream::iter(chunks).boxed(),
            Duration::from_secs(60),
        )
    }

    #[tokio::test]
    async fn pieces_are_taken_in_any_size_as_long_as_they_are_to_come() {
        for chunk in [1, 3, 10, 100] {
            let mut passage = passage(100, chunk);
            for range in [0..5, 5..6, 20..60, 60..99] {
                assert!(passage.is_before(range.start));
                let piece = passage.piece(&range).await.expect("it is there");
                let wanted: Vec<u8> = (range.start as u8..range.end as u8).collect();
                assert_eq!(piece, wanted, "{range:?} by {chunk}");
            }
            assert!(!passage.is_before(98));
            let rest = passage.piece(&(99..200)).await.expect("what there is");
            assert_eq!(&rest[..], [99]);
        }
    }

    #[tokio::test]
    async fn more_than_the_limit_is_refused() {
        assert_eq!(passage(100, 7).length(100).await.expect("just so"), 100);
        assert_eq!(passage(100, 7).all(100).await.expect("just so").len(), 100);
        for end in [
            passage(100, 7).length(99).await.map(drop),
            passage(100, 7).all(99).await.map(drop),
        ] {
            let Err(Failure::Permanent(error)) = end else {
                panic!("it is too long")
            };
            assert_eq!(
                error.to_string(),
                "`a` in gs://b has more bytes than the limit of 99"
            );
        }
    }
}
