//! Track files: tar archives, plain or compressed, of a movie, its labels and its lineage.
//!
//! Reference: the `.trk` and `.trks` files of deepcell-tracking. Other members of an archive are skipped.

use std::io::{self, Read};

use ndarray::{ArrayD, ArrayViewD};
use serde_json::Value;

use crate::error::Error;
use crate::limits::Limits;
use crate::npy::{self, NpyElement};

const RAW: &str = "raw.npy";
const LABELS: &str = "tracked.npy";
const LINEAGES: &str = "lineages.json";
const LINEAGE: &str = "lineage.json";

/// What an xz file begins with.
const XZ: &[u8] = b"\xfd7zXZ\0";

/// KiB of memory that the decompressor of an xz file may take: dictionaries of 64 MiB serve the highest preset.
const XZ_MEMORY_KIB: u32 = 66 << 10;

/// Bytes that an array may take in the archive beside its values, at most.
const LARGEST_HEADER: u64 = 64 << 10;

/// Bytes that a member may have for each byte of the file. Movies are noise: what packs better holds none.
const MOST_PER_PACKED_BYTE: u64 = 200;

/// Smaller members may be packed however well.
const MOST_PACKED_FROM: u64 = 64 << 20;

/// A movie with its labels, and perhaps lineages.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackFile {
    /// Pixels, `[frame, row, column, channel]` in `.trk` files; `.trks` files have a batch axis in front.
    pub raw: ArrayD<f32>,
    /// Labels in the same axes, 0 for the background.
    pub labels: ArrayD<i32>,
    lineages: [Option<Vec<u8>>; 2],
}

/// What reading a track file takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackFileSize {
    /// Bytes of its arrays once they are read.
    pub decoded_bytes: u64,
    /// Bytes while it is read, beside those of the file.
    pub peak_bytes: u64,
}

/// Why a track file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrackFileError {
    /// The content is not a tar archive, or a damaged one.
    #[error("track file could not be opened: it is not a tar archive, or a damaged one")]
    NotAnArchive(#[source] io::Error),

    /// An array is missing.
    #[error("filename '{0}' not found")]
    Missing(&'static str),

    /// An array cannot be read.
    #[error("`{name}` of the track file cannot be read")]
    Array {
        /// Name in the archive.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        source: Error,
    },

    /// There is no lineage.
    #[error("Invalid .trk file, no lineage data found.")]
    NoLineage,

    /// The lineage is not JSON.
    #[error("the lineage of the track file cannot be read")]
    Lineage(#[from] serde_json::Error),
}

/// Bytes that unpacking a track file may take beside the file and what it unpacks to, by how it is packed: the dictionary
/// of xz is as large as the file says.
#[must_use]
pub fn unpacking_bytes(file: &[u8]) -> u64 {
    if file.starts_with(XZ) {
        u64::from(XZ_MEMORY_KIB) << 10
    } else {
        0
    }
}

impl TrackFile {
    /// Reads a track file, its compression (none, gzip, bzip2, xz) by its content. Lineages are kept as text and not parsed.
    ///
    /// Pixels become f32, rounded to the nearest; labels are truncated to whole numbers. Of several members of one name
    /// the last counts. Whether both arrays have the same shape is left to the caller.
    ///
    /// # Errors
    ///
    /// [`TrackFileError`]; more than `limits` allows, and a member of more than 200 bytes for each byte of the file and
    /// more than 64 MiB, is [`TrackFileError::Array`] with [`Error::TooLarge`].
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, TrackFileError> {
        let (mut raw, mut labels, mut lineages) = (None, None, [None, None]);
        for_each_member(bytes, limits, |member, entry| {
            match member {
                Member::Raw => raw = Some(array(entry, RAW, limits, npy::read_f32)?),
                Member::Labels => labels = Some(array(entry, LABELS, limits, npy::read_i32)?),
                Member::Lineage(place) => lineages[place] = Some(content(entry, limits)?),
            }
            Ok(())
        })?;
        let raw = raw.ok_or(TrackFileError::Missing(RAW))?;
        let labels = labels.ok_or(TrackFileError::Missing(LABELS))?;
        Ok(Self {
            raw,
            labels,
            lineages,
        })
    }

    /// What [`Self::read`] takes, from the headers of the members alone: the file is unpacked, and nothing of it kept.
    ///
    /// # Errors
    ///
    /// Those of [`Self::read`] that the headers show.
    pub fn size_of(bytes: &[u8], limits: &Limits) -> Result<TrackFileSize, TrackFileError> {
        let mut size = TrackFileSize::default();
        let mut largest = 0;
        for_each_member(bytes, limits, |member, entry| {
            let stored = entry.size();
            if matches!(member, Member::Lineage(_)) {
                size.peak_bytes = size.peak_bytes.saturating_add(stored);
                return Ok(());
            }
            let mut head = Vec::new();
            let read = entry.take(LARGEST_HEADER).read_to_end(&mut head);
            read.map_err(TrackFileError::NotAnArchive)?;
            // Without a header that can be read there will be no array.
            let values = npy::bytes_per_value(&head).map_or(0, |bytes| stored / bytes);
            let decoded = values.saturating_mul(size_of::<f32>() as u64);
            size.decoded_bytes = size.decoded_bytes.saturating_add(decoded);
            largest = largest.max(stored);
            Ok(())
        })?;
        let arrays = size.decoded_bytes.saturating_add(largest);
        let unpacking = unpacking_bytes(bytes);
        size.peak_bytes = size
            .peak_bytes
            .saturating_add(arrays)
            .saturating_add(unpacking);
        Ok(size)
    }

    /// The lineages of the file, one for each movie: those of `lineages.json`, else that of `lineage.json`.
    ///
    /// # Errors
    ///
    /// [`TrackFileError::NoLineage`] if there are none, [`TrackFileError::Lineage`] if they are not JSON.
    pub fn lineages(&self) -> Result<Vec<Value>, TrackFileError> {
        let text = self
            .lineages
            .iter()
            .flatten()
            .next()
            .ok_or(TrackFileError::NoLineage)?;
        Ok(match serde_json::from_slice(text)? {
            Value::Array(lineages) => lineages,
            lineage => vec![lineage],
        })
    }
}

/// A movie, its labels (both `[frame, row, column, channel]`) and the text of its lineage as a `.trk` file, compressed with
/// gzip.
///
/// # Errors
///
/// None in practice: the archive is written to memory, but its writer reports errors of files.
pub fn write_trk<R: NpyElement, L: NpyElement>(
    lineage: &str,
    raw: &ArrayViewD<'_, R>,
    labels: &ArrayViewD<'_, L>,
) -> io::Result<Vec<u8>> {
    let packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(packer);
    let members = [
        (LINEAGE, lineage.as_bytes().to_vec()),
        (RAW, npy::write(raw)),
        (LABELS, npy::write(labels)),
    ];
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice())?;
    }
    archive.into_inner()?.finish()
}

fn unpacked(bytes: &[u8]) -> Box<dyn Read + '_> {
    match bytes {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::read::MultiBzDecoder::new(bytes)),
        _ if bytes.starts_with(XZ) => Box::new(lzma_rust2::XzReader::new_mem_limit(
            bytes,
            true,
            XZ_MEMORY_KIB,
        )),
        _ => Box::new(bytes),
    }
}

/// A member that counts.
enum Member {
    Raw,
    Labels,
    /// Its place among the names that a lineage may have.
    Lineage(usize),
}

impl Member {
    fn of(name: &[u8]) -> Option<Self> {
        let name = name.strip_prefix(b"./").unwrap_or(name);
        let lineage = || {
            let names = [LINEAGES, LINEAGE];
            names.iter().position(|known| known.as_bytes() == name)
        };
        match name {
            _ if name == RAW.as_bytes() => Some(Self::Raw),
            _ if name == LABELS.as_bytes() => Some(Self::Labels),
            _ => lineage().map(Self::Lineage),
        }
    }
}

type Entry<'a, 'b> = tar::Entry<'a, io::Take<Box<dyn Read + 'b>>>;

/// Goes through the members that count, in the order of the file; one that is larger than anything useful is an error.
fn for_each_member<'b>(
    bytes: &'b [u8],
    limits: &Limits,
    mut visit: impl FnMut(Member, &mut Entry<'_, 'b>) -> Result<(), TrackFileError>,
) -> Result<(), TrackFileError> {
    let most = (bytes.len() as u64)
        .saturating_mul(MOST_PER_PACKED_BYTE)
        .max(MOST_PACKED_FROM);
    // Skipped members count, too: no archive may keep us unpacking for ever.
    let longest = limits
        .max_decoded_bytes
        .min(most)
        .saturating_mul(4)
        .saturating_add(64 << 20);
    let mut archive = tar::Archive::new(unpacked(bytes).take(longest));
    let entries = archive.entries().map_err(TrackFileError::NotAnArchive)?;
    // Extended headers would be read into memory whole, and the names of the members here need none.
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(TrackFileError::NotAnArchive)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some(member) = Member::of(&entry.path_bytes()) else {
            continue;
        };
        check_size(&member, entry.size(), most, limits)?;
        visit(member, &mut entry)?;
    }
    Ok(())
}

fn check_size(
    member: &Member,
    stored: u64,
    most: u64,
    limits: &Limits,
) -> Result<(), TrackFileError> {
    let name = match member {
        Member::Raw => RAW,
        Member::Labels => LABELS,
        // Cut off where it is read.
        Member::Lineage(_) => return Ok(()),
    };
    // Values of eight bytes become ones of four.
    let decoded = stored.saturating_sub(LARGEST_HEADER) / 2;
    let within = Limits {
        max_decoded_bytes: most,
    };
    limits
        .check_bytes(decoded)
        .and_then(|()| within.check_bytes(stored))
        .map_err(|source| TrackFileError::Array { name, source })
}

fn array<T>(
    entry: &mut Entry<'_, '_>,
    name: &'static str,
    limits: &Limits,
    parse: impl Fn(&[u8], &Limits) -> Result<ArrayD<T>, Error>,
) -> Result<ArrayD<T>, TrackFileError> {
    let content = content(entry, limits)?;
    parse(&content, limits).map_err(|source| TrackFileError::Array { name, source })
}

/// The bytes of a member; one that is longer than anything useful is cut off.
fn content(entry: &mut Entry<'_, '_>, limits: &Limits) -> Result<Vec<u8>, TrackFileError> {
    let longest = limits
        .max_decoded_bytes
        .saturating_mul(2)
        .saturating_add(LARGEST_HEADER);
    // As much as the header says, so that it does not become half as much again. What is not there is not touched.
    let size = usize::try_from(entry.size().min(longest)).unwrap_or(usize::MAX);
    let mut content = Vec::new();
    content
        .try_reserve_exact(size)
        .map_err(|error| TrackFileError::NotAnArchive(io::Error::other(error)))?;
    let read = entry.take(longest).read_to_end(&mut content);
    read.map_err(TrackFileError::NotAnArchive)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file() -> Vec<u8> {
        let raw = ArrayD::from_shape_fn(vec![2, 3, 4, 1], |at| at[1] as f32 + 0.5);
        let labels = ArrayD::from_shape_fn(vec![2, 3, 4, 1], |at| at[2] as i32);
        write_trk(r#"{"1": {"label": 1}}"#, &raw.view(), &labels.view()).expect("fits in memory")
    }

    fn tar() -> Vec<u8> {
        let mut plain = Vec::new();
        unpacked(&file())
            .read_to_end(&mut plain)
            .expect("just packed");
        plain
    }

    #[test]
    fn what_is_written_is_read_in_every_compression() {
        let read = |bytes: &[u8]| TrackFile::read(bytes, &Limits::default()).expect("a track file");
        let written = read(&file());
        assert_eq!(written.labels[[1, 2, 3, 0]], 3);
        assert_eq!(written.lineages().expect("there is one").len(), 1);
        assert_eq!(read(&tar()), written);
        let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        packer.write_all(&tar()).expect("fits in memory");
        assert_eq!(read(&packer.finish().expect("fits in memory")), written);
    }

    #[test]
    fn an_archive_cut_anywhere_is_refused_unless_all_is_there() {
        let expected = TrackFile::read(&file(), &Limits::default()).expect("a track file");
        for whole in [file(), tar()] {
            for length in (0..whole.len()).step_by(37) {
                match TrackFile::read(&whole[..length], &Limits::default()) {
                    Ok(read) => assert_eq!(read, expected, "{length} bytes"),
                    Err(error) => assert!(length < whole.len() - 1, "{error}"),
                }
            }
            assert!(TrackFile::read(&whole[..whole.len() / 3], &Limits::default()).is_err());
        }
    }

    fn packed_zeros(bytes_of_each: usize) -> Vec<u8> {
        let shape = vec![1, 1, bytes_of_each / 4, 1];
        let raw = ArrayD::<f32>::zeros(shape.clone());
        let labels = ArrayD::<i32>::zeros(shape);
        write_trk("{}", &raw.view(), &labels.view()).expect("fits in memory")
    }

    #[test]
    fn the_size_is_what_reading_takes() {
        let raw = ArrayD::from_elem(vec![2, 30, 40, 1], 7_u8);
        let labels = ArrayD::from_elem(vec![2, 30, 40, 1], 7_i32);
        let file = write_trk("{}", &raw.view(), &labels.view()).expect("fits in memory");
        let size = TrackFile::size_of(&file, &Limits::default()).expect("a track file");
        let arrays = 2 * 4 * raw.len() as u64;
        let slack = 2 * 128 * 4;
        assert!(
            (arrays..arrays + slack).contains(&size.decoded_bytes),
            "{size:?}"
        );
        let peak = arrays + 4 * raw.len() as u64;
        assert!((peak..peak + slack).contains(&size.peak_bytes), "{size:?}");
    }

    #[test]
    fn what_is_packed_beyond_belief_is_refused_before_it_is_read() {
        let fits = packed_zeros(MOST_PACKED_FROM as usize / 2);
        assert!(TrackFile::read(&fits, &Limits::default()).is_ok());
        let bomb = packed_zeros(MOST_PACKED_FROM as usize * 2);
        for refused in [
            TrackFile::read(&bomb, &Limits::default()).map(drop),
            TrackFile::size_of(&bomb, &Limits::default()).map(drop),
        ] {
            assert!(
                matches!(
                    refused,
                    Err(TrackFileError::Array {
                        source: Error::TooLarge { .. },
                        ..
                    })
                ),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn arrays_over_the_limit_are_refused_before_they_are_read() {
        let limits = Limits {
            max_decoded_bytes: 95,
        };
        let error = TrackFile::read(&file(), &limits).expect_err("24 values take 96 bytes");
        assert!(
            matches!(
                error,
                TrackFileError::Array {
                    source: Error::TooLarge { .. },
                    ..
                }
            ),
            "{error:?}"
        );
    }
}
