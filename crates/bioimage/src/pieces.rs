//! The bytes of a file: all of them, or the pieces that have been fetched.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

/// A file of which only some pieces are in memory, for [`header_of_pieces`](crate::header_of_pieces).
#[derive(Debug, Default)]
pub struct Pieces {
    size: usize,
    /// By their first byte.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// What was asked for first and is not here.
    missing: OnceLock<Range<usize>>,
}

impl Pieces {
    /// A file of so many bytes, none of which is here.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size,
            ..Self::default()
        }
    }

    /// Adds what the file has from `start` on.
    pub fn insert(&mut self, start: usize, bytes: Vec<u8>) {
        let before = self.pieces.range_mut(..=start).next_back();
        match before {
            // What follows a piece is part of it, so that a range across both is found.
            Some((first, piece)) if start <= first + piece.len() => {
                let known = first + piece.len() - start;
                piece.extend_from_slice(bytes.get(known..).unwrap_or_default());
            }
            _ => _ = self.pieces.insert(start, bytes),
        }
    }

    /// The bytes of the whole file.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The first bytes, as far as they are here.
    pub(crate) fn begin(&self) -> &[u8] {
        self.pieces.get(&0).map_or(&[], Vec::as_slice)
    }

    /// These bytes; what is not here is remembered.
    pub(crate) fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        if range.start > range.end || range.end > self.size {
            return None;
        }
        let mut before = self.pieces.range(..=range.start).rev();
        let found =
            before.find_map(|(first, piece)| piece.get(range.start - first..range.end - first));
        if found.is_none() {
            self.missing.get_or_init(|| range);
        }
        found
    }

    /// Says that these bytes are needed, unless others were needed before.
    pub(crate) fn want(&self, range: Range<usize>) {
        self.missing.get_or_init(|| range);
    }

    /// What was asked for first and is not here. Forgets it.
    pub(crate) fn take_missing(&mut self) -> Option<Range<usize>> {
        self.missing.take()
    }
}

/// The bytes that a reader reads.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Whole(&'a [u8]),
    Pieces(&'a Pieces),
}

impl<'a> Source<'a> {
    /// The bytes of the whole file.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Pieces(pieces) => pieces.size(),
        }
    }

    /// These bytes, if they are in the file and in memory.
    pub(crate) fn get(self, range: Range<usize>) -> Option<&'a [u8]> {
        match self {
            Self::Whole(bytes) => bytes.get(range),
            Self::Pieces(pieces) => pieces.get(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_remembered_once() {
        let mut pieces = Pieces::new(10);
        assert_eq!(pieces.get(2..4), None);
        assert_eq!(pieces.get(6..8), None);
        assert_eq!(pieces.take_missing(), Some(2..4));
        pieces.insert(2, vec![2, 3]);
        assert_eq!(pieces.get(2..4), Some(&[2, 3][..]));
        assert_eq!(pieces.get(9..11), None, "it is behind the end");
        assert_eq!(pieces.take_missing(), None);
    }

    #[test]
    fn pieces_that_follow_each_other_are_one() {
        let mut pieces = Pieces::new(10);
        pieces.insert(0, vec![0, 1]);
        pieces.insert(2, vec![2, 3]);
        pieces.insert(1, vec![1, 2]);
        pieces.insert(3, vec![3, 4, 5]);
        assert_eq!(pieces.get(1..6), Some(&[1, 2, 3, 4, 5][..]));
        assert_eq!(pieces.begin(), [0, 1, 2, 3, 4, 5]);
    }
}
