//! Cells of a movie, followed from frame to frame (`CONSUMER_TYPE` `tracking` or `caliban`).
//!
//! The frames of a TIFF movie are segmented by other consumers, as jobs of their own; a track file brings its labels along.

use std::sync::Arc;

use anyhow::bail;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array3, ArrayD, Axis};

use super::{limits, model};
use crate::applications::TensorModel;
use crate::applications::cell_tracking::{
    self, Appearance, Borders, Crop, Tracked, Tracker, isbi_masks,
};
use crate::compute;
use crate::consumer::{Clients, Consumer, Kind, ModelNeed, Outcome};
use crate::failure::InvalidInput;
use crate::images::output::ResultName;
use crate::images::{self, FrameLimits, TrackFile, encode_tiff, movie};
use crate::job::{Child, ChildInput, Children, Family, Job, Stage, Status};
use crate::serving::ModelId;
use crate::settings::{Loader, Parsed, Switch};
use crate::storage::archive::{ArchiveLimits, Images};

/// What of the progress, in per cent, the segmentation of the frames is; the rest is tracking.
const SEGMENTED: u8 = 50;

/// Frames that are sent or fetched at the same time.
const TRANSFERS: usize = 4;

/// Follows the cells of a movie.
pub const KIND: Kind = Kind {
    name: "tracking",
    aliases: &["caliban"],
    about: "follows the cells of a movie and tells who is whose daughter",
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
        crop_mode: Parsed<Crop> = Parsed(Tracker::default().appearance.crop),
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
        division: f64 = Tracker::default().division,
        /// Largest number of frames in a movie.
        max_image_frames: usize = 60,
        /// Queue to which the frames of a movie are submitted for segmentation; turned into lower case.
        segmentation_queue: String = "predict".to_owned(),
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
    decoding: images::Limits,
    segmentation_queue: String,
    isbi: bool,
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
            decoding: limits::decoding(loader),
            segmentation_queue: variables.segmentation_queue.to_lowercase(),
            isbi: variables.isbi_output.0,
        }
    }
}

impl TrackingVariables {
    fn tracker(&self, loader: &mut Loader<'_>) -> Tracker {
        let tracker = Tracker {
            appearance: Appearance {
                side: self.appearance_dim,
                crop: self.crop_mode.0,
                norm: self.caliban_norm.0,
            },
            max_distance: self.max_distance,
            track_length: self.track_length,
            borders: Borders {
                birth: self.birth,
                death: self.death,
            },
            division: self.division,
        };
        if let Err(message) = tracker.check() {
            loader.problem("APPEARANCE_DIM, CROP_MODE, TRACK_LENGTH", message);
        }
        tracker
    }
}

struct Tracking {
    settings: Arc<TrackingSettings>,
    clients: Clients,
}

#[async_trait]
impl Consumer for Tracking {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        let name = job.input_file_name()?.to_lowercase();
        let known = [".trk", ".trks", ".tif", ".tiff"]
            .iter()
            .any(|suffix| name.ends_with(suffix));
        if known {
            Ok(())
        } else {
            Err(job.invalid_file_type())
        }
    }

    fn models(&self) -> Vec<ModelNeed> {
        vec![
            ModelNeed::of_tensors(&self.settings.encoder, &cell_tracking::ENCODER_INPUTS),
            ModelNeed::of_tensors(&self.settings.inference, &cell_tracking::INFERENCE_INPUTS),
        ]
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.enter(Status::Started);
        job.record_progress(0);
        let reference = job.input_file_name()?.to_owned();
        let file = self.clients.storage.download(&reference).await?;
        job.enter_stage(Stage::Decode);
        let (movie, begun) = if reference.to_lowercase().ends_with(".trk")
            || reference.to_lowercase().ends_with(".trks")
        {
            let limits = self.settings.decoding;
            let tracked = compute::run(move || TrackFile::read(&file, &limits)).await?;
            ((tracked.raw, tracked.labels), 0)
        } else {
            let movie = self.decode(file, reference).await?;
            match job.family().await? {
                Family::Waited(frames) => {
                    job.enter_stage(Stage::Download);
                    let size = [movie.dim().1, movie.dim().2];
                    let labels = self.labels(&frames, size).await?;
                    let movie = movie.insert_axis(Axis(3)).into_dyn();
                    ((movie, labels.insert_axis(Axis(3)).into_dyn()), SEGMENTED)
                }
                _ => return self.segment(job, movie).await,
            }
        };

        job.enter(Status::Predicting);
        let [encoder, inference] = [&self.settings.encoder, &self.settings.inference]
            .map(|id| TensorModel::new(&self.clients.serving, id));
        let tell = |share: f64| {
            job.record_progress(u64::from(begun) + (share * f64::from(100 - begun)).round() as u64)
        };
        let tracked = self
            .settings
            .tracker
            .track_and_tell(&encoder, &inference, movie, tell)
            .await?;

        job.enter(Status::SavingResults);
        let (name, isbi) = (ResultName::new(job.original_name()?), self.settings.isbi);
        job.enter_stage(Stage::Encode);
        let entries = compute::run(move || entries(&name, &tracked, isbi)).await?;
        super::store(job, &self.clients.storage, entries).await
    }
}

impl Tracking {
    async fn decode(&self, file: Bytes, name: String) -> anyhow::Result<Array3<f32>> {
        let settings = Arc::clone(&self.settings);
        compute::run(move || {
            let image = images::decode(&file, &name, &settings.decoding)?;
            Ok(movie::movie(image, &settings.frames)?)
        })
        .await
    }

    /// Has each frame segmented by a job of its own.
    async fn segment(&self, job: &Job, movie: Array3<f32>) -> anyhow::Result<Outcome> {
        job.enter_stage(Stage::Upload);
        let prefix = format!(
            "{}-{}",
            job.run_id(),
            job.original_name()?.replace(['/', '\\'], "_")
        );
        let movie = Arc::new(movie);
        let scale = job
            .scale()?
            .map(|scale| scale.to_string())
            .unwrap_or_default();
        let frames = (0..movie.dim().0).map(|frame| {
            let (movie, name) = (
                Arc::clone(&movie),
                format!("{prefix}-tracking-frame-{frame}.tif"),
            );
            let scale = scale.clone();
            async move {
                let tiff = compute::run(move || {
                    encode_tiff(movie::single_frame(movie.index_axis(Axis(0), frame)).view())
                });
                let key = format!("output/{name}");
                let url = self.clients.storage.upload(&key, tiff.await.into()).await?;
                // What older and newer segmentation consumers read.
                let fields = [
                    ("channels", "0,,"),
                    ("dimension_order", "XY"),
                    ("scale", &scale),
                    ("model_name", ""),
                    ("model_version", ""),
                    ("preprocess_function", ""),
                    ("postprocess_function", ""),
                ];
                let fields = fields
                    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                    .into();
                let input = ChildInput {
                    key: &key,
                    original_name: &name,
                    url: Some(&url),
                };
                anyhow::Ok(job.child(&self.settings.segmentation_queue, input, fields))
            }
        });
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
        Ok(compute::run(move || movie::stacked_labels(labels, size)).await?)
    }
}

/// The one image of the result of a frame.
fn frame_labels(file: &[u8], limits: &images::Limits) -> anyhow::Result<ArrayD<f32>> {
    let limit = ArchiveLimits {
        entries: 1,
        bytes: limits.max_decoded_bytes,
        ratio: u64::MAX,
    };
    let several = || InvalidInput("the result of a frame is not exactly one image".to_owned());
    let mut file = std::io::Cursor::new(file);
    let mut images = Images::open(&mut file, limit).map_err(|_| several())?;
    let (name, content) = images.read_next(&mut file)?.ok_or_else(several)?;
    Ok(images::decode(&content, &name, limits)?)
}

/// Labels and lineage, and on request the form in which trackers are compared.
fn entries(name: &ResultName, tracked: &Tracked, isbi: bool) -> anyhow::Result<super::Entries> {
    let labels = tracked.labels.mapv(|label| label as f32);
    let mut entries = vec![
        (name.feature(0), encode_tiff(labels.view().into_dyn())),
        (
            "lineage.json".to_owned(),
            tracked.lineage.to_json().into_bytes(),
        ),
    ];
    if isbi {
        entries.push((
            "isbi/res_track.txt".to_owned(),
            tracked.lineage.isbi_text().into_bytes(),
        ));
        let masks = isbi_masks(tracked.labels.view())?;
        let masks = masks.outer_iter().enumerate();
        entries.extend(
            masks.map(|(t, mask)| (format!("isbi/mask{t:03}.tif"), encode_tiff(mask.into_dyn()))),
        );
    }
    Ok(entries)
}
