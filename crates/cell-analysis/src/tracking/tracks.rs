//! Tracks as they grow, divide and end, frame by frame.
//!
//! Border: who belongs to whom; what the models are given of that is `movie`'s business, texts are `lineage`'s.

use ndarray::{Array2, ArrayView3};

use super::cost::{BirthDeathCost, cost_matrix};

/// A cell in a frame, both counted from 0; cells in ascending order of their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Frame of the movie.
    pub frame: usize,
    /// Cell of that frame.
    pub cell: usize,
}

/// One cell through time. Tracks are named by their place in [`Tracks`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// Where the cell was seen, in ascending order of frames; there may be gaps.
    pub observations: Vec<Observation>,
    /// What it divided into, in the order of discovery.
    pub daughters: Vec<usize>,
    /// Whether it has divided: no more cells are linked to it.
    pub capped: bool,
    /// The frame of its division.
    pub frame_div: Option<usize>,
    /// What it came from.
    pub parent: Option<usize>,
}

/// All tracks of a movie so far, in the order in which they were begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracks {
    tracks: Vec<Track>,
}

impl Tracks {
    /// One track for each of the `cells` cells of frame 0.
    #[must_use]
    pub fn begin(cells: usize) -> Self {
        let mut tracks = Self::default();
        for cell in 0..cells {
            tracks.found(Observation { frame: 0, cell }, None);
        }
        tracks
    }

    /// All tracks, in the order in which they were begun.
    #[must_use]
    pub fn as_slice(&self) -> &[Track] {
        &self.tracks
    }

    /// Number of tracks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Whether there are no tracks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// The cost `[track + cell, cell + track]` of going on with the cells of the next frame, see [`cost_matrix`].
    ///
    /// # Panics
    ///
    /// If `probabilities` `[track, cell, 3]` are not those of these tracks.
    #[must_use]
    pub fn costs(
        &self,
        probabilities: ArrayView3<'_, f32>,
        birth_death: BirthDeathCost,
    ) -> Array2<f32> {
        let capped: Vec<bool> = self.tracks.iter().map(|track| track.capped).collect();
        cost_matrix(probabilities, &capped, birth_death)
    }

    /// Goes on with the cells of `frame` as assigned: `columns` has, for each row of [`Self::costs`], its column.
    ///
    /// A cell without a track begins one. Its parent is the uncapped track for which it is most probably a daughter, the
    /// first of equals, if that probability exceeds `division_threshold`. Then every track with daughters is capped; if it
    /// was itself linked to a cell of this frame, that cell becomes one more daughter.
    ///
    /// # Panics
    ///
    /// If `probabilities` `[track, cell, 3]` are not those of these tracks.
    pub fn advance(
        &mut self,
        frame: usize,
        columns: &[usize],
        probabilities: ArrayView3<'_, f32>,
        division_threshold: f64,
    ) {
        let (before, cells, _) = probabilities.dim();
        assert_eq!(before, self.tracks.len(), "probabilities for each track");
        for (row, &cell) in columns
            .iter()
            .enumerate()
            .filter(|(_, column)| **column < cells)
        {
            let seen = Observation { frame, cell };
            if row < before {
                self.tracks[row].observations.push(seen);
            } else {
                let parent = self.parent_of(cell, probabilities, division_threshold);
                self.found(seen, parent);
            }
        }
        // Divisions come last: a parent may have got a cell of its own before or after its daughter was found.
        for parent in 0..self.tracks.len() {
            self.divide(parent, frame);
        }
    }

    /// The next track, which begins here.
    fn found(&mut self, observation: Observation, parent: Option<usize>) {
        let number = self.tracks.len();
        self.tracks.push(Track {
            observations: vec![observation],
            parent,
            ..Track::default()
        });
        if let Some(parent) = parent {
            self.tracks[parent].daughters.push(number);
        }
    }

    fn parent_of(
        &self,
        cell: usize,
        probabilities: ArrayView3<'_, f32>,
        division_threshold: f64,
    ) -> Option<usize> {
        let mut best = (division_threshold, None);
        for (track, answers) in probabilities.outer_iter().enumerate() {
            let daughter = f64::from(answers[[cell, 2]]);
            if !self.tracks[track].capped && daughter > best.0 {
                best = (daughter, Some(track));
            }
        }
        best.1
    }

    fn divide(&mut self, parent: usize, frame: usize) {
        let track = &mut self.tracks[parent];
        if track.daughters.is_empty() {
            return;
        }
        if !track.capped {
            (track.capped, track.frame_div) = (true, Some(frame));
        }
        if let Some(own) = track.observations.pop_if(|last| last.frame == frame) {
            self.found(own, Some(parent));
        }
    }
}

impl Track {
    /// The last `length` observations, oldest first; the newest is repeated if there are fewer.
    pub(crate) fn history(&self, length: usize) -> impl Iterator<Item = Observation> + '_ {
        let last = &self.observations[self.observations.len().saturating_sub(length)..];
        let newest = last.last().copied();
        last.iter()
            .copied()
            .chain(newest.into_iter().cycle())
            .take(length)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    fn seen(track: &Track) -> Vec<(usize, usize)> {
        track
            .observations
            .iter()
            .map(|at| (at.frame, at.cell))
            .collect()
    }

    #[test]
    fn a_division_caps_the_parent_and_makes_its_own_cell_a_daughter() {
        let mut tracks = Tracks::begin(1);
        let probabilities = array![[[0.6, 0.0, 0.4], [0.05, 0.0, 0.95]]];
        tracks.advance(1, &[0, 2, 1], probabilities.view(), 0.9);

        let [parent, born, own] = tracks.as_slice() else {
            panic!("{tracks:?}")
        };
        assert_eq!(
            (seen(parent), &parent.daughters),
            (vec![(0, 0)], &vec![1, 2])
        );
        assert_eq!((parent.capped, parent.frame_div), (true, Some(1)));
        assert_eq!((seen(born), born.parent), (vec![(1, 1)], Some(0)));
        assert_eq!((seen(own), own.parent), (vec![(1, 0)], Some(0)));
    }

    #[test]
    fn a_parent_must_be_more_probable_than_the_threshold_and_the_first_of_equals_wins() {
        let mut tracks = Tracks::begin(3);
        let daughter = f32::from_bits(0.9_f32.to_bits() + 1);
        let probabilities =
            Array3::from_shape_fn(
                (3, 1, 3),
                |(track, _, _)| if track > 0 { daughter } else { 0.5 },
            );
        tracks.advance(1, &[1, 2, 3, 0], probabilities.view(), f64::from(0.9_f32));
        assert_eq!(tracks.as_slice()[3].parent, Some(1));

        let mut tracks = Tracks::begin(3);
        tracks.advance(1, &[1, 2, 3, 0], probabilities.view(), f64::from(daughter));
        assert_eq!(tracks.as_slice()[3].parent, None);
    }

    #[test]
    fn a_short_history_goes_on_with_its_newest_observation() {
        let observations = (0..3).map(|frame| Observation { frame, cell: 5 }).collect();
        let track = Track {
            observations,
            ..Track::default()
        };
        let frames = |length| track.history(length).map(|at| at.frame).collect::<Vec<_>>();
        assert_eq!(frames(2), [1, 2]);
        assert_eq!(frames(5), [0, 1, 2, 2, 2]);
    }
}
