//! Writing zip archives.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Cursor, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::error::ArchiveError;
use super::names::{Numbers, clean_path};

/// Entries from this size on need the 64-bit fields; deflate may grow what it cannot compress, hence the margin.
const ZIP64_FROM: u64 = (1 << 32) - (1 << 24);

/// How hard is packed, of 9. Labels of cells take a third of the time that 6, the usual one, takes, and 1.4 times the room:
/// 25 kB instead of 18 for 600 x 530 pixels.
const LEVEL: i64 = 3;

/// How an entry of so many bytes is written.
fn options(bytes: u64) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .large_file(bytes >= ZIP64_FROM)
}

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
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let (mut names, mut numbers) = (HashSet::new(), Numbers::default());
    for (name, content) in entries {
        let name = numbers.unused_name(&clean_path(&name), |name| names.contains(name));
        writer.start_file(name.as_str(), options(content.len() as u64))?;
        writer
            .write_all(&content)
            .map_err(zip::result::ZipError::from)?;
        names.insert(name);
    }
    Ok(writer.finish()?.into_inner())
}

/// Packs files of a disk into an archive, each under its name in turn; none of them is ever in memory as a whole.
pub(crate) fn pack_files(files: &[(String, PathBuf)], to: &Path) -> anyhow::Result<()> {
    let mut archive = ZipWriter::new(BufWriter::new(File::create(to)?));
    for (name, file) in files {
        let mut file = BufReader::new(File::open(file)?);
        let size = file.get_ref().metadata()?.len();
        archive.start_file(name.as_str(), options(size))?;
        io::copy(&mut file, &mut archive)?;
    }
    archive.finish()?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read as _;

    use zip::ZipArchive;

    use super::*;

    /// Names and contents of the entries of an archive.
    pub(in super::super) fn read_back(archive: Vec<u8>) -> Vec<(String, Vec<u8>)> {
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
}
