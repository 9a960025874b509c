//! The skeleton of a TIFF file: byte order, directories, their entries and the numbers these point to.
//!
//! What the numbers mean is `page`.

use std::collections::HashSet;

use crate::error::Error;
use crate::number::{from_big_endian, from_little_endian};

/// A TIFF file in memory.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// Byte order of numbers and samples.
    pub(super) order: ByteOrder,
    width: OffsetWidth,
    first_directory: u64,
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    /// Least significant first, `II`.
    Little,
    /// Most significant first, `MM`.
    Big,
}

/// One image file directory.
pub(super) struct Directory {
    /// Where it begins.
    pub(super) offset: u64,
    entries: Vec<Entry>,
}

/// One tag: its values lie at `at` and are known to be inside the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    tag: u16,
    kind: Kind,
    /// How many values.
    pub(super) count: usize,
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OffsetWidth {
    Classic,
    Big,
}

/// Type of a tag's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bytes1,
    Integer2,
    Integer4,
    Integer8,
    Other(usize),
}

impl<'a> File<'a> {
    /// Reads the header.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let order = match bytes {
            [b'I', b'I', ..] => ByteOrder::Little,
            [b'M', b'M', ..] => ByteOrder::Big,
            _ => return Err(Error::NotAnImage("not a TIFF file")),
        };
        let mut file = Self {
            bytes,
            order,
            width: OffsetWidth::Classic,
            first_directory: 0,
        };
        match file.number(2, 2) {
            Some(42) => {}
            Some(43) if file.number(4, 2) == Some(8) => file.width = OffsetWidth::Big,
            _ => return Err(Error::NotAnImage("not a TIFF file")),
        }
        let link_at = if file.width == OffsetWidth::Big { 8 } else { 4 };
        file.first_directory = file
            .number(link_at, file.offset_bytes())
            .ok_or_else(|| cut("header"))?;
        Ok(file)
    }

    /// The directories of the main chain, in order. At least one.
    pub(super) fn directories(&self) -> Result<Vec<Directory>, Error> {
        let mut directories = Vec::new();
        let mut seen = HashSet::new();
        let mut entries_left = self.bytes.len() / 12;
        let mut next = self.first_directory;
        while next != 0 {
            if !seen.insert(next) {
                return Err(Error::corrupt("the image directories form a loop"));
            }
            let (directory, link) = self.directory(next)?;
            // Directories that do not overlap cannot hold more entries than the file has room for.
            entries_left = entries_left
                .checked_sub(directory.entries.len())
                .ok_or_else(|| Error::corrupt("directories overlap"))?;
            directories.push(directory);
            next = link;
        }
        if directories.is_empty() {
            return Err(Error::corrupt("the file has no image directory"));
        }
        Ok(directories)
    }

    /// The directory at `offset`, and the link to the next.
    pub(super) fn directory(&self, offset: u64) -> Result<(Directory, u64), Error> {
        let start = usize::try_from(offset).map_err(|_| cut("image directory"))?;
        let (count_bytes, entry_bytes) = if self.width == OffsetWidth::Big {
            (8, 20)
        } else {
            (2, 12)
        };
        let count = self
            .number(start, count_bytes)
            .ok_or_else(|| cut("image directory"))?;
        let count = usize::try_from(count).map_err(|_| cut("image directory"))?;
        let entries_at = start + count_bytes;
        let entries_end = count
            .checked_mul(entry_bytes)
            .and_then(|bytes| bytes.checked_add(entries_at));
        let entries_end = entries_end
            .filter(|&end| end <= self.bytes.len())
            .ok_or_else(|| cut("image directory"))?;
        let entries = (entries_at..entries_end)
            .step_by(entry_bytes)
            .filter_map(|at| self.entry(at))
            .collect();
        // Some writers leave out the last link at the very end of the file.
        let link = self.number(entries_end, self.offset_bytes()).unwrap_or(0);
        Ok((Directory { offset, entries }, link))
    }

    /// The numbers of an entry, at most `limit` of them.
    pub(super) fn numbers(&self, entry: &Entry, limit: usize) -> Vec<u64> {
        let bytes = entry.kind.bytes();
        let count = if matches!(entry.kind, Kind::Other(_)) {
            0
        } else {
            entry.count.min(limit)
        };
        (0..count)
            .filter_map(|index| self.number(entry.at + index * bytes, bytes))
            .collect()
    }

    /// The bytes of an entry.
    pub(super) fn data(&self, entry: &Entry) -> &'a [u8] {
        &self.bytes[entry.at..entry.at + entry.count * entry.kind.bytes()]
    }

    /// The text of an entry, up to its first NUL.
    pub(super) fn text(&self, entry: &Entry) -> String {
        let data = self.data(entry);
        let end = data
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(data.len());
        String::from_utf8_lossy(&data[..end]).into_owned()
    }

    /// `length` bytes from `offset`, as far as they are in the file.
    pub(super) fn slice(&self, offset: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        self.bytes.get(start..end)
    }

    /// An entry; none when its type is unknown or its values lie outside the file.
    fn entry(&self, at: usize) -> Option<Entry> {
        let kind = Kind::from_code(self.number(at + 2, 2)?)?;
        let inline = self.offset_bytes();
        let count = usize::try_from(self.number(at + 4, inline)?).ok()?;
        let bytes = count.checked_mul(kind.bytes())?;
        // Values that fit into an offset stand in its place.
        let value_at = at + 4 + inline;
        let value_at = if bytes <= inline {
            value_at
        } else {
            usize::try_from(self.number(value_at, inline)?).ok()?
        };
        let inside = value_at.checked_add(bytes)? <= self.bytes.len();
        let tag = u16::try_from(self.number(at, 2)?).ok()?;
        inside.then_some(Entry {
            tag,
            kind,
            count,
            at: value_at,
        })
    }

    fn number(&self, at: usize, bytes: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(bytes)?)?;
        Some(match self.order {
            ByteOrder::Little => from_little_endian(bytes),
            ByteOrder::Big => from_big_endian(bytes),
        })
    }

    fn offset_bytes(&self) -> usize {
        if self.width == OffsetWidth::Big { 8 } else { 4 }
    }
}

impl Directory {
    /// The first entry of this tag.
    pub(super) fn find(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    /// The first entry of this tag, else that of the other one.
    pub(super) fn find_or(&self, tag: u16, other: u16) -> Option<&Entry> {
        self.find(tag).or_else(|| self.find(other))
    }

    /// All entries of this tag, in order.
    pub(super) fn find_all(&self, tag: u16) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.tag == tag)
    }
}

impl Kind {
    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 | 2 | 6 | 7 => Self::Bytes1,
            3 | 8 => Self::Integer2,
            4 | 9 | 13 => Self::Integer4,
            16..=18 => Self::Integer8,
            11 => Self::Other(4),
            5 | 10 | 12 => Self::Other(8),
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::Bytes1 => 1,
            Self::Integer2 => 2,
            Self::Integer4 => 4,
            Self::Integer8 => 8,
            Self::Other(bytes) => bytes,
        }
    }
}

fn cut(what: &str) -> Error {
    Error::corrupt(format!("the {what} lies outside the file"))
}
