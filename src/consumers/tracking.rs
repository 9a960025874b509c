//! Cells of a movie, followed from frame to frame (`CONSUMER_TYPE` `tracking` or `caliban`).
//!
//! The frames of a TIFF movie are segmented by other consumers, as jobs of their own; a track file brings its labels along.

mod gathered;

use std::sync::Arc;

use anyhow::bail;
use async_trait::async_trait;
use batch_plan::Manifest;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array3, ArrayD, Axis, Ix4};

use super::limits;
use super::memory;
use super::preview::{Preview, Previews};
use super::recipe::{self, model};
use crate::applications::cell_tracking::{
    self, BirthDeathCost, CropMode, CropOptions, EmptyFrames, Tracked, Tracker,
};
use crate::applications::{TensorModel, TrackingModels};
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, ModelRequirement, Outcome};
use crate::consumers::output::ResultName;
use crate::error_class::InvalidInput;
use crate::job::{Child, ChildInput, ChildSpec, ChildState, Children, Job, Status, Step};
use crate::memory::Reservation;
use crate::serving::ModelId;
use crate::settings::{Loader, Parsed, Switch};
use crate::storage::archive::{ArchiveLimits, ZipImages};
use bioimage::trk::unpacking_bytes;
use bioimage::{FrameLimits, TrackFile, encode_tiff, time_lapse};

/// What of the progress, in per cent, the segmentation of the frames is; the rest is tracking.
const SEGMENTED: u8 = 50;

/// Frames that are sent or fetched at the same time.
const TRANSFERS: usize = 4;

/// Bytes of movie and labels at the peak, for each byte of the movie: beside both, one more when they are read, or the result.
const COPIES: u64 = 3;

/// Follows the cells of a movie.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "tracking",
    aliases: &["caliban"],
    summary: "follows the cells of a movie and tells who is whose daughter",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(TrackingSettings::load(loader));
        Box::new(|clients| {
            Box::new(Tracking {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

crate::settings! {
    /// Tracking of cells.
    struct TrackingVariables {
        /// Model that compares cells, as `name:version`.
        caliban_model: Option<Parsed<ModelId>> = None => "that of `TRACKING_MODEL`",
        /// Older name of `CALIBAN_MODEL`.
        tracking_model: Parsed<ModelId> = model("NuclearTrackingInf:6"),
        /// Model that describes cells, as `name:version`.
        neighborhood_encoder: Parsed<ModelId> = model("NuclearTrackingNE:6"),
        /// Side of the crop of a cell, in pixels.
        appearance_dim: usize = Tracker::default().appearance.side,
        /// How a cell is cropped: `resize` scales its bounding box, `fixed` cuts a square around its centroid.
        crop_mode: Parsed<CropMode> = Parsed(Tracker::default().appearance.crop),
        /// Normalize fixed crops.
        caliban_norm: Switch = Switch(Tracker::default().appearance.norm),
        /// Largest distance between neighboring cells, in pixels.
        max_distance: f64 = Tracker::default().max_distance,
        /// Observations of a track that are compared with a cell; at least 1.
        track_length: usize = Tracker::default().track_length,
        /// Cost of a cell without a track.
        birth: f32 = Tracker::default().borders.birth,
        /// Cost of a track without a cell.
        death: f32 = Tracker::default().borders.death,
        /// Probability from which a new cell is a daughter, from 0 to 1.
        division: f64 = Tracker::default().division_threshold,
        /// Largest number of frames in a movie.
        max_image_frames: usize = 60,
        /// Largest number of frames without labels in a movie that a batch has gathered; they are left out.
        max_gaps: usize = 0,
        /// Queue to which the frames of a movie are submitted for segmentation; turned into lower case.
        segmentation_queue: String = "predict".to_owned(),
        /// What becomes of a movie in which some frames have no cells: `refuse` fails it, as the Python consumer does; `allow` leaves them empty and tracks the cells on both sides.
        empty_frames: Parsed<EmptyFrames> = Parsed(Tracker::default().empty_frames),
        /// Also write `res_track.txt` and masks (Cell Tracking Challenge).
        isbi_output: Switch = Switch(false),
    }
}

/// Models, tracker and limits of the tracking consumer.
#[derive(Debug)]
pub struct TrackingSettings {
    encoder: ModelId,
    inference: ModelId,
    tracker: Tracker,
    frames: FrameLimits,
    max_gaps: usize,
    decoding: bioimage::Limits,
    segmentation_queue: String,
    isbi: bool,
    previews: Previews,
}

impl TrackingSettings {
    /// Loads `CALIBAN_MODEL`, `NEIGHBORHOOD_ENCODER`, `MAX_DISTANCE` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let variables: TrackingVariables = loader.load();
        let tracker = variables.tracker(loader);
        if variables.caliban_model.is_none() {
            loader.fall_back("CALIBAN_MODEL", "TRACKING_MODEL");
        }
        let Parsed(inference) = variables.caliban_model.unwrap_or(variables.tracking_model);
        Self {
            encoder: variables.neighborhood_encoder.0,
            inference,
            tracker,
            // Requests to the models are cut to size, so that only the movie itself is limited.
            frames: FrameLimits {
                batch: usize::MAX,
                movie: variables.max_image_frames,
            },
            max_gaps: variables.max_gaps,
            decoding: limits::decoding(loader),
            segmentation_queue: variables.segmentation_queue.to_lowercase(),
            isbi: variables.isbi_output.0,
            previews: Previews::load(loader),
        }
    }
}

impl TrackingVariables {
    fn tracker(&self, loader: &mut Loader<'_>) -> Tracker {
        let tracker = Tracker {
            appearance: CropOptions {
                side: self.appearance_dim,
                crop: self.crop_mode.0,
                norm: self.caliban_norm.0,
            },
            max_distance: self.max_distance,
            track_length: self.track_length,
            borders: BirthDeathCost {
                birth: self.birth,
                death: self.death,
            },
            division_threshold: self.division,
            empty_frames: self.empty_frames.0,
        };
        if self.track_length == 0 {
            loader.refuse("TRACK_LENGTH", 0, "expected at least 1");
        }
        if let Err(message) = tracker.appearance.check() {
            loader.refuse("APPEARANCE_DIM", self.appearance_dim, message);
        }
        tracker
    }
}

/// Whether an input is a movie, a track file, or a list of frames.
pub(super) fn takes(reference: &str) -> bool {
    let name = reference.to_lowercase();
    let endings = [".trk", ".trks", ".tif", ".tiff"];
    endings.iter().any(|ending| name.ends_with(ending)) || Manifest::is_at(reference)
}

struct Tracking {
    settings: Arc<TrackingSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Tracking {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        if takes(job.input_file_name()?) {
            Ok(())
        } else {
            Err(job.invalid_file_type())
        }
    }

    fn models(&self) -> Vec<ModelRequirement> {
        vec![
            ModelRequirement::of_tensors(&self.settings.encoder, &cell_tracking::ENCODER_INPUTS),
            ModelRequirement::of_tensors(
                &self.settings.inference,
                &cell_tracking::INFERENCE_INPUTS,
            ),
        ]
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.record_progress(0);
        let (input, _memory) = self.input(job).await?;
        let labeled = match input {
            Input::Labeled(labeled) => labeled,
            Input::Unlabeled(movie) => return self.segment(job, movie).await,
        };

        // Once a job: not on the way that ends in the jobs of the frames.
        job.record_pixels(labeled.movie.len());
        job.step(Step::Predict);
        let models = TrackingModels {
            encoder: TensorModel::new(&self.clients.serving, &self.settings.encoder),
            inference: TensorModel::new(&self.clients.serving, &self.settings.inference),
        };
        let (preview, labeled) = self.see(labeled).await;
        let begun = labeled.progress;
        let tell = |share: f64| {
            job.record_progress(u64::from(begun) + (share * f64::from(100 - begun)).round() as u64);
        };
        let tracker = &self.settings.tracker;
        let tracked = tracker
            .track_with_progress(&models, labeled.movie, labeled.labels, tell)
            .await?;

        job.step(Step::Upload);
        let (name, isbi) = (ResultName::new(job.original_name()?), self.settings.isbi);
        job.step(Step::Encode);
        let shown = preview.clone();
        let entries = compute::run(move || {
            show_first_frame(&shown, &tracked);
            entries(&name, &tracked, isbi)
        });
        recipe::store(job, &self.clients.storage, entries.await?, &preview).await
    }
}

/// What a job brings along.
enum Input {
    Labeled(Labeled),
    /// A movie `[frame, row, column]` whose frames have to be segmented.
    Unlabeled(Array3<f32>),
}

/// A movie `[frame, row, column, 1]` and its labels of the same shape.
struct Labeled {
    movie: ArrayD<f32>,
    labels: ArrayD<i32>,
    /// How much of the work is done with them, in per cent.
    progress: u8,
}

fn is_track_file(name: &str) -> bool {
    let name = name.to_lowercase();
    name.ends_with(".trk") || name.ends_with(".trks")
}

impl Tracking {
    /// The movie of a job, with its labels if there are any, as soon as there is memory for all of the work.
    ///
    /// How much that is shows in the file, and in its cells. If others hold what is missing then, everything is let go, to be
    /// fetched again when there is enough: a job that waits takes nothing.
    async fn input(&self, job: &Job) -> anyhow::Result<(Input, Reservation)> {
        let reference = job.input_file_name()?;
        if Manifest::is_at(reference) {
            let mut guess = 0;
            loop {
                let (labeled, mut memory) = self.gather(job, reference, guess).await?;
                let (needed, input) = self.bytes_to_track(Input::Labeled(labeled)).await;
                if memory.grow(needed)? {
                    return Ok((input, memory));
                }
                guess = needed;
            }
        }
        let frames = if is_track_file(reference) {
            ChildState::None
        } else {
            job.children().await?
        };
        let clients = &self.clients;
        let fetch = || async {
            job.step(Step::Download);
            let file = clients.storage.download(reference).await?;
            job.step(Step::Decode);
            // What a look into it may take comes first.
            let look = unpacking_bytes(&file).saturating_add(file.len() as u64);
            Ok((look, file))
        };
        let mut guess = memory::size(clients, reference).await?;
        loop {
            let (file, mut memory) = memory::fetch_within(job, clients, guess, fetch).await?;
            let (needed, file) = self.bytes_to_read(file, reference.to_owned()).await?;
            if !memory.grow(needed)? {
                guess = needed;
                continue;
            }
            let input = self.read(job, file, &frames).await?;
            let (needed, input) = self.bytes_to_track(input).await;
            if memory.grow(needed)? {
                return Ok((input, memory));
            }
            guess = needed;
        }
    }

    /// The movie in a file, with the labels that the file or the jobs of its frames have.
    async fn read(&self, job: &Job, file: Bytes, frames: &ChildState) -> anyhow::Result<Input> {
        let reference = job.input_file_name()?;
        if is_track_file(reference) {
            return Ok(Input::Labeled(self.read_track_file(file).await?));
        }
        let movie = self.decode(file, reference.to_owned()).await?;
        Ok(match frames {
            ChildState::Finished(frames) => {
                Input::Labeled(self.collect_labels(job, movie, frames).await?)
            }
            _ => Input::Unlabeled(movie),
        })
    }

    /// Bytes that a file and its movie take while it is read and when its result is written, from its headers alone.
    async fn bytes_to_read(&self, file: Bytes, name: String) -> anyhow::Result<(u64, Bytes)> {
        let limits = self.settings.decoding;
        compute::run(move || {
            let (movie, peak) = if is_track_file(&name) {
                let size = TrackFile::size_of(&file, &limits)?;
                // Half of its arrays are labels.
                (size.decoded_bytes / 2, size.peak_bytes)
            } else {
                // What cannot be read is refused when it is.
                bioimage::header_of(&file, &name)
                    .map_or((0, 0), |header| (header.decoded_bytes(), header.peak_bytes))
            };
            let peak = peak.saturating_add(file.len() as u64);
            Ok((peak.max(movie.saturating_mul(COPIES)), file))
        })
        .await
    }

    /// Bytes that the rest of the work takes, the movie included.
    async fn bytes_to_track(&self, input: Input) -> (u64, Input) {
        let settings = Arc::clone(&self.settings);
        compute::run(move || {
            let needed = match &input {
                Input::Labeled(labeled) => {
                    let movie = (labeled.movie.len() * size_of::<f32>()) as u64;
                    let work = settings.tracker.work_bytes(labeled.labels.view());
                    movie.saturating_mul(COPIES).saturating_add(work)
                }
                Input::Unlabeled(_) => 0,
            };
            (needed, input)
        })
        .await
    }

    async fn read_track_file(&self, file: Bytes) -> anyhow::Result<Labeled> {
        let limits = self.settings.decoding;
        let tracked = compute::run(move || TrackFile::read(&file, &limits)).await?;
        Ok(Labeled {
            movie: tracked.raw,
            labels: tracked.labels,
            progress: 0,
        })
    }

    /// A movie with the labels that the jobs of its frames have found.
    async fn collect_labels(
        &self,
        job: &Job,
        movie: Array3<f32>,
        frames: &[Child],
    ) -> anyhow::Result<Labeled> {
        job.step(Step::Fetch);
        let size = [movie.dim().1, movie.dim().2];
        let labels = self.labels(frames, size).await?;
        Ok(Labeled {
            movie: movie.insert_axis(Axis(3)).into_dyn(),
            labels: labels.insert_axis(Axis(3)).into_dyn(),
            progress: SEGMENTED,
        })
    }

    async fn decode(&self, file: Bytes, name: String) -> anyhow::Result<Array3<f32>> {
        let settings = Arc::clone(&self.settings);
        compute::run(move || {
            let image = bioimage::decode(&file, &name, &settings.decoding)?;
            Ok(time_lapse::movie(image, &settings.frames)?)
        })
        .await
    }

    /// Looks at the first frame of a movie.
    async fn see(&self, labeled: Labeled) -> (Preview, Labeled) {
        let preview = self.settings.previews.begin();
        if !preview.is_wanted() {
            return (preview, labeled);
        }
        compute::run(move || {
            let movie = labeled.movie.view().into_dimensionality::<Ix4>();
            if let Some(frame) = movie.iter().flat_map(|movie| movie.outer_iter()).next() {
                let channels: Vec<_> = frame.axis_iter(Axis(2)).collect();
                preview.see_channels(&channels, None);
            }
            (preview, labeled)
        })
        .await
    }

    /// Has each frame segmented by a job of its own.
    async fn segment(&self, job: &Job, movie: Array3<f32>) -> anyhow::Result<Outcome> {
        job.step(Step::Store);
        let movie = Arc::new(movie);
        let frames = (0..movie.dim().0).map(|frame| self.frame_job(job, &movie, frame));
        let children = stream::iter(frames)
            .buffered(TRANSFERS)
            .try_collect()
            .await?;
        Ok(Outcome::Wait(
            Children::new(children, Status::Predicting)
                .failing_fast()
                .up_to(SEGMENTED),
        ))
    }

    /// Stores a frame as an image, and gives the job that segments it.
    async fn frame_job(
        &self,
        job: &Job,
        movie: &Arc<Array3<f32>>,
        frame: usize,
    ) -> anyhow::Result<ChildSpec> {
        let original = job.original_name()?.replace(['/', '\\'], "_");
        let name = format!("{}-{original}-tracking-frame-{frame}.tif", job.stable_id());
        let movie = Arc::clone(movie);
        let tiff = compute::run(move || {
            encode_tiff(time_lapse::single_frame(movie.index_axis(Axis(0), frame)).view())
        })
        .await;
        let key = format!("output/{name}");
        let url = self.clients.storage.upload(&key, tiff.into()).await?;
        let scale = job.scale()?.map(|scale| scale.to_string());
        // What older and newer segmentation consumers read.
        let fields = [
            ("channels", "0,,"),
            ("dimension_order", "XY"),
            ("scale", scale.as_deref().unwrap_or_default()),
            ("model_name", ""),
            ("model_version", ""),
            ("preprocess_function", ""),
            ("postprocess_function", ""),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let input = ChildInput {
            key: &key,
            original_name: &name,
            url: Some(&url),
        };
        Ok(job.child(&self.settings.segmentation_queue, input, fields.into()))
    }

    /// The labels that the jobs of the frames have found, `[frame, row, column]`.
    async fn labels(&self, frames: &[Child], size: [usize; 2]) -> anyhow::Result<Array3<i32>> {
        // One that has failed is told, whatever became of the others.
        let failed = frames.iter().position(|child| child.has_failed());
        let mut results = Vec::new();
        for (frame, child) in frames.iter().enumerate().skip(failed.unwrap_or(0)) {
            match child.result() {
                Ok(key) => results.push(key),
                Err(failed) => {
                    bail!(
                        "Tracking failed during segmentation on frame {frame}. Segmentation Error: {}",
                        failed.reason
                    )
                }
            }
        }
        let limits = self.settings.decoding;
        let downloads = results.into_iter().map(|key| async move {
            let file = self.clients.storage.download(&key).await?;
            compute::run(move || frame_labels(&file, &limits)).await
        });
        let labels: Vec<ArrayD<f32>> = stream::iter(downloads)
            .buffered(TRANSFERS)
            .try_collect()
            .await?;
        Ok(compute::run(move || time_lapse::stacked_labels(labels, size)).await?)
    }
}

/// The one image of the result of a frame.
fn frame_labels(file: &[u8], limits: &bioimage::Limits) -> anyhow::Result<ArrayD<f32>> {
    let limit = ArchiveLimits {
        entries: 1,
        bytes: limits.max_decoded_bytes,
        ratio: u64::MAX,
    };
    let mut file = std::io::Cursor::new(file);
    let mut images = ZipImages::open(&mut file, limit).map_err(|_| not_one_image())?;
    let (name, content) = images.read_next(&mut file)?.ok_or_else(not_one_image)?;
    Ok(bioimage::decode(&content, &name, limits)?)
}

fn not_one_image() -> InvalidInput {
    InvalidInput("the result of a frame is not exactly one image".to_owned())
}

/// Shows the tracks of the first frame.
fn show_first_frame(preview: &Preview, tracked: &Tracked) {
    if preview.is_wanted()
        && let Some(frame) = tracked.labels.outer_iter().next()
    {
        // Tracks count from 1.
        preview.show_labels(frame.mapv(i32::unsigned_abs).view());
    }
}

/// Labels and lineage, and on request the form in which trackers are compared.
fn entries(name: &ResultName, tracked: &Tracked, isbi: bool) -> anyhow::Result<recipe::Entries> {
    let labels = encode_tiff(tracked.labels.mapv(|label| label as f32).view().into_dyn());
    let lineage = tracked.lineage.to_json().into_bytes();
    let mut entries = vec![
        (name.feature(0), labels),
        ("lineage.json".to_owned(), lineage),
    ];
    if isbi {
        let tracks = tracked.lineage.for_challenge();
        let table = tracks.text().into_bytes();
        entries.push(("isbi/res_track.txt".to_owned(), table));
        let masks = tracks.masks(tracked.labels.view())?;
        let masks = masks.outer_iter().enumerate();
        entries.extend(
            masks.map(|(t, mask)| (format!("isbi/mask{t:03}.tif"), encode_tiff(mask.into_dyn()))),
        );
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Env;

    #[test]
    fn what_no_movie_can_be_tracked_with_is_named_by_its_variable() {
        let env = Env::from_iter([
            ("TRACK_LENGTH", "0"),
            ("APPEARANCE_DIM", "33"),
            ("CROP_MODE", "fixed"),
        ]);
        let mut loader = Loader::new(&env);
        TrackingSettings::load(&mut loader);
        let problems = loader.finish().expect_err("two are unusable").to_string();
        for expected in [
            "TRACK_LENGTH: `0` cannot be used: expected at least 1",
            "APPEARANCE_DIM: `33` cannot be used: the side of an appearance must be even for crop mode `fixed`",
        ] {
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
