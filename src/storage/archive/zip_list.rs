//! The list of entries of an archive, which goes on as long as its entries do.
//!
//! The count beside it is not trusted: it has 16 bits, and what packs more than 65,535 files without the 64-bit records
//! (macOS, older Java) lets it wrap. Other readers go by the size of the list, so an archive looks whole to its sender.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config, ZipArchiveMetadata};
use zip::result::ZipError;

use super::error::ArchiveError;

const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";

/// Bytes of an entry without its name, extra fields and comment; of the last record without its comment; of those of 64 bits.
const ENTRY_BYTES: u64 = 46;
const END_BYTES: u64 = 22;
const END_64_BYTES: u64 = 56;
const LOCATOR_64_BYTES: u64 = 20;

/// The records of 64 bits are looked for in so many bytes.
const RECORDS_64_BYTES: u64 = 64 << 10;

/// The longest comment of an archive.
const COMMENT_BYTES: u64 = (1 << 16) - 1;

/// All entries of an archive, however many its end counts.
///
/// # Errors
///
/// [`ArchiveError::NotAnArchive`] when there is no readable list of entries.
pub(super) fn read_list(
    file: &mut (impl Read + Seek),
) -> Result<Arc<ZipArchiveMetadata>, ArchiveError> {
    let counted = match ZipArchive::new(&mut *file) {
        Ok(archive) => Some(archive.metadata()),
        // Bytes that are elsewhere yet: looking further tells no more.
        Err(ZipError::Io(error)) if error.kind() == io::ErrorKind::Other => {
            return Err(ArchiveError::NotAnArchive);
        }
        Err(_) => None,
    };
    checked(file, counted).map_err(|_| ArchiveError::NotAnArchive)
}

/// Bytes that the list of entries has at most, by the end of the archive; none if there is no end.
pub(crate) fn claimed_list_bytes(file: &mut (impl Read + Seek)) -> u64 {
    let end = End::find(file).ok().flatten();
    end.map_or(0, |end| {
        // Wherever one of its numbers says that it begins.
        let from_offset = end.list_end.saturating_sub(end.list_offset);
        end.list_bytes.max(from_offset)
    })
}

/// The list as its end counts it, or by its entries if these are not as many.
fn checked(
    file: &mut (impl Read + Seek),
    counted: Option<Arc<ZipArchiveMetadata>>,
) -> io::Result<Arc<ZipArchiveMetadata>> {
    let start = counted.as_deref().and_then(first_entry);
    match counted {
        Some(list) if start.is_some() && !goes_on(file, &list)? => Ok(list),
        Some(list) => {
            let end = End::find(file)?.filter(|end| start.is_some() || end.list_bytes > 0);
            end.map_or(Ok(list), |end| recounted(file, &end, start))
        }
        None => {
            let end = End::find(file)?.ok_or_else(wrong)?;
            recounted(file, &end, None)
        }
    }
}

/// Where the list begins; nothing if it is empty.
fn first_entry(list: &ZipArchiveMetadata) -> Option<u64> {
    places(list).min()
}

fn places(list: &ZipArchiveMetadata) -> impl Iterator<Item = u64> {
    (0..list.len())
        .filter_map(|index| list.entry(index).ok())
        .map(|entry| entry.central_header_start())
}

/// Whether an entry follows the last one that was counted.
fn goes_on(file: &mut (impl Read + Seek), list: &ZipArchiveMetadata) -> io::Result<bool> {
    let Some(last) = places(list).max() else {
        return Ok(false);
    };
    let next = entry_after(file, last)?;
    Ok(match next {
        Some(next) => entry_after(file, next)?.is_some(),
        None => false,
    })
}

/// Where the entry at this place ends; nothing if there is none.
fn entry_after(file: &mut (impl Read + Seek), place: u64) -> io::Result<Option<u64>> {
    let mut head = [0; ENTRY_BYTES as usize];
    file.seek(SeekFrom::Start(place))?;
    // An archive may end before a whole entry would.
    let mut read = 0;
    while read < head.len() {
        match file.read(&mut head[read..])? {
            0 => return Ok(None),
            more => read += more,
        }
    }
    let variable = [28, 30, 32].map(|at| u64::from(u16_at(&head, at)));
    let length = ENTRY_BYTES + variable.iter().sum::<u64>();
    Ok(head.starts_with(ENTRY).then_some(place + length))
}

/// The list by its entries: from where it is known to begin, or where its size says.
fn recounted(
    file: &mut (impl Read + Seek),
    end: &End,
    start: Option<u64>,
) -> io::Result<Arc<ZipArchiveMetadata>> {
    let start = match start {
        Some(start) => start,
        None => end.list_end.checked_sub(end.list_bytes).ok_or_else(wrong)?,
    };
    let archive_start = start.checked_sub(end.list_offset).ok_or_else(wrong)?;
    let (mut place, mut entries) = (start, 0);
    while place < end.list_end
        && let Some(next) = entry_after(file, place)?
    {
        (place, entries) = (next, entries + 1);
    }
    // Nothing is read of a list that is cut off.
    if place != end.list_end && !end.may_follow_list(file, place)? {
        return Err(wrong());
    }
    let config = Config {
        archive_offset: ArchiveOffset::Known(archive_start),
    };
    let records = end_records(entries, place - start, end, archive_start);
    let whole = Rewritten::new(file, end.list_end, records);
    let list = ZipArchive::with_config(config, whole).map_err(io::Error::other)?;
    Ok(list.metadata())
}

fn wrong() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// What the records at the end of an archive say of its list.
struct End {
    /// Where the records begin, and the list ends.
    list_end: u64,
    list_bytes: u64,
    /// Where the list begins, from the start of the archive.
    list_offset: u64,
}

impl End {
    /// Looks for the last record, as other readers do: at the very end, or before the longest comment.
    fn find(file: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        let size = file.seek(SeekFrom::End(0))?;
        let Some(last) = size.checked_sub(END_BYTES) else {
            return Ok(None);
        };
        let from = last.saturating_sub(COMMENT_BYTES);
        let tail = read_at(file, from, size - from)?;
        let last = (last - from) as usize;
        let is_record = |at: &usize| tail[*at..].starts_with(END);
        let Some(at) = (0..=last).rev().find(is_record) else {
            return Ok(None);
        };
        let record = &tail[at..];
        let found = Self {
            list_end: from + at as u64,
            list_bytes: u64::from(u32_at(record, 12)),
            list_offset: u64::from(u32_at(record, 16)),
        };
        found.with_64_bits(file).map(Some)
    }

    /// What the records of 64 bits say instead, if there are any.
    fn with_64_bits(self, file: &mut (impl Read + Seek)) -> io::Result<Self> {
        let Some(locator) = self.list_end.checked_sub(LOCATOR_64_BYTES) else {
            return Ok(self);
        };
        if !read_at(file, locator, LOCATOR_64_BYTES)?.starts_with(LOCATOR_64) {
            return Ok(self);
        }
        // Where the locator says it is counts from a start that may have moved; data of the writer's own seldom follow its
        // fields.
        for most in [END_64_BYTES, RECORDS_64_BYTES] {
            let from = locator.saturating_sub(most);
            let bytes = read_at(file, from, locator - from)?;
            let is_record = |at: &usize| {
                let record = &bytes[*at..];
                record.starts_with(END_64)
                    && record.len() as u64 >= END_64_BYTES
                    && u64_at(record, 4).checked_add(12) == Some(record.len() as u64)
            };
            if let Some(at) = (0..bytes.len()).rev().find(is_record) {
                return Ok(Self {
                    list_end: from + at as u64,
                    list_bytes: u64_at(&bytes[at..], 40),
                    list_offset: u64_at(&bytes[at..], 48),
                });
            }
        }
        Ok(self)
    }

    /// Whether what lies at this place, before the records, is a signature of the list rather than an entry.
    fn may_follow_list(&self, file: &mut (impl Read + Seek), place: u64) -> io::Result<bool> {
        let is_before = place + 4 <= self.list_end;
        Ok(is_before && read_at(file, place, 4)? == b"PK\x05\x05")
    }
}

/// The records of 64 bits at the end of an archive, and the last one that refers to them.
fn end_records(entries: u64, list_bytes: u64, end: &End, archive_start: u64) -> Vec<u8> {
    let mut records = END_64.to_vec();
    records.extend((END_64_BYTES - 12).to_le_bytes());
    records.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [entries, entries, list_bytes, end.list_offset] {
        records.extend(number.to_le_bytes());
    }
    records.extend(LOCATOR_64);
    records.extend([0; 4]);
    records.extend((end.list_end - archive_start).to_le_bytes());
    records.extend(1_u32.to_le_bytes());
    records.extend(END);
    records.extend([0; 4]);
    records.extend([0xff; 12]);
    records.extend([0; 2]);
    records
}

fn read_at(file: &mut (impl Read + Seek), place: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(place))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A file that ends otherwise than it does.
struct Rewritten<'f, F> {
    file: &'f mut F,
    /// Where the other end begins.
    from: u64,
    end: Vec<u8>,
    position: u64,
}

impl<'f, F> Rewritten<'f, F> {
    fn new(file: &'f mut F, from: u64, end: Vec<u8>) -> Self {
        Self {
            file,
            from,
            end,
            position: 0,
        }
    }
}

impl<F: Read + Seek> Read for Rewritten<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.position.checked_sub(self.from) {
            None => {
                self.file.seek(SeekFrom::Start(self.position))?;
                let left = self.from - self.position;
                (&mut *self.file).take(left).read(buffer)?
            }
            Some(offset) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                self.end.get(offset..).unwrap_or_default().read(buffer)?
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl<F> Seek for Rewritten<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => (self.from + self.end.len() as u64).checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::write::write_zip;
    use super::*;

    /// An archive of so many entries, without records of 64 bits.
    fn archive(entries: usize) -> Vec<u8> {
        write_zip((0..entries).map(|n| (format!("{n}.tif"), vec![1]))).expect("fits in memory")
    }

    /// The same, of which the end counts otherwise, with junk before it.
    fn counting(entries: usize, count: u16, junk: usize) -> Vec<u8> {
        let mut bytes = vec![b'x'; junk];
        bytes.extend(archive(entries));
        let end = bytes.len() - 22;
        for at in [8, 10] {
            bytes[end + at..][..2].copy_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    /// The same with records of 64 bits, which count in its place, and data of the writer's own in them.
    fn counting_in_64_bits(entries: usize, count: u64, junk: usize, own: usize) -> Vec<u8> {
        let mut bytes = vec![b'x'; junk];
        bytes.extend(archive(entries));
        let end = bytes.split_off(bytes.len() - 22);
        let place = (bytes.len() - junk) as u64;
        bytes.extend(END_64);
        bytes.extend((44 + own as u64).to_le_bytes());
        bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [
            count,
            count,
            u32_at(&end, 12).into(),
            u32_at(&end, 16).into(),
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(vec![7; own]);
        bytes.extend(LOCATOR_64);
        bytes.extend([0; 4]);
        bytes.extend(place.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(END);
        bytes.extend([0; 4]);
        bytes.extend([0xff; 12]);
        bytes.extend([0; 2]);
        bytes
    }

    fn names(archive: &[u8]) -> Result<Vec<String>, ArchiveError> {
        let list = read_list(&mut Cursor::new(archive))?;
        Ok((0..list.len())
            .map(|index| {
                let entry = list.entry(index).expect("an entry");
                String::from_utf8_lossy(entry.name_raw()).into_owned()
            })
            .collect())
    }

    #[test]
    fn every_entry_is_listed_whatever_the_count() {
        for count in [0, 1, 3, 7, 8, 100, u16::MAX] {
            for junk in [0, 10, 100_000] {
                let found = names(&counting(7, count, junk)).expect("a list");
                assert_eq!(found.len(), 7, "count {count}, {junk} bytes before it");
                assert_eq!((&*found[0], &*found[6]), ("0.tif", "6.tif"));
            }
        }
    }

    #[test]
    fn every_entry_is_listed_whatever_the_count_of_64_bits() {
        let counts = [0, 1, 3, 7, 8, 100, 1 << 40, i64::MAX as u64, u64::MAX];
        for count in counts {
            for (junk, own) in [(0, 0), (10, 0), (100_000, 0), (0, 24), (10, 1000)] {
                let found = names(&counting_in_64_bits(7, count, junk, own));
                let found = found.unwrap_or_else(|error| {
                    panic!("count {count}, {junk} bytes before it, {own} in it: {error}")
                });
                assert_eq!(found.len(), 7, "count {count}, {junk} bytes before it");
                assert_eq!((&*found[0], &*found[6]), ("0.tif", "6.tif"));
            }
        }
        assert!(
            names(&counting_in_64_bits(0, 0, 0, 0))
                .expect("an empty list")
                .is_empty()
        );
    }

    #[test]
    fn an_archive_without_entries_has_none() {
        assert!(names(&archive(0)).expect("an empty list").is_empty());
    }

    #[test]
    fn a_list_that_breaks_off_is_no_list() {
        let mut damaged = counting(7, 3, 0);
        let fifth = damaged
            .windows(4)
            .enumerate()
            .filter(|(_, bytes)| *bytes == ENTRY)
            .map(|(place, _)| place)
            .nth(4)
            .expect("seven entries");
        damaged[fifth] = b'x';
        assert!(matches!(names(&damaged), Err(ArchiveError::NotAnArchive)));
    }
}
