//! Cell tracking: the encoder and the inference model together with the steps they were trained with.
//!
//! Numerics: features and neighbors of every cell, an embedding for each by a graph network, then frame by frame the
//! probabilities that a cell is a track's, another's or its daughter, and a linear assignment; see Schwartz et al., "Caliban:
//! Accurate cell tracking and lineage construction in live-cell imaging experiments with deep learning", 2023.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use ndarray::{Array3, ArrayD, ArrayViewD, Axis, Ix3, Ix5};

use super::multi_input::{Named, TensorModel};
use crate::compute;
use crate::error_class::InvalidInput;
pub use cell_analysis::tracking::{
    BirthDeathCost, CropMode, CropOptions, EmptyFrames, Lineage, LineageEntry,
};
use cell_analysis::tracking::{InferenceInputs, Movie, MovieCells, Tracks, linear_sum_assignment};

/// Frames in one request to the encoder.
const ENCODER_BATCH: usize = 64;

/// Bytes of one request to the encoder, if a single frame does not need more: model servers refuse twice as many.
const ENCODER_BYTES: usize = 1 << 30;

/// Side of the largest cost matrix: 4 GiB of it, in Python too.
const MOST_CANDIDATES: usize = 32_768;

/// How cells are tracked; the default is what the models were trained with.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracker {
    /// How a cell is shown to the encoder.
    pub appearance: CropOptions,
    /// Pixels between the centers of neighbors, at most (default 50).
    pub max_distance: f64,
    /// How many observations of a track the inference model is given (default 8).
    pub track_length: usize,
    /// What births and deaths cost (default 0.99 each).
    pub borders: BirthDeathCost,
    /// The probability from which a new cell is a daughter (default 0.9).
    pub division_threshold: f64,
    /// What becomes of a movie with frames without cells (default: it is refused).
    pub empty_frames: EmptyFrames,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            appearance: CropOptions::default(),
            max_distance: 50.0,
            track_length: 8,
            borders: BirthDeathCost::default(),
            division_threshold: 0.9,
            empty_frames: EmptyFrames::Refuse,
        }
    }
}

/// The models that tracking needs.
#[derive(Clone)]
pub struct TrackingModels {
    /// Describes cells.
    pub encoder: TensorModel,
    /// Compares cells.
    pub inference: TensorModel,
}

/// A movie, and what has been found out about its cells.
#[derive(Clone)]
struct Embedded {
    movie: Arc<Movie>,
    /// The embedding of every cell, `[frame, cell, feature]`.
    embeddings: Arc<Array3<f32>>,
}

/// A tracked movie.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracked {
    /// `[frame, row, column]`, each cell in the label of its track (1, 2, 3 … in the order in which tracks begin), 0 for
    /// the background.
    pub labels: Array3<i32>,
    /// The tracks by label.
    pub lineage: Lineage,
}

impl Tracker {
    /// Refuses what [`CropOptions::check`] does, and tracks shown without any observation.
    fn check(&self) -> Result<(), &'static str> {
        if self.track_length == 0 {
            return Err("the track length must be at least 1");
        }
        self.appearance.check()
    }

    /// Tracks the cells of a movie of pixels `raw` and `labels`, both `[frame, row, column, 1]`.
    ///
    /// Labels need to be unique in their frames only; they need not be in one piece. A movie of one frame asks no model, nor
    /// does a frame that has no cells, or before which there were none.
    ///
    /// At the peak this takes 8 bytes for each pixel of the movie and [`Self::work_bytes`].
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] for a movie that cannot be tracked (see [`Movie::new`]), or one with too many tracks; anything else
    /// when a model cannot be asked or does not answer as such a model does.
    pub async fn track(
        &self,
        models: &TrackingModels,
        raw: ArrayD<f32>,
        labels: ArrayD<i32>,
    ) -> anyhow::Result<Tracked> {
        self.track_with_progress(models, raw, labels, |_| {}).await
    }

    /// [`Self::track`], which reports the share of the frames that are tracked after each of them: more than 0, and 1 at
    /// last.
    ///
    /// # Errors
    ///
    /// Those of [`Self::track`].
    pub async fn track_with_progress(
        &self,
        models: &TrackingModels,
        raw: ArrayD<f32>,
        labels: ArrayD<i32>,
        on_progress: impl Fn(f64) + Send + Sync,
    ) -> anyhow::Result<Tracked> {
        self.check().map_err(anyhow::Error::msg)?;
        let (appearance, empty_frames) = (self.appearance, self.empty_frames);
        let movie = move || Movie::new(raw, labels, appearance, empty_frames);
        let movie = Arc::new(compute::run(movie).await?);
        let mut tracks = Tracks::begin(movie.cell_count(0));
        let frames = movie.frame_count();
        if frames > 1 && movie.most_cells() > 0 {
            let embedded = Embedded {
                embeddings: Arc::new(self.embed(&models.encoder, &movie).await?),
                movie: Arc::clone(&movie),
            };
            for frame in 1..frames {
                on_progress(frame as f64 / frames as f64);
                tracks = self
                    .link(&models.inference, &embedded, tracks, frame)
                    .await?;
            }
        }
        on_progress(1.0);
        compute::run(move || finished(movie, &tracks)).await
    }

    /// Bytes that tracking the cells in these label images `[frame, row, column, 1]` takes beside the movie: crops, what the
    /// models are sent, and the costs of linking up to twice as many tracks as a frame has cells.
    #[must_use]
    pub fn work_bytes(&self, labels: ArrayViewD<'_, i32>) -> u64 {
        let frames = labels.shape().first().copied().unwrap_or(0);
        let cells = MovieCells::count(labels);
        let at_once = rayon::current_num_threads().min(frames);
        let crop = self.appearance.side.saturating_mul(self.appearance.side);
        let crops = cells
            .all
            .saturating_mul(crop.saturating_mul(size_of::<f32>()));
        let padded_cell = crop
            .saturating_add(cells.most)
            .saturating_mul(size_of::<f32>());
        let frame = cells.most.saturating_mul(padded_cell);
        let request = frame.saturating_mul(frames.min(ENCODER_BATCH));
        // One frame is sent whatever it takes; and each request is a message beside being an array.
        let requests = request.min(ENCODER_BYTES).max(frame).saturating_mul(2);
        let candidates = cells.most.saturating_mul(3);
        let costs = candidates.saturating_mul(candidates).saturating_mul(8);
        let parts = [
            cells.frame_bytes.saturating_mul(at_once),
            crops,
            requests.max(costs),
        ];
        parts
            .into_iter()
            .fold(0, |sum: u64, part| sum.saturating_add(part as u64))
    }

    /// The embedding of every cell, `[frame, cell, feature]`.
    async fn embed(
        &self,
        encoder: &TensorModel,
        movie: &Arc<Movie>,
    ) -> anyhow::Result<Array3<f32>> {
        let (shared, max_distance) = (Arc::clone(movie), self.max_distance);
        let inputs = move |frames: Range<usize>| encoder_tensors(&shared, frames, max_distance);
        let batch = (ENCODER_BYTES / movie.encoder_bytes().max(1)).clamp(1, ENCODER_BATCH);
        let outputs = encoder
            .predict_in_batches(movie.frame_count(), batch, inputs)
            .await?;
        embedding(outputs, movie)
            .with_context(|| format!("model `{}` is not an encoder of cells", encoder.id()))
    }

    /// The tracks with the cells of the next frame.
    async fn link(
        &self,
        inference: &TensorModel,
        embedded: &Embedded,
        tracks: Tracks,
        frame: usize,
    ) -> anyhow::Result<Tracks> {
        let (count, cells) = (tracks.len(), embedded.movie.cell_count(frame));
        check_candidates(count, cells, frame)?;
        if count == 0 || cells == 0 {
            return Ok(unlinked(tracks, frame, cells));
        }
        let (Embedded { movie, embeddings }, length) = (embedded.clone(), self.track_length);
        let (mut tracks, tensors) = compute::run(move || {
            let inputs = movie.inference_inputs(&tracks, embeddings.view(), frame, length);
            (tracks, inference_tensors(inputs))
        })
        .await;
        let outputs = inference.predict(tensors).await?;
        let probabilities = probabilities(outputs, [count, cells]).with_context(|| {
            format!(
                "model `{}` is not an inference model of tracks",
                inference.id()
            )
        })?;
        let (borders, division_threshold) = (self.borders, self.division_threshold);
        compute::run(move || {
            let costs = tracks.costs(probabilities.view(), borders);
            let pairs = linear_sum_assignment(costs.view()).with_context(|| {
                format!("tracks cannot be linked with the cells of frame {frame}")
            })?;
            let columns: Vec<usize> = pairs.into_iter().map(|[_, column]| column).collect();
            tracks.advance(frame, &columns, probabilities.view(), division_threshold);
            Ok(tracks)
        })
        .await
    }
}

/// Refuses more candidates than a cost matrix can have.
fn check_candidates(count: usize, cells: usize, frame: usize) -> Result<(), InvalidInput> {
    if count + cells <= MOST_CANDIDATES {
        return Ok(());
    }
    Err(InvalidInput(format!(
        "{count} tracks and {cells} cells in frame {frame} are more than can be linked ({MOST_CANDIDATES})"
    )))
}

/// The tracks after a frame in which there is nothing to link: each of its cells begins a track.
fn unlinked(mut tracks: Tracks, frame: usize, cells: usize) -> Tracks {
    if tracks.is_empty() {
        let births: Vec<usize> = (0..cells).collect();
        tracks.advance(frame, &births, Array3::zeros((0, cells, 3)).view(), 1.0);
    }
    tracks
}

/// The inputs of a model that describes cells.
pub const ENCODER_INPUTS: [&str; 4] = [
    "encoder_app_input",
    "encoder_morph_input",
    "encoder_centroid_input",
    "encoder_adj_input",
];

/// The inputs of a model that compares cells.
pub const INFERENCE_INPUTS: [&str; 4] = [
    "current_embeddings",
    "current_centroids",
    "future_embeddings",
    "future_centroids",
];

fn encoder_tensors(
    movie: &Movie,
    frames: Range<usize>,
    max_distance: f64,
) -> Vec<Named<&'static str>> {
    let inputs = movie.encoder_inputs(frames, max_distance);
    let tensors = [
        inputs.appearances.into_dyn(),
        inputs.morphologies.into_dyn(),
        inputs.centroids.into_dyn(),
        inputs.adjacency.into_dyn(),
    ];
    ENCODER_INPUTS.into_iter().zip(tensors).collect()
}

fn inference_tensors(inputs: InferenceInputs) -> Vec<Named<&'static str>> {
    let tensors = [
        inputs.current_embeddings.into_dyn(),
        inputs.current_centroids.into_dyn(),
        inputs.future_embeddings.into_dyn(),
        inputs.future_centroids.into_dyn(),
    ];
    INFERENCE_INPUTS.into_iter().zip(tensors).collect()
}

/// The embedding among the encoder's outputs: the second in the order of names, the first being the centroids.
fn embedding(mut outputs: Vec<Named<String>>, movie: &Movie) -> anyhow::Result<Array3<f32>> {
    ensure!(
        outputs.len() >= 2,
        "an encoder has two outputs or more, this one has {}",
        outputs.len()
    );
    let (name, values) = outputs.swap_remove(1);
    let shape = values.shape().to_vec();
    let (frames, cells) = (movie.frame_count(), movie.most_cells());
    let values = values
        .into_dimensionality::<Ix3>()
        .ok()
        .filter(|values| (values.dim().0, values.dim().1) == (frames, cells));
    values.with_context(|| {
        format!("its output `{name}` has shape {shape:?}, not [{frames}, {cells}, features]")
    })
}

/// The only output `[1, 1, track, cell, 3]` of the inference model as `[track, cell, 3]`.
fn probabilities(
    outputs: Vec<Named<String>>,
    [tracks, cells]: [usize; 2],
) -> anyhow::Result<Array3<f32>> {
    let count = outputs.len();
    let [(name, values)] = <[_; 1]>::try_from(outputs)
        .map_err(|_| anyhow::anyhow!("an inference model has one output, this one has {count}"))?;
    let shape = values.shape().to_vec();
    let values = values
        .into_dimensionality::<Ix5>()
        .ok()
        .filter(|values| values.dim() == (1, 1, tracks, cells, 3));
    let values = values.with_context(|| {
        format!("its output `{name}` has shape {shape:?}, not [1, 1, {tracks}, {cells}, 3]")
    })?;
    Ok(values
        .index_axis_move(Axis(0), 0)
        .index_axis_move(Axis(0), 0))
}

fn finished(movie: Arc<Movie>, tracks: &Tracks) -> anyhow::Result<Tracked> {
    let movie = Arc::into_inner(movie).context("the movie is still in use")?;
    Ok(Tracked {
        labels: movie.painted(tracks),
        lineage: Lineage::from(tracks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::{Input, Model, ModelId, ModelServer};

    type Tensors = Vec<(String, ArrayD<f32>)>;

    /// An encoder with these outputs, and an inference model that answers `same` for every pair.
    async fn models(outputs: &'static [&'static str], same: f32) -> (ModelServer, TrackingModels) {
        let ids = ["Encoder", "Inference"].map(|name| ModelId::new(name, 1));
        let inputs = |shapes: [(&str, usize); 4]| {
            shapes
                .map(|(name, axes)| Input::float(name, &vec![-1; axes]))
                .to_vec()
        };
        let encoder = Model {
            id: ids[0].clone(),
            inputs: inputs([
                ("encoder_app_input", 5),
                ("encoder_morph_input", 3),
                ("encoder_centroid_input", 3),
                ("encoder_adj_input", 3),
            ]),
            outputs: outputs
                .iter()
                .map(|name| Input::float(name, &[-1, -1, -1]))
                .collect(),
            run: Arc::new(|inputs: &[(String, ArrayD<f32>)]| {
                let values = inputs
                    .iter()
                    .find(|(name, _)| name == "encoder_morph_input")
                    .ok_or("no input")?;
                Ok(outputs
                    .iter()
                    .map(|name| ((*name).to_owned(), values.1.clone()))
                    .collect::<Tensors>())
            }),
        };
        let inference = Model {
            id: ids[1].clone(),
            inputs: inputs([
                ("current_embeddings", 4),
                ("current_centroids", 4),
                ("future_embeddings", 4),
                ("future_centroids", 4),
            ]),
            outputs: vec![Input::float("classes", &[-1, -1, -1, -1, 3])],
            run: Arc::new(move |inputs: &[(String, ArrayD<f32>)]| {
                let count = |name: &str| {
                    inputs
                        .iter()
                        .find(|it| it.0 == name)
                        .map_or(0, |it| it.1.shape()[2])
                };
                let shape = [
                    1,
                    1,
                    count("current_centroids"),
                    count("future_centroids"),
                    3,
                ];
                Ok(vec![(
                    "classes".to_owned(),
                    ArrayD::from_elem(shape.as_slice(), same),
                )])
            }),
        };
        let server = ModelServer::start(0, vec![encoder, inference])
            .await
            .expect("a free port");
        let client = server.client();
        let [encoder, inference] = ids.map(|id| TensorModel::new(&client, &id));
        (server, TrackingModels { encoder, inference })
    }

    async fn tracked(outputs: &'static [&'static str], same: f32) -> anyhow::Result<Tracked> {
        let (_server, models) = models(outputs, same).await;
        let labels =
            ArrayD::from_shape_fn(vec![3, 4, 4, 1], |at| if at[1] == at[0] { 7 } else { 0 });
        Tracker::default()
            .track(&models, ArrayD::zeros(vec![3, 4, 4, 1]), labels)
            .await
    }

    #[tokio::test]
    async fn a_cell_that_moves_stays_one_track() {
        let tracked = tracked(&["a", "b"], 0.8).await.expect("models answer");
        assert_eq!(tracked.lineage.0.len(), 1);
        assert_eq!(tracked.lineage.0[0].frames, [0, 1, 2]);
        assert_eq!(
            (tracked.labels[[2, 2, 0]], tracked.labels[[2, 0, 0]]),
            (1, 0)
        );
    }

    /// A movie of `frames` 4 × 4 pixels, with a cell in the row of its number where `has_cell`.
    async fn tracked_with_gaps(has_cell: &[bool]) -> anyhow::Result<Tracked> {
        let (_server, models) = models(&["a", "b"], 0.8).await;
        let shape = vec![has_cell.len(), 4, 4, 1];
        let labels = ArrayD::from_shape_fn(shape.clone(), |at| {
            i32::from(has_cell[at[0]] && at[1] == 1) * 7
        });
        let tracker = Tracker {
            empty_frames: EmptyFrames::Allow,
            ..Tracker::default()
        };
        let tracked = tracker.track(&models, ArrayD::zeros(shape), labels).await?;
        for (frame, plane) in tracked.labels.outer_iter().enumerate() {
            let has_label = plane.iter().any(|label| *label != 0);
            assert_eq!(has_label, has_cell[frame], "frame {frame} of {has_cell:?}");
        }
        assert!(tracked.lineage.is_valid(tracked.labels.view()));
        Ok(tracked)
    }

    #[tokio::test]
    async fn frames_without_cells_stay_empty_wherever_they_are() {
        for has_cell in 0..32_u8 {
            let has_cell: Vec<bool> = (0..5).map(|frame| has_cell >> frame & 1 == 1).collect();
            let tracked = tracked_with_gaps(&has_cell).await.expect("it is tracked");
            let frames: Vec<usize> = (0..5).filter(|frame| has_cell[*frame]).collect();
            let seen: Vec<&Vec<usize>> = tracked.lineage.0.iter().map(|it| &it.frames).collect();
            let expected: Vec<&Vec<usize>> = Some(&frames)
                .filter(|it| !it.is_empty())
                .into_iter()
                .collect();
            assert_eq!(seen, expected, "one cell, however long it was away");
        }
    }

    #[test]
    fn the_memory_of_tracking_grows_with_the_cells() {
        let labels = |count: usize| {
            ArrayD::from_shape_fn(vec![3, 64, 64, 1], |at| {
                let cell = at[1] / 8 * 8 + at[2] / 8 + 1;
                if cell <= count { cell as i32 } else { 0 }
            })
        };
        let bytes = |count| Tracker::default().work_bytes(labels(count).view());
        assert!(bytes(0) < bytes(1) && bytes(1) < bytes(64));
        let crops = 3 * 64 * 32 * 32 * 4;
        assert!(
            bytes(64) > 3 * crops && bytes(64) < 5 * crops,
            "{}",
            bytes(64)
        );
        assert_eq!(
            Tracker::default().work_bytes(ArrayD::zeros(vec![]).view()),
            0
        );
    }

    #[tokio::test]
    async fn answers_that_are_none_fail_and_say_of_which_model() {
        let single = format!(
            "{:#}",
            tracked(&["a"], 0.8)
                .await
                .expect_err("there is no second output")
        );
        assert!(
            single.contains("`Encoder:1` is not an encoder of cells"),
            "{single}"
        );
        let nan = format!(
            "{:#}",
            tracked(&["a", "b"], f32::NAN)
                .await
                .expect_err("NaN is not a probability")
        );
        assert!(
            nan.contains("frame 1") && nan.contains("invalid numeric entries"),
            "{nan}"
        );
    }
}
