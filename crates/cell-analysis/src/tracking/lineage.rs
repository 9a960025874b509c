//! Finished tracks as data and as text: the lineage that results carry, and the table of the Cell Tracking Challenge.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array3, ArrayView3, Axis};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::ser::{Formatter, PrettyFormatter};

use super::error::TrackingError;
use super::tracks::{Track, Tracks};

/// One track by its label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageEntry {
    /// Its value in the label images.
    pub label: i32,
    /// The frames in which it occurs, from 0, ascending.
    #[serde(default)]
    pub frames: Vec<usize>,
    /// Labels of its daughters.
    #[serde(default)]
    pub daughters: Vec<i32>,
    /// Whether it has divided.
    #[serde(default)]
    pub capped: bool,
    /// The frame of its division.
    #[serde(default)]
    pub frame_div: Option<usize>,
    /// Label of its parent.
    #[serde(default)]
    pub parent: Option<i32>,
}

/// All tracks of a movie, in the order in which they were begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage(pub Vec<LineageEntry>);

impl From<&Tracks> for Lineage {
    /// The tracks, numbered from 1.
    fn from(tracks: &Tracks) -> Self {
        Self(
            (1..)
                .zip(tracks.as_slice())
                .map(|(label, track)| entry(label, track))
                .collect(),
        )
    }
}

fn entry(label: i32, track: &Track) -> LineageEntry {
    LineageEntry {
        label,
        frames: track.observations.iter().map(|at| at.frame).collect(),
        daughters: track.daughters.iter().copied().map(label_of).collect(),
        capped: track.capped,
        frame_div: track.frame_div,
        parent: track.parent.map(label_of),
    }
}

impl LineageEntry {
    /// Whether this track begins in the frame after the other one's last.
    fn follows(&self, parent: &Self) -> bool {
        self.frames.first().copied() == parent.frames.last().map(|last| last + 1)
    }

    /// A row of [`Lineage::isbi_rows`], unless the track was never seen; `last_of` has the last frame of every label.
    fn isbi_row(&self, last_of: &BTreeMap<i32, usize>) -> Option<[i64; 4]> {
        let (first, last) = (*self.frames.first()?, *self.frames.last()?);
        let parent = self
            .parent
            .filter(|parent| last_of.get(parent).is_some_and(|last| last + 1 == first));
        Some([
            i64::from(self.label),
            first as i64,
            last as i64,
            i64::from(parent.unwrap_or(0)),
        ])
    }
}

/// Labels count from 1.
fn label_of(track: usize) -> i32 {
    track as i32 + 1
}

impl Lineage {
    /// The text of `lineage.json`, byte for byte as Python's `json.dumps` writes it: an object by label, on one line, a
    /// blank after every colon and comma.
    ///
    /// ```
    /// # use cell_analysis::tracking::{Lineage, Tracks};
    /// let text = Lineage::from(&Tracks::begin(1)).to_json();
    /// assert!(text.starts_with(r#"{"1": {"label": 1, "frames": [0], "daughters": [], "capped": false, "#));
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        self.written(OneLine)
    }

    /// The text in track files, as `json.dumps` with an indent of four blanks writes it.
    #[must_use]
    pub fn to_indented_json(&self) -> String {
        self.written(PrettyFormatter::with_indent(b"    "))
    }

    fn written(&self, formatter: impl Formatter) -> String {
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        self.serialize(&mut serializer)
            .expect("a vector takes every byte, and keys are texts");
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    /// The lineage in either text, tracks in the order of the text; unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// [`TrackingError::UnreadableLineage`] if the text is not an object of tracks.
    pub fn from_json(text: &str) -> Result<Self, TrackingError> {
        serde_json::from_str(text)
            .map_err(|error| TrackingError::UnreadableLineage(error.to_string()))
    }

    /// The table of tracks that deepcell-tracking writes for the Cell Tracking Challenge: a row of label, first frame, last
    /// frame and parent for each track that was seen. The parent is 0 if there is none, or if it was not seen in the frame
    /// before the track's first.
    ///
    /// The Challenge's own checkers refuse tracks with gaps: [`Self::for_challenge`] has none.
    #[must_use]
    pub fn isbi_rows(&self) -> Vec<[i64; 4]> {
        let last_of: BTreeMap<i32, usize> = self
            .0
            .iter()
            .filter_map(|track| Some((track.label, *track.frames.last()?)))
            .collect();
        self.0
            .iter()
            .filter_map(|track| track.isbi_row(&last_of))
            .collect()
    }

    /// Whether the lineage agrees with the label images `[frame, row, column]`: every track has the frames in which its
    /// label occurs, no label lacks a track, and every daughter begins in the frame after her parent's last.
    #[must_use]
    pub fn is_valid(&self, labels: ArrayView3<'_, i32>) -> bool {
        let occurrences = occurrences(labels);
        let entries: BTreeMap<i32, &LineageEntry> =
            self.0.iter().map(|entry| (entry.label, entry)).collect();
        let fits = |entry: &LineageEntry| {
            let daughters = entry
                .daughters
                .iter()
                .all(|label| entries.get(label).is_some_and(|it| it.follows(entry)));
            let parent = entry
                .parent
                .is_none_or(|label| entries.get(&label).is_some_and(|it| entry.follows(it)));
            occurrences.get(&entry.label) == Some(&entry.frames) && daughters && parent
        };
        self.0.iter().all(fits) && occurrences.keys().all(|label| entries.contains_key(label))
    }

    /// The label images with labels 1, 2, 3 … in ascending order of the old ones, and the lineage by the new labels.
    ///
    /// Entries keep label, parent and daughters, as far as they occur in the images; frames are those of the images.
    ///
    /// # Errors
    ///
    /// [`TrackingError::MissingLabel`] if a label of the images has no entry.
    pub fn relabeled(&self, mut labels: Array3<i32>) -> Result<(Array3<i32>, Self), TrackingError> {
        let occurrences = occurrences(labels.view());
        let new: BTreeMap<i32, i32> = occurrences.keys().copied().zip(1..).collect();
        let entries: BTreeMap<i32, &LineageEntry> =
            self.0.iter().map(|entry| (entry.label, entry)).collect();
        let relabel = |(label, frames): (i32, Vec<usize>)| {
            let old = entries
                .get(&label)
                .ok_or(TrackingError::MissingLabel(label))?;
            Ok(LineageEntry {
                label: new[&label],
                frames,
                daughters: old
                    .daughters
                    .iter()
                    .filter_map(|label| new.get(label).copied())
                    .collect(),
                parent: old.parent.and_then(|label| new.get(&label).copied()),
                ..LineageEntry::default()
            })
        };
        let lineage = occurrences
            .into_iter()
            .map(relabel)
            .collect::<Result<_, TrackingError>>()?;
        labels.mapv_inplace(|label| new.get(&label).copied().unwrap_or(0));
        Ok((labels, Self(lineage)))
    }
}

/// The frames of each label but 0.
fn occurrences(labels: ArrayView3<'_, i32>) -> BTreeMap<i32, Vec<usize>> {
    let mut frames_of: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (frame, plane) in labels.axis_iter(Axis(0)).enumerate() {
        let mut present = BTreeSet::new();
        // Neighbors mostly have the same label: the set is asked at the start of each run only.
        let mut previous = 0;
        for &label in plane {
            if label != previous && label != 0 {
                present.insert(label);
            }
            previous = label;
        }
        present
            .into_iter()
            .for_each(|label| frames_of.entry(label).or_default().push(frame));
    }
    frames_of
}

impl Serialize for Lineage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for entry in &self.0 {
            map.serialize_entry(&entry.label.to_string(), entry)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Lineage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Reads entries in the order of the text.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Lineage;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of tracks by label")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Lineage, M::Error> {
        let mut entries = Vec::new();
        while let Some((_, entry)) = map.next_entry::<String, LineageEntry>()? {
            entries.push(entry);
        }
        Ok(Lineage(entries))
    }
}

/// One line with a blank behind every colon and comma.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn family() -> Lineage {
        let mother = LineageEntry {
            label: 4,
            frames: vec![0, 1],
            daughters: vec![12, 7],
            capped: true,
            frame_div: Some(2),
            parent: None,
        };
        let daughter = |label| LineageEntry {
            label,
            frames: vec![2],
            parent: Some(4),
            ..LineageEntry::default()
        };
        Lineage(vec![mother, daughter(12), daughter(7)])
    }

    fn movie() -> Array3<i32> {
        array![[[4, 4]], [[0, 4]], [[12, 7]]]
    }

    #[test]
    fn the_text_is_pythons_and_is_read_again() {
        let text = family().to_json();
        let mother = concat!(
            r#"{"4": {"label": 4, "frames": [0, 1], "daughters": [12, 7], "capped": true, "#,
            r#""frame_div": 2, "parent": null}, "12": {"#
        );
        assert!(text.starts_with(mother), "{text}");
        assert_eq!(Lineage::default().to_json(), "{}");
        assert_eq!(Lineage::from_json(&text).expect("our own"), family());
        assert_eq!(
            Lineage::from_json(&family().to_indented_json()).expect("our own"),
            family()
        );
        assert!(Lineage::from_json("[1]").is_err());
    }

    #[test]
    fn a_parent_that_vanished_earlier_is_none_for_the_challenge() {
        let mut lineage = family();
        assert_eq!(
            lineage.isbi_rows(),
            [[4, 0, 1, 0], [12, 2, 2, 4], [7, 2, 2, 4]]
        );
        lineage.0[0].frames.pop();
        assert_eq!(lineage.isbi_rows()[1], [12, 2, 2, 0]);
    }

    #[test]
    fn a_lineage_that_differs_from_its_images_is_invalid() {
        assert!(family().is_valid(movie().view()));
        assert!(!family().is_valid(array![[[4, 4]], [[0, 4]], [[12, 0]]].view()));
        assert!(!family().is_valid(array![[[4, 9]], [[0, 4]], [[12, 7]]].view()));
        let mut orphan = family();
        orphan.0[1].parent = Some(99);
        assert!(!orphan.is_valid(movie().view()));
    }

    #[test]
    fn labels_are_numbered_anew_in_ascending_order() {
        let (labels, lineage) = family().relabeled(movie()).expect("all have entries");
        assert_eq!(labels, array![[[1, 1]], [[0, 1]], [[3, 2]]]);
        assert_eq!(lineage.0[0].daughters, [3, 2]);
        assert_eq!(lineage.0[1].parent, Some(1));
        assert!(Lineage::default().relabeled(movie()).is_err());
    }
}
