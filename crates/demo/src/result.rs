//! The archive that a segmentation job leaves behind. Pure.

use std::collections::HashSet;
use std::io::{Cursor, Read as _};

use anyhow::Context as _;
use ndarray::Array2;
use zip::ZipArchive;

use crate::sample;

/// One label image of an archive.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// `[row, column]`, 0 for the background.
    pub(crate) labels: Array2<u32>,
}

impl Entry {
    /// The number of cells.
    pub(crate) fn cells(&self) -> usize {
        self.labels
            .iter()
            .filter(|label| **label != 0)
            .collect::<HashSet<_>>()
            .len()
    }
}

/// The label images of an archive in its order.
pub(crate) fn read(archive: &[u8]) -> anyhow::Result<Vec<Entry>> {
    let mut archive =
        ZipArchive::new(Cursor::new(archive)).context("the result is not a zip archive")?;
    let mut entries = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        let mut file = Vec::new();
        entry.read_to_end(&mut file)?;
        let labels = sample::labels(&file)
            .with_context(|| format!("`{name}` in the result is not a label image"))?;
        entries.push(Entry { name, labels });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use bioimage::encode_tiff;
    use redis_consumer::storage::archive::write_zip;

    #[test]
    fn cells_are_counted_by_their_labels() {
        let labels = array![[0.0_f32, 3.0, 3.0], [7.0, 0.0, 3.0]];
        let file = encode_tiff(labels.view().into_dyn());
        let archive =
            write_zip([("folder/a_batch_0_feature_0.tif".to_owned(), file)]).expect("an archive");
        let entries = read(&archive).expect("it can be read");
        assert_eq!(
            (entries[0].name.as_str(), entries[0].cells()),
            ("folder/a_batch_0_feature_0.tif", 2)
        );
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(read(b"no archive").is_err());
    }
}
