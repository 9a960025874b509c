//! A large file of which only some pieces are in memory.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;

/// A file for those who read it, though most of it is elsewhere: a read of what is not here fails, and is remembered.
///
/// Whoever reads such a file asks [`SparseFile::take_missing_range`] afterwards, whether the reading has failed or not; if bytes
/// were missing, the result counts for nothing, and reading begins again when they have been [inserted](SparseFile::insert).
#[derive(Debug)]
pub struct SparseFile {
    size: u64,
    /// What is here, by its first byte.
    pieces: Vec<(u64, Bytes)>,
    position: u64,
    missing: Option<u64>,
}

impl SparseFile {
    /// A file of so many bytes, none of which is here.
    pub fn new(size: u64) -> Self {
        Self {
            size,
            pieces: Vec::new(),
            position: 0,
            missing: None,
        }
    }

    /// Makes the bytes from `start` on readable.
    pub fn insert(&mut self, start: u64, bytes: Bytes) {
        self.pieces.push((start, bytes));
    }

    /// Lets all bytes go.
    pub fn clear(&mut self) {
        self.pieces.clear();
    }

    /// Whether all bytes of the range are here, in one piece.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        self.pieces
            .iter()
            .any(|(start, bytes)| *start <= range.start && range.end <= start + bytes.len() as u64)
    }

    /// What was wanted first and was not here, up to the next byte that is or the end of the file. Forgets it.
    pub fn take_missing_range(&mut self) -> Option<Range<u64>> {
        let from = self.missing.take()?;
        let next = self
            .pieces
            .iter()
            .map(|(start, _)| *start)
            .filter(|start| *start > from)
            .min();
        Some(from..next.unwrap_or(self.size))
    }

    /// The bytes from here on that are in one piece.
    fn rest(&self) -> Option<&[u8]> {
        self.pieces.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(self.position.checked_sub(*start)?).ok()?;
            bytes.get(offset..).filter(|rest| !rest.is_empty())
        })
    }
}

impl Read for SparseFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.position >= self.size {
            return Ok(0);
        }
        let Some(mut rest) = self.rest() else {
            self.missing.get_or_insert(self.position);
            return Err(io::Error::other(
                "these bytes of the archive are not in memory",
            ));
        };
        let read = rest.read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for SparseFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_up_to_what_is_there() {
        let mut file = SparseFile::new(10);
        let mut bytes = [0; 4];
        assert!(file.read_exact(&mut bytes).is_err());
        assert_eq!(file.take_missing_range(), Some(0..10));
        file.insert(6, Bytes::from_static(b"6789"));
        file.insert(0, Bytes::from_static(b"012"));
        file.rewind().expect("a place in the file");
        assert!(file.read_exact(&mut bytes).is_err(), "three of four");
        assert_eq!(file.take_missing_range(), Some(3..6));
        assert_eq!(file.take_missing_range(), None);
        file.insert(3, Bytes::from_static(b"345"));
        file.seek(SeekFrom::End(-9)).expect("a place in the file");
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).expect("all of it is there");
        assert_eq!(
            (rest.as_slice(), file.take_missing_range()),
            (b"123456789".as_slice(), None)
        );
        assert!(file.covers(&(6..10)) && file.covers(&(3..5)) && !file.covers(&(5..7)));
        assert!(file.seek(SeekFrom::Current(-11)).is_err());
    }
}
