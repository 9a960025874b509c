//! Zip archives in memory: results in, the images of an upload out.
//!
//! Synchronous and on bytes alone; what is uploaded where is `storage`.

use std::collections::HashSet;
use std::io::{Cursor, Read, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::images::output::{clean_path, without_last_suffix};

/// The entries as one zip archive, in the order given: deflate, relative names with `/`, no entries for folders.
///
/// Names are cleaned ([`clean_path`]). A name that was used before gets a number before its suffix (`lineage_2.json`), since
/// readers show only one of two entries of one name.
///
/// # Errors
///
/// [`ArchiveError::Zip`], which memory never gives but for names over 64 KiB.
pub fn write_zip(entries: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Vec<u8>, ArchiveError> {
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
        writer.write_all(&content).map_err(zip::result::ZipError::from)?;
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

/// How much an archive may unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Images in it.
    pub entries: usize,
    /// Bytes of all of them together.
    pub bytes: u64,
    /// Bytes of one for each byte that it takes in the archive.
    pub ratio: u64,
}

/// Small entries may have any ratio.
const RATIO_FROM: u64 = 1 << 20;

/// The images of an archive, unpacked one after the other.
pub struct Images<R> {
    archive: ZipArchive<R>,
    next: usize,
    names: HashSet<String>,
    unpacked: u64,
    limits: ArchiveLimits,
}

impl<R: Read + Seek> Images<R> {
    /// Begins with the first. Nothing is unpacked yet.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotAnArchive`] when there is no readable list of entries, [`ArchiveError::TooMany`].
    pub fn open(archive: R, limits: ArchiveLimits) -> Result<Self, ArchiveError> {
        let archive = ZipArchive::new(archive).map_err(|_| ArchiveError::NotAnArchive)?;
        let mut images = Self { archive, next: 0, names: HashSet::new(), unpacked: 0, limits };
        let count =
            (0..images.archive.len()).filter(|&index| images.path(index).is_ok_and(|path| path.is_some())).count();
        if count > limits.entries {
            return Err(ArchiveError::TooMany { entries: count, limit: limits.entries });
        }
        Ok(images)
    }

    /// Path and content of the next image. A path that was used before gets a number before its suffix.
    ///
    /// # Errors
    ///
    /// An entry that is encrypted, damaged, or larger than allowed.
    pub fn read_next(&mut self) -> Result<Option<(String, Vec<u8>)>, ArchiveError> {
        while self.next < self.archive.len() {
            let index = self.next;
            self.next += 1;
            let Some(path) = self.path(index)? else { continue };
            let content = self.content(index, &path)?;
            let path = unused_name(&path, &self.names);
            self.names.insert(path.clone());
            return Ok(Some((path, content)));
        }
        Ok(None)
    }

    /// The clean path of an entry, if it is an image.
    fn path(&mut self, index: usize) -> Result<Option<String>, ArchiveError> {
        let entry = self.archive.by_index_raw(index).map_err(|_| ArchiveError::NotAnArchive)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let path = clean_path(&name);
        let is_image = entry.is_file() && !name.ends_with('/') && is_image_path(&path);
        Ok(is_image.then_some(path))
    }

    fn content(&mut self, index: usize, path: &str) -> Result<Vec<u8>, ArchiveError> {
        let damaged =
            |error: &dyn std::fmt::Display| ArchiveError::Damaged { path: path.to_owned(), reason: error.to_string() };
        let (is_encrypted, packed) = {
            let entry = self.archive.by_index_raw(index).map_err(|error| damaged(&error))?;
            (entry.encrypted(), entry.compressed_size())
        };
        if is_encrypted {
            return Err(ArchiveError::Encrypted(path.to_owned()));
        }
        let by_ratio = packed.saturating_mul(self.limits.ratio).max(RATIO_FROM);
        let allowed = self.limits.bytes.saturating_sub(self.unpacked).min(by_ratio);
        let entry = self.archive.by_index(index).map_err(|error| damaged(&error))?;
        let mut content = Vec::new();
        entry.take(allowed.saturating_add(1)).read_to_end(&mut content).map_err(|error| damaged(&error))?;
        if content.len() as u64 > allowed {
            return Err(ArchiveError::TooLarge { path: path.to_owned(), limit: allowed });
        }
        self.unpacked += content.len() as u64;
        Ok(content)
    }
}

/// Results put together from those of others: entries are taken over as they are packed.
pub struct Collector<W: Write + Seek> {
    writer: ZipWriter<W>,
    names: HashSet<String>,
}

impl<W: Write + Seek> Collector<W> {
    /// An archive without entries.
    pub fn new(out: W) -> Self {
        Self { writer: ZipWriter::new(out), names: HashSet::new() }
    }

    /// Adds the files of a result, in its order: those of an archive, else the result itself under `name`.
    ///
    /// # Errors
    ///
    /// A damaged archive, and [`ArchiveError::Zip`].
    pub fn add(&mut self, result: &[u8], name: &str) -> Result<(), ArchiveError> {
        let Ok(mut archive) = ZipArchive::new(Cursor::new(result)) else {
            let name = self.unused(name);
            self.writer.start_file(name, SimpleFileOptions::default().large_file(result.len() >= ZIP64_FROM))?;
            return Ok(self.writer.write_all(result).map_err(zip::result::ZipError::from)?);
        };
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index)?;
            let path = clean_path(&String::from_utf8_lossy(entry.name_raw()));
            if entry.is_file() && is_image_path(&path) {
                let name = self.unused(&path);
                self.writer.raw_copy_file_rename(entry, name)?;
            }
        }
        Ok(())
    }

    /// The archive.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Zip`].
    pub fn finish(self) -> Result<W, ArchiveError> {
        Ok(self.writer.finish()?)
    }

    fn unused(&mut self, path: &str) -> String {
        let name = unused_name(&clean_path(path), &self.names);
        self.names.insert(name.clone());
        name
    }
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

    /// There are more images than allowed.
    #[error("the archive holds {entries} images, and {limit} are allowed")]
    TooMany {
        /// Images in the archive.
        entries: usize,
        /// How many are allowed.
        limit: usize,
    },

    /// An entry unpacks to more than allowed, by itself or with those before it.
    #[error("`{path}` in the archive unpacks to more than the {limit} bytes that are allowed for it")]
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
    numbered.into_iter().find(|name| !used.contains(name)).unwrap_or_else(|| name.to_owned())
}

fn is_image_path(path: &str) -> bool {
    let base = path.rsplit('/').next().unwrap_or(path);
    without_last_suffix(base).len() < base.len() && !path.contains("__MACOSX")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(archive: Vec<u8>) -> Vec<(String, Vec<u8>)> {
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
        let entries = vec![("b/x.tif".to_owned(), vec![1, 2, 3]), ("a.json".to_owned(), vec![])];
        assert_eq!(read_back(write_zip(entries.clone()).expect("fits in memory")), entries);
    }

    #[test]
    fn a_name_used_twice_gets_a_number() {
        let entries = ["d/lineage.json", "d/lineage.json", "d/lineage.json"].map(|name| (name.to_owned(), vec![]));
        let names: Vec<_> = read_back(write_zip(entries).expect("fits in memory")).into_iter().map(|it| it.0).collect();
        assert_eq!(names, ["d/lineage.json", "d/lineage_2.json", "d/lineage_3.json"]);
    }

    const LIMITS: ArchiveLimits = ArchiveLimits { entries: 2, bytes: 3 << 20, ratio: 100 };

    fn unpack(archive: Vec<u8>, limits: ArchiveLimits) -> Result<Vec<(String, usize)>, ArchiveError> {
        let mut images = Images::open(Cursor::new(archive), limits)?;
        let mut found = Vec::new();
        while let Some((path, content)) = images.read_next()? {
            found.push((path, content.len()));
        }
        Ok(found)
    }

    #[test]
    fn images_are_unpacked_within_limits() {
        let file = |name: &str, length: usize| (name.to_owned(), vec![0; length]);
        let archive = |entries: Vec<_>| write_zip(entries).expect("fits in memory");
        let good = archive(vec![file("b/a.tif", 5), file("__MACOSX/a.tif", 5), file("plain", 5), file("c.png", 7)]);
        assert_eq!(unpack(good, LIMITS).expect("it is small"), [("b/a.tif".to_owned(), 5), ("c.png".to_owned(), 7)]);
        let many = archive(vec![file("1.tif", 1), file("2.tif", 1), file("3.tif", 1)]);
        assert!(matches!(unpack(many, LIMITS), Err(ArchiveError::TooMany { entries: 3, limit: 2 })));
        let bomb = archive(vec![file("bomb.tif", 2 << 20)]);
        assert!(matches!(unpack(bomb.clone(), LIMITS), Err(ArchiveError::TooLarge { .. })), "2 MiB of zeros");
        assert!(unpack(bomb, ArchiveLimits { ratio: 10_000, ..LIMITS }).is_ok());
        let large = archive(vec![file("1.tif", 2 << 20), file("2.tif", 2 << 20)]);
        let error = unpack(large, ArchiveLimits { ratio: 10_000, ..LIMITS }).expect_err("4 MiB in all");
        assert!(
            error.to_string().starts_with("`2.tif` in the archive unpacks to more than the 1048576 bytes"),
            "{error}"
        );
    }

    #[test]
    fn results_are_put_together_in_order_with_names_of_their_own() {
        let result = |names: &[&str]| {
            write_zip(names.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec()))).expect("fits in memory")
        };
        let mut collector = Collector::new(Cursor::new(Vec::new()));
        collector.add(&result(&["p/a_batch_0_feature_0.tif", "lineage.json"]), "1.zip").expect("an archive");
        collector.add(b"no archive", "table.csv").expect("any file");
        collector.add(&result(&["lineage.json"]), "2.zip").expect("an archive");
        let collected = read_back(collector.finish().expect("fits in memory").into_inner());
        let names: Vec<_> = collected.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["p/a_batch_0_feature_0.tif", "lineage.json", "table.csv", "lineage_2.json"]);
        assert_eq!(collected[3].1, b"lineage.json");
    }

    #[test]
    fn names_that_lead_out_of_the_archive_are_cleaned() {
        let names: Vec<_> =
            read_back(write_zip([("/../x.tif".to_owned(), vec![0])]).expect("fits in memory")).into_iter().collect();
        assert_eq!(names, [("x.tif".to_owned(), vec![0])]);
    }

    #[test]
    fn no_bytes_are_no_archive() {
        assert!(matches!(image_entries(b""), Err(ArchiveError::NotAnArchive)));
    }
}
