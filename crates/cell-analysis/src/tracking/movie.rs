//! The cells of a whole movie, and the inputs that the models get for them.

use std::fmt::{self, Display};
use std::ops::Range;
use std::str::FromStr;

use ndarray::{
    Array, Array2, Array3, Array4, Array5, ArrayD, ArrayView3, ArrayViewD, ArrayViewMut, Axis,
    Dimension, Ix4, RemoveAxis, Slice,
};
use rayon::prelude::*;

use super::cells::number_cells;
use super::error::TrackingError;
use super::features::{CropOptions, Features, frame_features};
use super::neighbors::{adjacency, normalize_adjacency};
use super::tracks::Tracks;

/// Bytes that a run of pixels of one label takes while the cells of its frame are found, with the cell that it may be.
const RUN_BYTES: usize = 256;

/// The most cells of one frame: with more, a frame's adjacency alone outgrows what a model server takes in one message.
const MOST_CELLS: usize = 16_384;

/// What becomes of a movie in which some frames have no cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyFrames {
    /// It is an error, as with deepcell-tracking; only a movie of a single frame may be empty.
    #[default]
    Refuse,
    /// They stay empty, and the cells on both sides are tracked.
    Allow,
}

impl FromStr for EmptyFrames {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "allow" => Ok(Self::Allow),
            _ => Err("expected refuse or allow"),
        }
    }
}

impl Display for EmptyFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        })
    }
}

/// How many cells a movie has, and what finding them takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MovieCells {
    /// Cells of all frames.
    pub all: usize,
    /// The largest number of cells in a frame.
    pub most: usize,
    /// Bytes beside the movie while [`Movie::new`] finds the cells of one frame, at most.
    pub frame_bytes: usize,
}

impl MovieCells {
    /// Counts the cells of label images whose first axis is that of frames.
    #[must_use]
    pub fn count(labels: ArrayViewD<'_, i32>) -> Self {
        if labels.ndim() == 0 {
            return Self::default();
        }
        let frames = labels.axis_iter(Axis(0)).into_par_iter();
        let counts = frames.map(|frame| Self::of_frame(&frame));
        counts.reduce(Self::default, |a, b| Self {
            all: a.all + b.all,
            most: a.most.max(b.most),
            frame_bytes: a.frame_bytes.max(b.frame_bytes),
        })
    }

    fn of_frame(frame: &ArrayViewD<'_, i32>) -> Self {
        let mut runs = Vec::new();
        let mut previous = 0;
        for &label in frame {
            if label != previous && label != 0 {
                runs.push(label);
            }
            previous = label;
        }
        let run_count = runs.len();
        runs.sort_unstable();
        runs.dedup();
        Self {
            all: runs.len(),
            most: runs.len(),
            frame_bytes: frame.len() * size_of::<i32>() + run_count * RUN_BYTES,
        }
    }
}

/// What is known of the cells of a movie.
pub struct Movie {
    /// `[frame, row, column]`, cells numbered from 1 in each frame.
    numbered: Array3<i32>,
    frames: Vec<Features>,
    most_cells: usize,
    appearance: CropOptions,
}

/// The encoder's input for some frames. The cells of a frame come first; entries up to the largest number of cells in any
/// frame of the movie are zero.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderInputs {
    /// `[frame, cell, row, column, 1]`.
    pub appearances: Array5<f32>,
    /// `[frame, cell, 3]`: area, perimeter, eccentricity.
    pub morphologies: Array3<f32>,
    /// `[frame, cell, 2]`: row, column.
    pub centroids: Array3<f32>,
    /// `[frame, cell, cell]`, normalized; entries without a cell count as cells at the corner.
    pub adjacency: Array3<f32>,
}

/// The inference model's input for the tracks so far and the cells of a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceInputs {
    /// `[1, observation, track, feature]`: the last observations of each track, oldest first.
    pub current_embeddings: Array4<f32>,
    /// `[1, observation, track, 2]`.
    pub current_centroids: Array4<f32>,
    /// `[1, 1, cell, feature]`.
    pub future_embeddings: Array4<f32>,
    /// `[1, 1, cell, 2]`.
    pub future_centroids: Array4<f32>,
}

impl Movie {
    /// Finds and measures the cells of a movie, from its pixels and its labels, both `[frame, row, column, 1]`; labels need to
    /// be unique within their frames only.
    ///
    /// # Errors
    ///
    /// [`TrackingError::Shape`] or [`TrackingError::Frame`]: arrays of another rank, of different shapes or of several
    /// channels; a movie without frames; a frame without cells (unless it is the only one, or `empty_frames` allows them),
    /// without background, with negative labels, with more than 16,384 cells or with cells whose pixels are not finite.
    ///
    /// # Panics
    ///
    /// If [`CropOptions::check`] would fail.
    pub fn new(
        raw: ArrayD<f32>,
        labels: ArrayD<i32>,
        appearance: CropOptions,
        empty_frames: EmptyFrames,
    ) -> Result<Self, TrackingError> {
        check_shapes(raw.shape(), labels.shape())?;
        let (raw, mut numbered) = (planes(raw)?, planes(labels)?);
        let frames = numbered
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(raw.axis_iter(Axis(0)));
        let frames = frames.map(|(mut labels, raw)| {
            let cells = number_cells(labels.view_mut()).map_err(|error| error.to_string())?;
            if cells.len() > MOST_CELLS {
                return Err(format!(
                    "{} cells are more than the {MOST_CELLS} that can be tracked",
                    cells.len()
                ));
            }
            frame_features(raw, labels.view(), &cells, &appearance)
                .map_err(|error| error.to_string())
        });
        let frames: Vec<Result<Features, String>> = frames.collect();
        // Frames are measured side by side, but the first bad one in order is reported, whichever was found first.
        let may_be_empty = frames.len() == 1 || empty_frames == EmptyFrames::Allow;
        let frames = frames.into_iter().enumerate().map(|(frame, features)| {
            let features = features.and_then(|features| checked(features, may_be_empty));
            features.map_err(|reason| TrackingError::Frame { frame, reason })
        });
        let frames: Vec<Features> = frames.collect::<Result<_, _>>()?;
        let most_cells = frames.iter().map(Features::len).max().unwrap_or(0);
        Ok(Self {
            numbered,
            frames,
            most_cells,
            appearance,
        })
    }

    /// Number of frames, at least 1.
    #[must_use]
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// Number of cells of a frame.
    #[must_use]
    pub fn cell_count(&self, frame: usize) -> usize {
        self.frames[frame].len()
    }

    /// The largest number of cells in a frame.
    #[must_use]
    pub fn most_cells(&self) -> usize {
        self.most_cells
    }

    /// The cells of each frame, numbered from 1 in the order of their labels: `[frame, row, column]`.
    #[must_use]
    pub fn numbered(&self) -> ArrayView3<'_, i32> {
        self.numbered.view()
    }

    /// Bytes of [`Self::encoder_inputs`] for each frame, whichever it is.
    #[must_use]
    pub fn encoder_bytes(&self) -> usize {
        let side = self.appearance.side;
        self.most_cells * (side * side + 3 + 2 + self.most_cells) * size_of::<f32>()
    }

    /// The encoder's input for a range of frames; cells are neighbors if closer than `max_distance` pixels.
    ///
    /// # Panics
    ///
    /// If the movie does not have these frames.
    #[must_use]
    pub fn encoder_inputs(&self, frames: Range<usize>, max_distance: f64) -> EncoderInputs {
        let (count, cells, side) = (frames.len(), self.most_cells, self.appearance.side);
        let mut inputs = EncoderInputs {
            appearances: Array5::zeros((count, cells, side, side, 1)),
            morphologies: Array3::zeros((count, cells, 3)),
            centroids: Array3::zeros((count, cells, 2)),
            adjacency: Array3::zeros((count, cells, cells)),
        };
        let pictures = inputs
            .appearances
            .outer_iter_mut()
            .map(|frame| frame.index_axis_move(Axis(3), 0));
        let shapes = inputs
            .morphologies
            .outer_iter_mut()
            .zip(inputs.centroids.outer_iter_mut());
        for ((features, pictures), (morphologies, centroids)) in
            self.frames[frames].iter().zip(pictures).zip(shapes)
        {
            put_first(pictures, &features.appearances);
            put_first(morphologies, &features.morphologies);
            put_first(centroids, &features.centroids);
        }
        // From the padded centroids, not the cells: entries without a cell take part in the normalization.
        let frames = inputs
            .adjacency
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(inputs.centroids.axis_iter(Axis(0)));
        frames.for_each(|(mut neighbors, centroids)| {
            neighbors.assign(&adjacency(centroids, max_distance));
            normalize_adjacency(neighbors);
        });
        inputs
    }

    /// The inference model's input for linking `tracks` with the cells of `frame`, from the embeddings
    /// `[frame, cell, feature]` of the movie so far and the last `length` observations of each track.
    ///
    /// # Panics
    ///
    /// If the embeddings lack a cell of the tracks or of the frame, or the movie lacks the frame.
    #[must_use]
    pub fn inference_inputs(
        &self,
        tracks: &Tracks,
        embeddings: ArrayView3<'_, f32>,
        frame: usize,
        length: usize,
    ) -> InferenceInputs {
        let features = embeddings.dim().2;
        let mut current_embeddings = Array3::zeros((length, tracks.len(), features));
        let mut current_centroids = Array3::zeros((length, tracks.len(), 2));
        for (number, track) in tracks.as_slice().iter().enumerate() {
            for (step, at) in track.history(length).enumerate() {
                let embedding = embeddings
                    .index_axis(Axis(0), at.frame)
                    .index_axis_move(Axis(0), at.cell);
                let centroid = self.frames[at.frame].centroids.row(at.cell);
                current_embeddings
                    .index_axis_mut(Axis(0), step)
                    .row_mut(number)
                    .assign(&embedding);
                current_centroids
                    .index_axis_mut(Axis(0), step)
                    .row_mut(number)
                    .assign(&centroid);
            }
        }
        // Embeddings are padded to the largest frame, and the model is not to see the padding.
        let cells = Slice::from(..self.cell_count(frame));
        let future_embeddings = embeddings
            .index_axis(Axis(0), frame)
            .slice_axis(Axis(0), cells)
            .to_owned();
        InferenceInputs {
            current_embeddings: current_embeddings.insert_axis(Axis(0)),
            current_centroids: current_centroids.insert_axis(Axis(0)),
            future_embeddings: as_one_observation(future_embeddings),
            future_centroids: as_one_observation(self.frames[frame].centroids.clone()),
        }
    }

    /// The label images `[frame, row, column]` in which every cell has the label of its track: the track's place, from 1.
    #[must_use]
    pub fn painted(mut self, tracks: &Tracks) -> Array3<i32> {
        let mut colors: Vec<Vec<i32>> = self
            .frames
            .iter()
            .map(|frame| vec![0; frame.len() + 1])
            .collect();
        for (label, track) in (1..).zip(tracks.as_slice()) {
            for at in &track.observations {
                colors[at.frame][at.cell + 1] = label;
            }
        }
        let frames = self
            .numbered
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(colors);
        frames.for_each(|(mut frame, colors)| frame.mapv_inplace(|cell| colors[cell as usize]));
        self.numbered
    }
}

/// `[1, 1, cell, feature]` from `[cell, feature]`.
fn as_one_observation(plane: Array2<f32>) -> Array4<f32> {
    plane.insert_axis(Axis(0)).insert_axis(Axis(0))
}

/// Puts `from` into the first entries of `to`.
fn put_first<D: RemoveAxis>(mut to: ArrayViewMut<'_, f32, D>, from: &Array<f32, D>) {
    to.slice_axis_mut(Axis(0), Slice::from(..from.len_of(Axis(0))))
        .assign(from);
}

fn check_shapes(raw: &[usize], labels: &[usize]) -> Result<(), TrackingError> {
    let ([frames, rows, columns, channels], [_, _, _, label_channels]) = (raw, labels) else {
        return shape_error(format!(
            "Input data and labels must be rank 4 (frames, x, y, channels). Got rank {} (X) and rank {} (y).",
            raw.len(),
            labels.len()
        ));
    };
    if labels[..3] != [*frames, *rows, *columns] {
        return shape_error(format!(
            "Input data and labels should have the same shape except for the channel dimension.  Got {raw:?} and {labels:?}"
        ));
    }
    if (*channels, *label_channels) != (1, 1) {
        return shape_error(format!(
            "a movie to track has one channel, not {channels} (labels {label_channels})"
        ));
    }
    if *frames == 0 {
        return shape_error("the movie has no frames".to_owned());
    }
    Ok(())
}

fn shape_error(reason: String) -> Result<(), TrackingError> {
    Err(TrackingError::Shape(reason))
}

/// `[frame, row, column]` in standard layout from `[frame, row, column, 1]`.
fn planes<T: Clone>(movie: ArrayD<T>) -> Result<Array3<T>, TrackingError> {
    let shape = movie.raw_dim();
    let movie = movie.into_dimensionality::<Ix4>();
    let movie = movie.map_err(|_| {
        TrackingError::Shape(format!("a movie has four axes, not {}", shape.ndim()))
    })?;
    let movie = movie.index_axis_move(Axis(3), 0);
    Ok(if movie.is_standard_layout() {
        movie
    } else {
        movie.as_standard_layout().into_owned()
    })
}

/// The features, if they can be tracked.
fn checked(features: Features, may_be_empty: bool) -> Result<Features, String> {
    if features.is_empty() && !may_be_empty {
        return Err("it has no cells".to_owned());
    }
    if features.appearances.iter().any(|value| !value.is_finite()) {
        return Err("a cell has pixels that are not finite numbers (NaN or infinite)".to_owned());
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movie(raw: &[usize], labels: &[usize]) -> Result<Movie, TrackingError> {
        let mut labels = ArrayD::zeros(labels);
        for mut frame in labels.outer_iter_mut() {
            if let Some(first) = frame.iter_mut().next() {
                *first = 3;
            }
        }
        new(ArrayD::zeros(raw), labels)
    }

    fn new(raw: ArrayD<f32>, labels: ArrayD<i32>) -> Result<Movie, TrackingError> {
        Movie::new(raw, labels, CropOptions::default(), EmptyFrames::Refuse)
    }

    fn reason(movie: Result<Movie, TrackingError>) -> String {
        movie
            .err()
            .map_or_else(|| panic!("it is refused"), |error| error.to_string())
    }

    #[test]
    fn shapes_that_are_no_movie_are_refused() {
        assert!(reason(movie(&[1, 2, 3, 4, 1], &[2, 3, 4, 1])).contains("rank 4"));
        assert!(reason(movie(&[2, 3, 4, 1], &[2, 3, 5, 1])).contains("same shape"));
        assert!(reason(movie(&[2, 3, 4, 2], &[2, 3, 4, 1])).contains("one channel"));
        assert!(reason(movie(&[0, 3, 4, 1], &[0, 3, 4, 1])).contains("no frames"));
        assert!(reason(movie(&[2, 0, 4, 1], &[2, 0, 4, 1])).contains("background"));
        assert!(movie(&[2, 3, 4, 1], &[2, 3, 4, 1]).is_ok());
    }

    #[test]
    fn a_frame_without_cells_is_named() {
        let mut labels = ArrayD::zeros(vec![3, 2, 2, 1]);
        labels[[0, 0, 0, 0]] = 1;
        labels[[2, 0, 0, 0]] = 1;
        let raw = ArrayD::zeros(vec![3, 2, 2, 1]);
        assert_eq!(
            reason(new(raw.clone(), labels.clone())),
            "frame 1 of the movie cannot be tracked: it has no cells"
        );
        let allowed = Movie::new(raw, labels, CropOptions::default(), EmptyFrames::Allow);
        let allowed = allowed.expect("a frame may be empty");
        assert_eq!([0, 1, 2].map(|frame| allowed.cell_count(frame)), [1, 0, 1]);
        let single = new(
            ArrayD::zeros(vec![1, 2, 2, 1]),
            ArrayD::zeros(vec![1, 2, 2, 1]),
        );
        assert_eq!(single.map(|movie| movie.most_cells()).ok(), Some(0));
    }

    #[test]
    fn only_cells_must_be_finite() {
        let mut raw = ArrayD::zeros(vec![1, 2, 2, 1]);
        raw[[0, 1, 1, 0]] = f32::NAN;
        let labels =
            |row: usize| ArrayD::from_shape_fn(vec![1, 2, 2, 1], |at| i32::from(at[1] == row));
        assert!(new(raw.clone(), labels(0)).is_ok());
        assert!(reason(new(raw, labels(1))).contains("not finite"));
    }

    #[test]
    fn cells_are_counted_by_frame() {
        let mut labels = ArrayD::zeros(vec![3, 4, 4, 1]);
        for (place, label) in [
            ([0, 0, 0, 0], 7),
            ([0, 3, 3, 0], 7),
            ([2, 0, 0, 0], 1),
            ([2, 0, 1, 0], 2),
        ] {
            labels[place] = label;
        }
        let cells = MovieCells::count(labels.view());
        assert_eq!((cells.all, cells.most), (3, 2));
        assert_eq!(cells.frame_bytes, 4 * 4 * 4 + 2 * RUN_BYTES);
        assert_eq!(
            MovieCells::count(ArrayD::zeros(vec![]).view()),
            MovieCells::default()
        );
    }
}
