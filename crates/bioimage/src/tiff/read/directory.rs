//! The skeleton of a TIFF file: byte order, directories, their entries and the numbers these point to.
//!
//! What the numbers mean is `page`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::budget::Budget;
use crate::error::Error;
use crate::number::{from_big_endian, from_little_endian};
use crate::pieces::Source;

/// A TIFF file, or as much of it as is in memory.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    source: Source<'a>,
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

/// The main chain of directories.
pub(super) struct Chain {
    /// Where each begins, in order. At least one.
    pub(super) offsets: Vec<u64>,
    /// Whether it ends with a link that leads nowhere, so that pages may be missing.
    pub(super) is_cut: bool,
}

/// One image file directory.
pub(super) struct Directory {
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

/// Where the entries of a directory lie, and the link behind them.
struct Table {
    entries_at: usize,
    entries: usize,
    link: u64,
}

/// The tag of an image's width, which every page has.
const WIDTH: u16 = 256;

/// Most entries of a directory, as `BigTIFF` could claim more than a classic file can.
const MOST_ENTRIES: u64 = u16::MAX as u64;

/// Longest description that is looked at.
const LONGEST_TEXT: usize = 16 << 20;

/// The same for a description that is not UTF-8.
const LONGEST_MENDED_TEXT: usize = 4 << 20;

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
    Other4,
    Other8,
}

impl<'a> File<'a> {
    /// Reads the header.
    pub(super) fn open(source: Source<'a>) -> Result<Self, Error> {
        let order = match source.get(0..2) {
            Some(b"II") => ByteOrder::Little,
            Some(b"MM") => ByteOrder::Big,
            _ => return Err(Error::NotAnImage("not a TIFF file")),
        };
        let mut file = Self {
            source,
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

    /// The bytes of all of it.
    pub(super) fn len(&self) -> usize {
        self.source.len()
    }

    /// The directories of the main chain; their entries are not read.
    ///
    /// A wrong link behind a lone page is taken for the end, as other readers do; behind several pages it is an error.
    pub(super) fn chain(&self, budget: &mut Budget) -> Result<Chain, Error> {
        let mut offsets = Vec::new();
        let mut seen = HashSet::new();
        let mut is_cut = false;
        let mut next = self.first_directory;
        while next != 0 {
            let table = self.table(next).and_then(|table| {
                let is_new = seen.insert(next);
                is_new
                    .then_some(table)
                    .ok_or_else(|| Error::corrupt("the image directories form a loop"))
            });
            let table = match table {
                Ok(table) if offsets.len() == 1 && !self.is_page(&table) => Err(cut("second page")),
                table => table,
            };
            let table = match table {
                Ok(table) => table,
                Err(_) if offsets.len() == 1 => {
                    is_cut = true;
                    break;
                }
                Err(error) => return Err(error),
            };
            budget.directory(table.entries)?;
            offsets.push(next);
            next = table.link;
        }
        if offsets.is_empty() {
            return Err(Error::corrupt("the file has no image directory"));
        }
        Ok(Chain { offsets, is_cut })
    }

    /// The directory at `offset`.
    pub(super) fn directory(&self, offset: u64) -> Result<Directory, Error> {
        let table = self.table(offset)?;
        Ok(Directory {
            entries: self.entries(&table).collect(),
        })
    }

    /// A directory that is not in the main chain; none if it lies outside the file.
    pub(super) fn child(
        &self,
        offset: u64,
        budget: &mut Budget,
    ) -> Result<Option<Directory>, Error> {
        let Ok(table) = self.table(offset) else {
            return Ok(None);
        };
        budget.directory(table.entries)?;
        self.directory(offset).map(Some)
    }

    fn is_page(&self, table: &Table) -> bool {
        self.entries(table).any(|entry| entry.tag == WIDTH)
    }

    fn table(&self, offset: u64) -> Result<Table, Error> {
        let start = usize::try_from(offset).map_err(|_| cut("image directory"))?;
        let count_bytes = if self.width == OffsetWidth::Big { 8 } else { 2 };
        let count = self
            .number(start, count_bytes)
            .filter(|&count| count <= MOST_ENTRIES)
            .ok_or_else(|| cut("image directory"))?;
        let entries = count as usize;
        let entries_at = start + count_bytes;
        let entries_end = entries_at + entries * self.entry_bytes();
        if entries_end > self.len() {
            return Err(cut("image directory"));
        }
        Ok(Table {
            entries_at,
            entries,
            // Some writers leave out the last link at the very end of the file.
            link: self.number(entries_end, self.offset_bytes()).unwrap_or(0),
        })
    }

    fn entries(&self, table: &Table) -> impl Iterator<Item = Entry> {
        let bytes = self.entry_bytes();
        (0..table.entries).filter_map(move |index| self.entry(table.entries_at + index * bytes))
    }

    /// The numbers of an entry, at most `limit` of them.
    pub(super) fn numbers(&self, entry: &Entry, limit: usize) -> Vec<u64> {
        (0..entry.count.min(limit))
            .map_while(|index| self.number_of(entry, index))
            .collect()
    }

    /// The number of this index; none if there are fewer, or if the values are not whole numbers.
    pub(super) fn number_of(&self, entry: &Entry, index: usize) -> Option<u64> {
        let bytes = entry.kind.bytes();
        let is_number = !matches!(entry.kind, Kind::Other4 | Kind::Other8);
        (is_number && index < entry.count)
            .then(|| self.number(entry.at + index * bytes, bytes))
            .flatten()
    }

    /// The two whole numbers of a fraction.
    pub(super) fn fraction(&self, entry: &Entry) -> Option<[u64; 2]> {
        let is_fraction = entry.kind == Kind::Other8 && entry.count == 1;
        let [above, below] = [0, 4].map(|at| self.number(entry.at + at, 4));
        above.zip(below).filter(|_| is_fraction).map(Into::into)
    }

    /// The bytes of an entry.
    pub(super) fn data(&self, entry: &Entry) -> &'a [u8] {
        let end = entry.at + entry.count * entry.kind.bytes();
        self.source.get(entry.at..end).unwrap_or_default()
    }

    /// The text of an entry, up to its first NUL.
    ///
    /// # Errors
    ///
    /// A text of more than 16 MiB, or 4 if it is not UTF-8, which would have to be taken apart before anybody can set memory aside for it.
    pub(super) fn text(&self, entry: &Entry) -> Result<Cow<'a, str>, Error> {
        let data = self.data(entry);
        let end = data.iter().position(|&byte| byte == 0);
        let text = &data[..end.unwrap_or(data.len())];
        match str::from_utf8(text) {
            _ if text.len() > LONGEST_TEXT => {
                Err(Error::unsupported("a description of more than 16 MiB"))
            }
            Ok(text) => Ok(Cow::Borrowed(text)),
            // What is no UTF-8 is copied, and grows.
            Err(_) if text.len() > LONGEST_MENDED_TEXT => Err(Error::unsupported(
                "a description of more than 4 MiB that is not UTF-8",
            )),
            Err(_) => Ok(String::from_utf8_lossy(text)),
        }
    }

    /// `length` bytes from `offset`, as far as they are in the file.
    pub(super) fn slice(&self, offset: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        self.source.get(start..end)
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
        let inside = value_at.checked_add(bytes)? <= self.len();
        let tag = u16::try_from(self.number(at, 2)?).ok()?;
        inside.then_some(Entry {
            tag,
            kind,
            count,
            at: value_at,
        })
    }

    fn number(&self, at: usize, bytes: usize) -> Option<u64> {
        let bytes = self.source.get(at..at.checked_add(bytes)?)?;
        Some(match self.order {
            ByteOrder::Little => from_little_endian(bytes),
            ByteOrder::Big => from_big_endian(bytes),
        })
    }

    fn entry_bytes(&self) -> usize {
        if self.width == OffsetWidth::Big {
            20
        } else {
            12
        }
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
            11 => Self::Other4,
            5 | 10 | 12 => Self::Other8,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::Bytes1 => 1,
            Self::Integer2 => 2,
            Self::Integer4 | Self::Other4 => 4,
            Self::Integer8 | Self::Other8 => 8,
        }
    }
}

fn cut(what: &str) -> Error {
    Error::corrupt(format!("the {what} lies outside the file"))
}
