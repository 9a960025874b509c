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

/// KiB of memory that the decompressor of an xz file may take.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// Bytes that an array may take in the archive beside its values, at most.
const LARGEST_HEADER: u64 = 64 << 10;

/// A movie with its labels, and perhaps lineages.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackFile {
    /// Pixels, `[frame, row, column, channel]` in `.trk` files; `.trks` files have a batch axis in front.
    pub raw: ArrayD<f32>,
    /// Labels in the same axes, 0 for the background.
    pub labels: ArrayD<i32>,
    lineages: [Option<Vec<u8>>; 2],
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

impl TrackFile {
    /// Reads a track file, its compression (none, gzip, bzip2, xz) by its content. Lineages are kept as text and not parsed.
    ///
    /// Pixels become f32, rounded to the nearest; labels are truncated to whole numbers. Of several members of one name
    /// the last counts. Whether both arrays have the same shape is left to the caller.
    ///
    /// # Errors
    ///
    /// [`TrackFileError`]; more than `limits` allows is [`TrackFileError::Array`] with [`Error::TooLarge`].
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, TrackFileError> {
        let (mut raw, mut labels, mut lineages) = (None, None, [None, None]);
        // Skipped members count, too: no archive may keep us unpacking for ever.
        let longest = limits
            .max_decoded_bytes
            .saturating_mul(4)
            .saturating_add(64 << 20);
        let mut archive = tar::Archive::new(unpacked(bytes).take(longest));
        // Extended headers would be read into memory whole, and the names of the members here need none.
        for entry in archive
            .entries()
            .map_err(TrackFileError::NotAnArchive)?
            .raw(true)
        {
            let mut entry = entry.map_err(TrackFileError::NotAnArchive)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path = entry.path_bytes().into_owned();
            let name = path.strip_prefix(b"./").unwrap_or(&path);
            if name == RAW.as_bytes() {
                raw = Some(array(&mut entry, RAW, limits, npy::read_f32)?);
            } else if name == LABELS.as_bytes() {
                labels = Some(array(&mut entry, LABELS, limits, npy::read_i32)?);
            } else if let Some(place) = [LINEAGES, LINEAGE]
                .iter()
                .position(|known| known.as_bytes() == name)
            {
                lineages[place] =
                    Some(content(&mut entry, limits).map_err(TrackFileError::NotAnArchive)?);
            }
        }
        let raw = raw.ok_or(TrackFileError::Missing(RAW))?;
        let labels = labels.ok_or(TrackFileError::Missing(LABELS))?;
        Ok(Self {
            raw,
            labels,
            lineages,
        })
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
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(lzma_rust2::XzReader::new_mem_limit(
            bytes,
            true,
            XZ_MEMORY_KIB,
        )),
        _ => Box::new(bytes),
    }
}

type Entry<'a, R> = tar::Entry<'a, R>;

fn array<T, R: Read>(
    entry: &mut Entry<'_, R>,
    name: &'static str,
    limits: &Limits,
    parse: impl Fn(&[u8], &Limits) -> Result<ArrayD<T>, Error>,
) -> Result<ArrayD<T>, TrackFileError> {
    // Values of eight bytes become ones of four.
    let stored = entry.size().saturating_sub(LARGEST_HEADER) / 2;
    limits
        .check_bytes(stored)
        .map_err(|source| TrackFileError::Array { name, source })?;
    let content = content(entry, limits).map_err(TrackFileError::NotAnArchive)?;
    parse(&content, limits).map_err(|source| TrackFileError::Array { name, source })
}

/// The bytes of a member; one that is longer than anything useful is cut off.
fn content<R: Read>(entry: &mut Entry<'_, R>, limits: &Limits) -> io::Result<Vec<u8>> {
    let longest = limits
        .max_decoded_bytes
        .saturating_mul(2)
        .saturating_add(LARGEST_HEADER);
    let mut content = Vec::new();
    entry.take(longest).read_to_end(&mut content)?;
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
