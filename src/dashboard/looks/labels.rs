//! The label images of a result.

use std::io::Cursor;

use anyhow::{Context as _, ensure};
use bioimage::Limits;
use bytes::Bytes;
use ndarray::{Array2, Axis, Ix2};

use crate::storage::archive::{ArchiveLimits, ZipImages};

/// Files that a result may have.
const ENTRIES: usize = 10_000;

/// Floats hold all whole numbers up to this one.
const LARGEST_LABEL: f32 = 16_777_216.0;

/// The label images of an archive, one after the other.
pub(super) struct LabelImages {
    archive: Cursor<Bytes>,
    images: ZipImages,
    limits: Limits,
}

/// One of them.
pub(super) struct LabelImage {
    /// The path of its file in the archive.
    pub(super) path: String,
    /// Which image of the batch it belongs to.
    pub(super) item: usize,
    /// `[row, column]`, 0 for the background.
    pub(super) labels: Array2<u32>,
}

impl LabelImages {
    /// Begins with the first. Reads the list of the archive only.
    pub(super) fn open(archive: Bytes, limits: Limits) -> anyhow::Result<Self> {
        let mut archive = Cursor::new(archive);
        let of_archive = ArchiveLimits {
            entries: ENTRIES,
            bytes: limits.max_decoded_bytes,
            // Bytes are counted, and images of labels may be empty.
            ratio: u64::MAX,
        };
        let images = ZipImages::open(&mut archive, of_archive).context("the result")?;
        Ok(Self {
            archive,
            images,
            limits,
        })
    }

    /// The next one; files of the archive that are none by their names are passed over.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<LabelImage>> {
        while let Some((path, file)) = self.images.read_next(&mut self.archive)? {
            if let Some(item) = item_of(&path) {
                let labels = read(&file, &path, &self.limits)?;
                return Ok(Some(LabelImage { path, item, labels }));
            }
        }
        Ok(None)
    }
}

/// Which image of the batch the file of this name has the labels of, if it has any: `…feature_1.tif` or
/// `…batch_2_feature_0.tif`.
fn item_of(path: &str) -> Option<usize> {
    let (before, feature) = path.strip_suffix(".tif")?.rsplit_once("feature_")?;
    feature.parse::<usize>().ok()?;
    let batch = before
        .strip_suffix('_')
        .and_then(|it| it.rsplit_once("batch_"));
    Some(batch.and_then(|(_, item)| item.parse().ok()).unwrap_or(0))
}

fn read(file: &[u8], path: &str, limits: &Limits) -> anyhow::Result<Array2<u32>> {
    let mut values = bioimage::decode(file, path, limits)?;
    // An image may have a single row.
    while let Some(axis) = values.shape().iter().position(|&size| size == 1)
        && values.ndim() > 2
    {
        values = values.index_axis_move(Axis(axis), 0);
    }
    let shape = values.shape().to_vec();
    let plane = values.into_dimensionality::<Ix2>();
    let plane = plane.with_context(|| format!("`{path}` has the shape {shape:?}, not two axes"))?;
    let is_label = |value: &f32| (0.0..=LARGEST_LABEL).contains(value) && value.fract() == 0.0;
    ensure!(
        plane.iter().all(is_label),
        "`{path}` holds something else than labels"
    );
    Ok(plane.mapv(|value| value as u32))
}

#[cfg(test)]
mod tests {
    use bioimage::encode_tiff;
    use ndarray::array;

    use super::*;
    use crate::storage::archive::write_zip;

    #[test]
    fn label_images_are_known_by_their_names() {
        assert_eq!(item_of("plate/a_feature_1.tif"), Some(0));
        assert_eq!(item_of("a_batch_12_feature_0.tif"), Some(12));
        assert_eq!(item_of("feature_0.tif"), Some(0));
        assert_eq!(item_of("a_feature_x.tif"), None);
        assert_eq!(item_of("a_0.npy"), None);
    }

    #[test]
    fn labels_come_in_their_order_and_nothing_else_passes_for_them() {
        let tiff = |value: f32| encode_tiff(array![[0.0, value]].view().into_dyn());
        let archive = |value: f32| {
            let entries = [
                ("a.csv".to_owned(), b"x".to_vec()),
                ("a_feature_0.tif".to_owned(), tiff(3.0)),
                ("a_feature_1.tif".to_owned(), tiff(value)),
            ];
            Bytes::from(write_zip(entries).expect("it fits in memory"))
        };
        let mut images = LabelImages::open(archive(4.0), Limits::default()).expect("an archive");
        let mut found = Vec::new();
        while let Some(image) = images.next().expect("labels") {
            found.push((image.path, image.labels[[0, 1]]));
        }
        let expected = [("a_feature_0.tif", 3), ("a_feature_1.tif", 4)];
        assert_eq!(
            found,
            expected.map(|(path, label)| (path.to_owned(), label))
        );
        for wrong in [0.5, -1.0, f32::NAN, 3e7] {
            let mut images =
                LabelImages::open(archive(wrong), Limits::default()).expect("an archive");
            images.next().expect("labels");
            assert!(images.next().is_err(), "{wrong}");
        }
    }
}
