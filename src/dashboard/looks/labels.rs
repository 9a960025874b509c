//! The label images of a result.

use std::collections::{BTreeMap, VecDeque};
use std::io::Cursor;

use anyhow::{Context as _, ensure};
use bioimage::Limits;
use bytes::Bytes;
use cell_analysis::regions::CellTrack;
use cell_analysis::tracking::{Lineage, LineageEntry};
use ndarray::{Array2, ArrayView2, Axis, Ix3};

use super::spots;
use crate::storage::archive::{ArchiveLimits, ZipImages};

/// Files that a result may have.
const ENTRIES: usize = 10_000;

/// Floats hold all whole numbers up to this one.
const LARGEST_LABEL: f32 = 16_777_216.0;

/// The largest lineage, in bytes.
const LINEAGE: usize = 4 << 20;

/// Frames that a file of labels may have.
const FRAMES: usize = 10_000;

/// The label images of an archive, one after the other; of movies frame by frame.
pub(super) struct LabelImages {
    archive: Cursor<Bytes>,
    images: ZipImages,
    limits: Limits,
    /// Frames of the file that was read last.
    waiting: VecDeque<LabelImage>,
    tracks: Vec<CellTrack>,
    spots: BTreeMap<usize, Vec<[f64; 2]>>,
}

/// One of them.
pub(super) struct LabelImage {
    /// The path of its file in the archive.
    pub(super) path: String,
    /// Which kind of cells it has: whole ones, nuclei.
    pub(super) feature: usize,
    /// Which image of the batch it belongs to, or which frame of the movie.
    pub(super) item: usize,
    /// Frames that its file has.
    pub(super) frames: usize,
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
            waiting: VecDeque::new(),
            tracks: Vec::new(),
            spots: BTreeMap::new(),
        })
    }

    /// The next one. Files of the archive that are none by their names are passed over, but what they tell of tracks and spots
    /// is kept.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<LabelImage>> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Ok(Some(frame));
            }
            let Some((path, file)) = self.images.read_next(&mut self.archive)? else {
                return Ok(None);
            };
            if let Some(place) = place_of(&path) {
                self.waiting = read(&file, &path, place, &self.limits)?;
            } else if path == "lineage.json" {
                self.tracks = tracks(&file)?;
            } else if let Some(item) = spots::item_of(&path)
                && let Some(found) = spots::read(&file, &path, &self.limits)?
            {
                self.spots.insert(item, found);
            }
        }
    }

    /// The tracks of a movie by ascending labels, when all of it was read.
    pub(super) fn take_tracks(&mut self) -> Vec<CellTrack> {
        std::mem::take(&mut self.tracks)
    }

    /// The spots of each image, when all of it was read.
    pub(super) fn take_spots(&mut self) -> BTreeMap<usize, Vec<[f64; 2]>> {
        std::mem::take(&mut self.spots)
    }
}

/// Which image of the batch the file of this name has the labels of, if it has any, and of which kind of cells:
/// `…feature_1.tif` or `…batch_2_feature_0.tif`.
fn place_of(path: &str) -> Option<(usize, usize)> {
    let (before, feature) = path.strip_suffix(".tif")?.rsplit_once("feature_")?;
    let feature = feature.parse().ok()?;
    let batch = before
        .strip_suffix('_')
        .and_then(|it| it.rsplit_once("batch_"));
    let item = batch.and_then(|(_, item)| item.parse().ok()).unwrap_or(0);
    Some((item, feature))
}

/// The labels in a file: one image, or one for each frame.
fn read(
    file: &[u8],
    path: &str,
    (item, feature): (usize, usize),
    limits: &Limits,
) -> anyhow::Result<VecDeque<LabelImage>> {
    let mut values = bioimage::decode(file, path, limits)?;
    // An image may have a single row.
    while let Some(axis) = values.shape().iter().position(|&size| size == 1)
        && values.ndim() > 2
    {
        values = values.index_axis_move(Axis(axis), 0);
    }
    let shape = values.shape().to_vec();
    if values.ndim() == 2 {
        values = values.insert_axis(Axis(0));
    }
    let planes = values.into_dimensionality::<Ix3>();
    let planes = planes.with_context(|| {
        format!("`{path}` has the shape {shape:?}, neither two axes nor a third one of frames")
    })?;
    let is_label = |value: &f32| (0.0..=LARGEST_LABEL).contains(value) && value.fract() == 0.0;
    ensure!(
        planes.iter().all(is_label),
        "`{path}` holds something else than labels"
    );
    let frames = planes.dim().0;
    ensure!(frames <= FRAMES, "`{path}` has {frames} frames");
    let image = |(frame, plane): (usize, ArrayView2<'_, f32>)| LabelImage {
        path: path.to_owned(),
        feature,
        item: item + frame,
        frames,
        labels: plane.mapv(|value| value as u32),
    };
    Ok(planes.outer_iter().enumerate().map(image).collect())
}

/// The tracks in the text of a lineage, by ascending labels.
fn tracks(text: &[u8]) -> anyhow::Result<Vec<CellTrack>> {
    ensure!(
        text.len() <= LINEAGE,
        "the lineage has {} bytes; {LINEAGE} are read",
        text.len()
    );
    let text = std::str::from_utf8(text).context("the lineage is no text")?;
    let track = |entry: LineageEntry| {
        Some(CellTrack {
            track: u32::try_from(entry.label).ok()?,
            parent: entry.parent.and_then(|parent| u32::try_from(parent).ok()),
            frames: entry.frames.len(),
        })
    };
    let tracks = Lineage::from_json(text)?.0.into_iter().filter_map(track);
    let mut tracks: Vec<_> = tracks.collect();
    tracks.sort_unstable_by_key(|track| track.track);
    Ok(tracks)
}

#[cfg(test)]
mod tests {
    use bioimage::encode_tiff;
    use ndarray::{ArrayD, array};

    use super::*;
    use crate::storage::archive::write_zip;

    #[test]
    fn label_images_are_known_by_their_names() {
        assert_eq!(place_of("plate/a_feature_1.tif"), Some((0, 1)));
        assert_eq!(place_of("a_batch_12_feature_0.tif"), Some((12, 0)));
        assert_eq!(place_of("feature_0.tif"), Some((0, 0)));
        assert_eq!(place_of("a_feature_x.tif"), None);
        assert_eq!(place_of("a_0.npy"), None);
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

    #[test]
    fn a_movie_has_an_image_for_each_frame_and_tracks() {
        let movie = ArrayD::from_shape_fn(vec![3, 4, 5], |at| at[0] as f32);
        let lineage = r#"{"2": {"label": 2, "frames": [1, 2], "parent": 1}, "1": {"label": 1, "frames": [0]}}"#;
        let entries = [
            ("m_feature_0.tif".to_owned(), encode_tiff(movie.view())),
            ("lineage.json".to_owned(), lineage.as_bytes().to_vec()),
        ];
        let archive = Bytes::from(write_zip(entries).expect("it fits in memory"));
        let mut images = LabelImages::open(archive, Limits::default()).expect("an archive");
        let mut found = Vec::new();
        while let Some(image) = images.next().expect("labels") {
            found.push((image.item, image.frames, image.labels[[3, 4]]));
        }
        assert_eq!(found, [(0, 3, 0), (1, 3, 1), (2, 3, 2)]);
        let tracks = images.take_tracks();
        let tracks: Vec<_> = tracks
            .iter()
            .map(|it| (it.track, it.parent, it.frames))
            .collect();
        assert_eq!(tracks, [(1, None, 1), (2, Some(1), 2)]);
        assert!(super::tracks(b"[]").is_err() && super::tracks(b"\xff").is_err());
    }
}
