//! The results of many jobs as one archive, which is given away while it grows.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Cursor, Seek, SeekFrom, Write};

use zip::{ZipArchive, ZipWriter};

use super::error::ArchiveError;
use super::names::{Numbers, clean_path, decoded, is_folder};
use super::write::write_zip;
use super::zip_images::is_image_path;

/// Results put together from those of others: entries are taken over as they are packed.
pub struct ZipMerger {
    writer: ZipWriter<Outbox>,
    names: HashSet<String>,
    numbers: Numbers,
}

impl ZipMerger {
    /// An archive without entries.
    pub fn new() -> Self {
        Self {
            writer: ZipWriter::new(Outbox::default()),
            names: HashSet::new(),
            numbers: Numbers::default(),
        }
    }

    /// Adds the files of a result, in its order: those of an archive, else the result itself under `name`. Gives the bytes by
    /// which the archive has grown.
    ///
    /// # Errors
    ///
    /// A damaged archive, and [`ArchiveError::Zip`]. Nothing can be added after an error.
    pub fn add(&mut self, result: &[u8], name: &str) -> Result<Vec<u8>, ArchiveError> {
        match ZipArchive::new(Cursor::new(result)) {
            Ok(archive) => self.copy(archive, is_image_path)?,
            Err(_) => {
                let packed = write_zip([(name.to_owned(), result.to_vec())])?;
                self.copy(ZipArchive::new(Cursor::new(&packed))?, |_| true)?;
            }
        }
        Ok(self.grown())
    }

    /// Adds a file as it is, even if it is an archive. Gives the bytes by which the archive has grown.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Zip`].
    pub(crate) fn add_file(
        &mut self,
        name: String,
        content: Vec<u8>,
    ) -> Result<Vec<u8>, ArchiveError> {
        let packed = write_zip([(name, content)])?;
        self.copy(ZipArchive::new(Cursor::new(&packed))?, |_| true)?;
        Ok(self.grown())
    }

    /// The last bytes of the archive.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Zip`].
    pub fn finish(self) -> Result<Vec<u8>, ArchiveError> {
        Ok(self.writer.finish()?.bytes.into_inner())
    }

    fn grown(&self) -> Vec<u8> {
        let outbox = self.writer.get_ref();
        outbox.map(|outbox| outbox.bytes.take()).unwrap_or_default()
    }

    fn copy(
        &mut self,
        mut archive: ZipArchive<Cursor<impl AsRef<[u8]>>>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), ArchiveError> {
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index)?;
            let path = clean_path(&decoded(entry.name_raw()));
            if !is_folder(entry.name_raw()) && !entry.is_symlink() && wanted(&path) {
                let numbers = &mut self.numbers;
                let name = numbers.unused_name(&path, |name| self.names.contains(name));
                self.writer.raw_copy_file_rename(entry, name.as_str())?;
                self.names.insert(name);
            }
        }
        Ok(())
    }
}

impl Default for ZipMerger {
    fn default() -> Self {
        Self::new()
    }
}

/// What the writer has written and nobody has taken yet. It can only be added to.
///
/// A writer of entries whose size and checksum are known beforehand never goes back.
#[derive(Default)]
struct Outbox {
    /// In a cell because the writer lends its file for looking at only.
    bytes: Cell<Vec<u8>>,
    position: u64,
}

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.get_mut().extend_from_slice(bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Outbox {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Current(0) | SeekFrom::End(0) => Ok(self.position),
            SeekFrom::Start(position) if position == self.position => Ok(position),
            _ => Err(io::Error::other(
                "written bytes of the archive may have been sent",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::tests::read_back;
    use super::*;

    #[test]
    fn results_are_put_together_in_order_with_names_of_their_own() {
        let result = |names: &[&str]| {
            write_zip(
                names
                    .iter()
                    .map(|name| ((*name).to_owned(), name.as_bytes().to_vec())),
            )
            .expect("fits in memory")
        };
        let mut merger = ZipMerger::new();
        let pieces = [
            merger
                .add(
                    &result(&["p/a_batch_0_feature_0.tif", "lineage.json"]),
                    "1.zip",
                )
                .expect("an archive"),
            merger.add(b"no archive", "table.csv").expect("any file"),
            merger.add(b"no suffix", "table").expect("any file"),
            merger
                .add(&result(&["lineage.json"]), "2.zip")
                .expect("an archive"),
            merger.finish().expect("fits in memory"),
        ];
        assert!(
            pieces.iter().all(|piece| !piece.is_empty()),
            "each is given away at once"
        );
        let merged = read_back(pieces.concat());
        let names: Vec<_> = merged.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "p/a_batch_0_feature_0.tif",
                "lineage.json",
                "table.csv",
                "table",
                "lineage_2.json"
            ]
        );
        assert_eq!(merged[4].1, b"lineage.json");
    }

    #[test]
    fn nothing_is_an_archive_too() {
        assert!(read_back(ZipMerger::new().finish().expect("fits in memory")).is_empty());
    }
}
