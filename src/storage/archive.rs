//! Zip archives: results in, the images of an upload out.
//!
//! Synchronous and on bytes alone; what is fetched and stored where is `storage`. Neither an upload nor a collection of
//! results need be in memory as a whole: `window` stands for the one, `collector` gives the other away as it grows.

mod collector;
mod images;
mod names;
mod window;

use std::collections::HashSet;
use std::io::{Cursor, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

pub use self::collector::Collector;
pub use self::images::{ArchiveLimits, Images, Largest};
pub use self::names::clean_path;
pub(crate) use self::names::without_last_suffix;
pub use self::window::Window;
use crate::error_class::{Classify, ErrorClass};

/// The entries as one zip archive, in the order given: deflate, relative names with `/`, no entries for folders.
///
/// Names are cleaned ([`clean_path`]). A name that was used before gets a number before its suffix (`lineage_2.json`), since
/// readers show only one of two entries of one name.
///
/// # Errors
///
/// [`ArchiveError::Zip`], which memory never gives but for names over 64 KiB.
pub fn write_zip(
    entries: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> Result<Vec<u8>, ArchiveError> {
    let mut archive = Cursor::new(Vec::new());
    write_zip_to(&mut archive, entries)?;
    Ok(archive.into_inner())
}

/// [`write_zip`] into a file; of the entries only one need be in memory at a time.
///
/// # Errors
///
/// [`ArchiveError::Zip`], what writing answers included.
pub fn write_zip_to(
    out: impl Write + Seek,
    entries: impl IntoIterator<Item = (String, Vec<u8>)>,
) -> Result<(), ArchiveError> {
    let mut writer = ZipWriter::new(out);
    let mut names = HashSet::new();
    for (name, content) in entries {
        let name = unused_name(&clean_path(&name), &names);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(content.len() >= ZIP64_FROM);
        writer.start_file(name.as_str(), options)?;
        writer
            .write_all(&content)
            .map_err(zip::result::ZipError::from)?;
        names.insert(name);
    }
    writer.finish()?;
    Ok(())
}

/// The paths of the images in an archive, in its order: what an upload is unpacked to.
///
/// Files with a suffix in their base name (any suffix; a leading dot begins none) whose path does not contain `__MACOSX`.
/// Paths are cleaned ([`clean_path`]).
///
/// # Errors
///
/// [`ArchiveError::NotAnArchive`] when there is no readable list of entries.
pub fn image_entries(archive: &[u8]) -> Result<Vec<String>, ArchiveError> {
    let archive = ZipArchive::new(Cursor::new(archive)).map_err(|_| ArchiveError::NotAnArchive)?;
    let mut paths = Vec::new();
    for name in archive.file_names() {
        let name = name.map_err(|_| ArchiveError::NotAnArchive)?;
        let path = clean_path(&name);
        if !name.ends_with('/') && is_image_path(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Why an archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// An entry cannot be read without a password.
    #[error("`{0}` in the archive is encrypted")]
    Encrypted(String),

    /// An entry cannot be unpacked.
    #[error("`{path}` in the archive cannot be unpacked: {reason}")]
    Damaged {
        /// The entry.
        path: String,
        /// What is wrong with it.
        reason: String,
    },

    /// Images take more bytes of the archive than it has, so some of them take the same.
    #[error("images in the archive overlap")]
    Overlap,

    /// The list of entries is larger than one of so many images can be.
    #[error("the archive's list of entries takes more than {limit} bytes")]
    LongList {
        /// How many bytes it may have.
        limit: u64,
    },

    /// There are more images than allowed.
    #[error("the archive holds {entries} images, and {limit} are allowed")]
    TooMany {
        /// Images in the archive.
        entries: usize,
        /// How many are allowed.
        limit: usize,
    },

    /// An entry unpacks to more than allowed, by itself or with those before it.
    #[error(
        "`{path}` in the archive unpacks to more than the {limit} bytes that are allowed for it"
    )]
    TooLarge {
        /// The entry.
        path: String,
        /// How many bytes it may have.
        limit: u64,
    },

    /// The bytes are no zip archive, or a damaged one.
    #[error("File is not a zip file")]
    NotAnArchive,

    /// An archive could not be written.
    #[error("cannot write the zip archive")]
    Zip(#[from] zip::result::ZipError),
}

impl Classify for ArchiveError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::TooMany { .. } | Self::TooLarge { .. } | Self::LongList { .. } => {
                ErrorClass::TooLarge
            }
            Self::Encrypted(_) => ErrorClass::Unsupported,
            Self::Damaged { .. } | Self::Overlap | Self::NotAnArchive | Self::Zip(_) => {
                ErrorClass::InvalidInput
            }
        }
    }
}

/// Entries from this size on need the 64-bit fields; deflate may grow what it cannot compress, hence the margin.
const ZIP64_FROM: usize = (1 << 32) - (1 << 24);

fn unused_name(name: &str, used: &HashSet<String>) -> String {
    if !used.contains(name) {
        return name.to_owned();
    }
    let base_at = name.rfind('/').map_or(0, |slash| slash + 1);
    let stem_end = base_at + without_last_suffix(&name[base_at..]).len();
    let (stem, suffix) = name.split_at(stem_end);
    let numbered = (2_u64..).map(|number| format!("{stem}_{number}{suffix}"));
    numbered
        .into_iter()
        .find(|name| !used.contains(name))
        .unwrap_or_else(|| name.to_owned())
}

fn is_image_path(path: &str) -> bool {
    let base = path.rsplit('/').next().unwrap_or(path);
    without_last_suffix(base).len() < base.len() && !path.contains("__MACOSX")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Names and contents of the entries of an archive.
    pub(super) fn read_back(archive: Vec<u8>) -> Vec<(String, Vec<u8>)> {
        let mut archive = ZipArchive::new(Cursor::new(archive)).expect("just written");
        (0..archive.len())
            .map(|index| {
                let mut entry = archive.by_index(index).expect("just written");
                let mut content = Vec::new();
                entry.read_to_end(&mut content).expect("just written");
                (entry.name().expect("a name in UTF-8").into_owned(), content)
            })
            .collect()
    }

    #[test]
    fn entries_keep_their_order_and_content() {
        let entries = vec![
            ("b/x.tif".to_owned(), vec![1, 2, 3]),
            ("a.json".to_owned(), vec![]),
        ];
        assert_eq!(
            read_back(write_zip(entries.clone()).expect("fits in memory")),
            entries
        );
    }

    #[test]
    fn a_name_used_twice_gets_a_number() {
        let entries = ["d/lineage.json", "d/lineage.json", "d/lineage.json"]
            .map(|name| (name.to_owned(), vec![]));
        let names: Vec<_> = read_back(write_zip(entries).expect("fits in memory"))
            .into_iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(
            names,
            ["d/lineage.json", "d/lineage_2.json", "d/lineage_3.json"]
        );
    }

    #[test]
    fn names_that_lead_out_of_the_archive_are_cleaned() {
        let names: Vec<_> =
            read_back(write_zip([("/../x.tif".to_owned(), vec![0])]).expect("fits in memory"))
                .into_iter()
                .collect();
        assert_eq!(names, [("x.tif".to_owned(), vec![0])]);
    }

    #[test]
    fn no_bytes_are_no_archive() {
        assert!(matches!(
            image_entries(b""),
            Err(ArchiveError::NotAnArchive)
        ));
    }
}
