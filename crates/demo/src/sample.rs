//! What goes in: the built-in image or one of the user's, and the ground truth to score the result against.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use ndarray::{Array2, Axis, Ix2};

use bioimage::Limits;

/// From the 2018 Data Science Bowl; `tests/fixtures/nuclei/README.md` says where exactly, and under which license.
const SHIPPED_NAME: &str = "dsb2018_777f7c42.png";
const SHIPPED_IMAGE: &[u8] = include_bytes!("../../../tests/fixtures/nuclei/dsb2018_777f7c42.png");
const SHIPPED_TRUTH: &[u8] =
    include_bytes!("../../../tests/fixtures/nuclei/dsb2018_777f7c42_labels.tif");

/// An image file, and a file with the labels it should get if there is one.
pub(crate) struct Sample {
    /// The name of the file, without folders.
    pub(crate) name: String,
    pub(crate) file: Vec<u8>,
    truth: Option<Vec<u8>>,
}

impl Sample {
    /// The image that comes with the program.
    pub(crate) fn shipped() -> Self {
        Self {
            name: SHIPPED_NAME.to_owned(),
            file: SHIPPED_IMAGE.to_vec(),
            truth: Some(SHIPPED_TRUTH.to_vec()),
        }
    }

    /// An image of the user's, with `NAME_labels.tif` beside `NAME.…` as its ground truth if that is there.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = read_file(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let labels = path.with_file_name(format!("{stem}_labels.tif"));
        Ok(Self {
            name: name.into_owned(),
            file,
            truth: labels.exists().then(|| read_file(&labels)).transpose()?,
        })
    }

    /// A key for the bucket with the suffix that says how the file is read.
    pub(crate) fn key(&self) -> String {
        let suffix = self.name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        match suffix.chars().all(|c| c.is_ascii_alphanumeric()) {
            true if !suffix.is_empty() => format!("uploads/image.{suffix}"),
            _ => "uploads/image".to_owned(),
        }
    }

    /// The plane that the model sees first, `[row, column]`: batch item 0 and channel 0.
    pub(crate) fn plane(&self) -> anyhow::Result<Array2<f32>> {
        let image = bioimage::decode(&self.file, &self.name, &Limits::default())?;
        let header = bioimage::header_of(&self.file, &self.name)?;
        let image = bioimage::to_bxyc_by_file(image, &header.container)?;
        Ok(image
            .index_axis_move(Axis(3), 0)
            .index_axis_move(Axis(0), 0))
    }

    /// The labels that the plane should get, `[row, column]`, if they are known.
    pub(crate) fn truth(&self) -> anyhow::Result<Option<Array2<u32>>> {
        self.truth
            .as_deref()
            .map(|file| labels(file).context("the ground truth beside the image cannot be used"))
            .transpose()
    }
}

/// A label image `[row, column]` from a TIFF file.
pub(crate) fn labels(file: &[u8]) -> anyhow::Result<Array2<u32>> {
    let values = bioimage::decode(file, "labels.tif", &Limits::default())?;
    let values = values
        .into_dimensionality::<Ix2>()
        .context("a label image has two axes, rows and columns")?;
    ensure!(
        values.iter().all(is_label),
        "a label image holds whole numbers from 0 to 16777215 only"
    );
    Ok(values.mapv(|value| value as u32))
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn is_label(value: &f32) -> bool {
    *value >= 0.0 && value.fract() == 0.0 && *value < 16_777_216.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_image_has_a_truth_of_its_shape() {
        let sample = Sample::shipped();
        let plane = sample.plane().expect("an image");
        let truth = sample
            .truth()
            .expect("a label image")
            .expect("it is shipped");
        assert_eq!(plane.dim(), truth.dim());
        assert_eq!(truth.iter().max(), Some(&43));
    }

    #[test]
    fn keys_keep_the_suffix_and_nothing_else() {
        let key = |name: &str| {
            Sample {
                name: name.to_owned(),
                file: Vec::new(),
                truth: None,
            }
            .key()
        };
        assert_eq!(key("my cells #1.TIF"), "uploads/image.TIF");
        assert_eq!(key("no suffix"), "uploads/image");
        assert_eq!(key("odd.t f"), "uploads/image");
    }

    #[test]
    fn the_truth_of_an_image_lies_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mine.png");
        fs::write(&path, SHIPPED_IMAGE).expect("a file");
        assert!(
            Sample::read(&path)
                .expect("it is there")
                .truth()
                .expect("none is no error")
                .is_none()
        );
        fs::write(folder.path().join("mine_labels.tif"), SHIPPED_TRUTH).expect("a file");
        assert!(
            Sample::read(&path)
                .expect("it is there")
                .truth()
                .expect("it can be read")
                .is_some()
        );
    }
}
