//! Tracks in the form of the Cell Tracking Challenge, where a track is in every mask from its first frame to its last.
//!
//! A track that was not seen in some frames becomes several: each piece after the first has a label of its own and the piece
//! before it as parent. The lineage itself keeps the gap.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ndarray::{Array3, ArrayView3, Axis};

use super::error::TrackingError;
use super::lineage::{Lineage, LineageEntry};

/// The tracks of a movie for the Challenge: a table, and masks that agree with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeTracks {
    rows: Vec<[i64; 4]>,
    /// Of every track with gaps, the first frame and the label of each piece in ascending order of frames.
    pieces: BTreeMap<i32, Vec<(usize, i32)>>,
}

/// Frames in a row in which a track was seen.
struct Piece {
    label: i32,
    first: usize,
    last: usize,
}

impl Lineage {
    /// The tracks as the Cell Tracking Challenge wants them. Pieces behind gaps are labeled from the largest label on.
    #[must_use]
    pub fn for_challenge(&self) -> ChallengeTracks {
        let mut newest = self.0.iter().map(|track| track.label).max().unwrap_or(0);
        let pieces: Vec<Vec<Piece>> = self
            .0
            .iter()
            .map(|track| pieces(track, &mut newest))
            .collect();
        let ends: BTreeMap<i32, &Piece> = self
            .0
            .iter()
            .zip(&pieces)
            .filter_map(|(track, pieces)| Some((track.label, pieces.last()?)))
            .collect();
        let tracks = || self.0.iter().zip(&pieces);
        let rows = tracks().flat_map(|(track, pieces)| rows(track, pieces, &ends));
        let mut rows: Vec<[i64; 4]> = rows.collect();
        rows.sort_unstable();
        let broken = tracks().filter(|(_, pieces)| pieces.len() > 1);
        let broken = broken.map(|(track, pieces)| {
            let begins = pieces.iter().map(|piece| (piece.first, piece.label));
            (track.label, begins.collect())
        });
        ChallengeTracks {
            rows,
            pieces: broken.collect(),
        }
    }
}

/// A row for each piece of a track; `ends` has the last piece of every track.
fn rows(track: &LineageEntry, pieces: &[Piece], ends: &BTreeMap<i32, &Piece>) -> Vec<[i64; 4]> {
    let Some(first) = pieces.first() else {
        return Vec::new();
    };
    // As in `isbi_rows`: a parent is one that was seen until just before.
    let parent = track.parent.and_then(|parent| ends.get(&parent));
    let parent = parent.filter(|parent| parent.last + 1 == first.first);
    let parent = parent.map_or(0, |parent| parent.label);
    let parents = std::iter::once(parent).chain(pieces.iter().map(|piece| piece.label));
    let rows = pieces.iter().zip(parents).map(|(piece, parent)| {
        let (first, last) = (piece.first as i64, piece.last as i64);
        [i64::from(piece.label), first, last, i64::from(parent)]
    });
    rows.collect()
}

/// The pieces of a track in ascending order of frames: the first has its label, each other one the next that is free.
fn pieces(track: &LineageEntry, newest: &mut i32) -> Vec<Piece> {
    let mut frames = track.frames.clone();
    frames.sort_unstable();
    frames.dedup();
    let runs = frames.chunk_by(|a, b| a + 1 == *b).enumerate();
    runs.map(|(number, run)| {
        if number > 0 {
            *newest = newest.saturating_add(1);
        }
        Piece {
            label: if number == 0 { track.label } else { *newest },
            first: run[0],
            last: run[run.len() - 1],
        }
    })
    .collect()
}

impl ChallengeTracks {
    /// A row of label, first frame, last frame and parent for each track that was seen, in ascending order of labels. The
    /// parent is 0 if there is none, or if it was not seen in the frame before the track's first.
    #[must_use]
    pub fn rows(&self) -> &[[i64; 4]] {
        &self.rows
    }

    /// The text of `res_track.txt`: a line for each of [`Self::rows`], columns separated by blanks, without a header.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for [label, first, last, parent] in &self.rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{label} {first} {last} {parent}");
        }
        text
    }

    /// The masks `[frame, row, column]` of 16 bits for the label images `[frame, row, column]` of the movie.
    ///
    /// # Errors
    ///
    /// [`TrackingError::LabelTooLarge`] for a label that 16 bits do not hold, negative ones included.
    pub fn masks(&self, labels: ArrayView3<'_, i32>) -> Result<Array3<u16>, TrackingError> {
        let mut masks = Array3::zeros(labels.dim());
        let frames = labels.axis_iter(Axis(0)).zip(masks.axis_iter_mut(Axis(0)));
        for (frame, (labels, mut mask)) in frames.enumerate() {
            let renamed = self.renamed_in(frame);
            for (mask, &label) in mask.iter_mut().zip(labels) {
                let label = renamed.get(&label).copied().unwrap_or(label);
                *mask = u16::try_from(label).map_err(|_| TrackingError::LabelTooLarge(label))?;
            }
        }
        Ok(masks)
    }

    /// The labels of a frame that are others in its mask.
    fn renamed_in(&self, frame: usize) -> BTreeMap<i32, i32> {
        let of_frame = |(label, pieces): (&i32, &Vec<(usize, i32)>)| {
            let begun = pieces.iter().take_while(|(first, _)| *first <= frame);
            let (_, renamed) = begun.last()?;
            Some((*label, *renamed))
        };
        self.pieces.iter().filter_map(of_frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    fn track(label: i32, frames: &[usize], parent: Option<i32>) -> LineageEntry {
        LineageEntry {
            label,
            frames: frames.to_vec(),
            parent,
            ..LineageEntry::default()
        }
    }

    #[test]
    fn a_gap_begins_a_new_label_with_the_old_one_as_parent() {
        let lineage = Lineage(vec![
            track(1, &[0, 1, 4, 6], None),
            track(2, &[7], Some(1)),
            track(3, &[2, 3], Some(1)),
        ]);
        let tracks = lineage.for_challenge();
        assert_eq!(
            tracks.text(),
            "1 0 1 0\n2 7 7 5\n3 2 3 0\n4 4 4 1\n5 6 6 4\n"
        );
        let labels = array![[[1]], [[1]], [[3]], [[3]], [[1]], [[0]], [[1]], [[2]]];
        let masks = tracks.masks(labels.view()).expect("labels are small");
        assert_eq!(masks.into_raw_vec_and_offset().0, [1, 1, 3, 3, 4, 0, 5, 2]);
    }

    #[test]
    fn masks_hold_sixteen_bits() {
        let tracks = Lineage::default().for_challenge();
        let masks = |label: i32| tracks.masks(array![[[0, label]]].view());
        assert_eq!(masks(65_535).expect("fits"), array![[[0, 65_535]]]);
        assert!(masks(65_536).is_err() && masks(-1).is_err());
        let full = Lineage(vec![track(65_535, &[0, 2], None)]).for_challenge();
        let labels = array![[[65_535]], [[0]], [[65_535]]];
        assert!(
            full.masks(labels.view()).is_err(),
            "no label is left for the piece"
        );
    }

    const FRAMES: usize = 9;

    /// Tracks that were seen or not in each frame, each with the one before it as parent or with none.
    fn lineages() -> impl Strategy<Value = Lineage> {
        let track = (
            proptest::collection::vec(any::<bool>(), FRAMES),
            any::<bool>(),
        );
        proptest::collection::vec(track, 0..6).prop_map(|tracks| {
            let tracks = (1..).zip(tracks).map(|(label, (seen, has_parent))| {
                let frames = (0..FRAMES).filter(|frame| seen[*frame]).collect();
                LineageEntry {
                    label: label * 3,
                    frames,
                    parent: (has_parent && label > 1).then_some((label - 1) * 3),
                    ..LineageEntry::default()
                }
            });
            Lineage(tracks.collect())
        })
    }

    /// Label images with one pixel for each track.
    fn movie(lineage: &Lineage) -> Array3<i32> {
        Array3::from_shape_fn((FRAMES, 1, lineage.0.len()), |(frame, _, column)| {
            let track = &lineage.0[column];
            if track.frames.contains(&frame) {
                track.label
            } else {
                0
            }
        })
    }

    proptest! {
        /// What the Challenge's checkers demand.
        #[test]
        fn table_and_masks_agree_whatever_the_gaps(lineage in lineages()) {
            let (tracks, labels) = (lineage.for_challenge(), movie(&lineage));
            let masks = tracks.masks(labels.view()).expect("labels are small");
            let mut seen: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
            for (frame, mask) in masks.outer_iter().enumerate() {
                let present: BTreeSet<u16> = mask.iter().copied().filter(|label| *label > 0).collect();
                for label in present {
                    seen.entry(label.into()).or_default().push(frame as i64);
                }
            }
            let ends: BTreeMap<i64, i64> = tracks.rows().iter().map(|row| (row[0], row[2])).collect();
            prop_assert_eq!(ends.len(), tracks.rows().len(), "labels are unique");
            prop_assert!(ends.keys().eq(seen.keys()), "a row for each label, and no other");
            for [label, first, last, parent] in tracks.rows() {
                let frames: Vec<i64> = (*first..=*last).collect();
                prop_assert_eq!(&seen[label], &frames, "it is in every mask from begin to end");
                prop_assert!(*parent == 0 || ends[parent] < *first, "its parent has ended");
            }
            // The same cells, and the table of deepcell-tracking where there are no gaps.
            prop_assert!(masks.iter().zip(&labels).all(|(mask, label)| (*mask == 0) == (*label == 0)));
            if lineage.0.iter().all(|track| track.frames.is_sorted_by(|a, b| a + 1 == *b)) {
                prop_assert_eq!(tracks.rows(), lineage.isbi_rows());
                prop_assert_eq!(masks.mapv(i32::from), labels);
            }
        }
    }
}
