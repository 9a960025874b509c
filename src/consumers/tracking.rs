//! Cells of a movie, followed from frame to frame (`CONSUMER_TYPE` `tracking` or `caliban`).
//!
//! The frames of a TIFF movie are segmented by other consumers, as jobs of their own; a track file brings its labels along.

use std::sync::Arc;

use anyhow::bail;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array3, ArrayD, Axis};

use super::model;
use crate::applications::TensorModel;
use crate::applications::cell_tracking::{
    self, BirthDeathCost, CropMode, CropOptions, Tracked, Tracker, isbi_masks,
};
use crate::compute;
use crate::consumer::{Clients, Consumer, Kind, ModelNeed, Outcome};
use crate::consumers::output::ResultName;
use crate::failure::InvalidInput;
use crate::job::{Child, ChildInput, Children, Family, Job, Stage, Status};
use crate::serving::ModelId;
use crate::settings::Reader;
use crate::storage::archive::{ArchiveLimits, Images};
use bioimage::{FrameLimits, TrackFile, encode_tiff, time_lapse};

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
    configure: |reader| {
        let settings = Arc::new(TrackingSettings::load(reader));
        Box::new(|clients| {
            Box::new(Tracking {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

/// Models, tracker and limits of the tracking consumer.
#[derive(Debug)]
pub struct TrackingSettings {
    encoder: ModelId,
    inference: ModelId,
    tracker: Tracker,
    frames: FrameLimits,
    decoding: bioimage::Limits,
    segmentation_queue: String,
    isbi: bool,
}

impl TrackingSettings {
    /// Reads `CALIBAN_MODEL`, `NEIGHBORHOOD_ENCODER`, `MAX_DISTANCE` and the like.
    pub fn load(reader: &mut Reader<'_>) -> Self {
        let older = model(
            reader,
            "TRACKING_MODEL",
            "NuclearTrackingInf:6",
            "older name of CALIBAN_MODEL",
        );
        let default = Tracker::default();
        let tracker = Tracker {
            appearance: CropOptions {
                side: reader.parsed(
                    "APPEARANCE_DIM",
                    default.appearance.side,
                    "side of a cell's picture, pixels",
                ),
                crop: reader.parsed::<CropMode>(
                    "CROP_MODE",
                    default.appearance.crop,
                    "how it is cut out: resize or fixed",
                ),
                norm: reader.flag(
                    "CALIBAN_NORM",
                    default.appearance.norm,
                    "normalise fixed pictures",
                ),
            },
            max_distance: reader.parsed(
                "MAX_DISTANCE",
                default.max_distance,
                "pixels between neighbours, at most",
            ),
            track_length: reader.parsed(
                "TRACK_LENGTH",
                default.track_length,
                "observations of a track that are compared",
            ),
            borders: BirthDeathCost {
                birth: reader.parsed(
                    "BIRTH",
                    default.borders.birth,
                    "cost of a cell without a track",
                ),
                death: reader.parsed(
                    "DEATH",
                    default.borders.death,
                    "cost of a track without a cell",
                ),
            },
            division: reader.parsed(
                "DIVISION",
                default.division,
                "probability from which a new cell is a daughter",
            ),
        };
        if let Err(message) = tracker.check() {
            reader.problem("APPEARANCE_DIM, CROP_MODE, TRACK_LENGTH", message);
        }
        let most = reader.parsed("MAX_IMAGE_FRAMES", 60, "most frames of a movie");
        let max_decoded_bytes =
            reader.bytes("MAX_DECODED_BYTES", 2 << 30, "largest decoded movie, bytes");
        Self {
            encoder: model(
                reader,
                "NEIGHBORHOOD_ENCODER",
                "NuclearTrackingNE:6",
                "model that describes cells",
            ),
            inference: reader.parsed(
                "CALIBAN_MODEL",
                older,
                "model that compares cells (default TRACKING_MODEL)",
            ),
            tracker,
            // Requests to the models are cut to size, so that only the movie itself is limited.
            frames: FrameLimits {
                batch: usize::MAX,
                movie: most,
            },
            decoding: bioimage::Limits { max_decoded_bytes },
            segmentation_queue: reader
                .text(
                    "SEGMENTATION_QUEUE",
                    "predict",
                    "queue that the frames of a movie go to",
                )
                .to_lowercase(),
            isbi: reader.flag(
                "ISBI_OUTPUT",
                false,
                "also write res_track.txt and masks (Cell Tracking Challenge)",
            ),
        }
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
            let image = bioimage::decode(&file, &name, &settings.decoding)?;
            Ok(time_lapse::movie(image, &settings.frames)?)
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
                    encode_tiff(time_lapse::single_frame(movie.index_axis(Axis(0), frame)).view())
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
    let several = || InvalidInput("the result of a frame is not exactly one image".to_owned());
    let mut file = std::io::Cursor::new(file);
    let mut images = Images::open(&mut file, limit).map_err(|_| several())?;
    let (name, content) = images.read_next(&mut file)?.ok_or_else(several)?;
    Ok(bioimage::decode(&content, &name, limits)?)
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
