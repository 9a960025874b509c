//! Cells of a movie, followed from frame to frame (`CONSUMER_TYPE` `tracking` or `caliban`).
//!
//! The frames of a TIFF movie are segmented by other consumers, as jobs of their own; a track file brings its labels along.

mod frames;
mod gathered;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use batch_plan::Manifest;
use bytes::Bytes;
use ndarray::{Array3, ArrayD, Axis, Ix4};

pub use self::settings::TrackingSettings;
use super::memory;
use super::preview::Preview;
use super::recipe;
use crate::applications::cell_tracking::{self, Tracked};
use crate::applications::{TensorModel, TrackingModels};
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, ModelRequirement, Outcome};
use crate::consumers::output::ResultName;
use crate::job::{ChildState, Job, Step};
use crate::memory::Reservation;
use bioimage::trk::unpacking_bytes;
use bioimage::{TrackFile, encode_tiff, time_lapse};

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
        match Manifest::is_at(reference) {
            true => self.gathered(job, reference).await,
            false => self.of_file(job, reference).await,
        }
    }

    /// The same of a list of frames.
    async fn gathered(&self, job: &Job, list: &str) -> anyhow::Result<(Input, Reservation)> {
        let mut guess = 0;
        loop {
            let (labeled, mut memory) = self.gather(job, list, guess).await?;
            let (needed, input) = self.bytes_to_track(Input::Labeled(labeled)).await;
            if memory.grow(needed)? {
                return Ok((input, memory));
            }
            guess = needed;
        }
    }

    /// The same of a movie or a track file.
    async fn of_file(&self, job: &Job, reference: &str) -> anyhow::Result<(Input, Reservation)> {
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
