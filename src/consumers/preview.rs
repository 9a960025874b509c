//! Previews of results and numbers of their quality, for lists of jobs.
//!
//! Of an image only little is kept until its cells are known: a small picture, and a sample of its pixels. What goes wrong here
//! is logged, and nothing else comes of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ndarray::{Array4, ArrayView2, Axis};
use tracing::warn;

use crate::compute;
use crate::job::Job;
use crate::settings::{Loader, Switch};
use crate::storage::Storage;
use cell_analysis::quality::{ImageQuality, Quality};
use cell_pictures::Thumbnail;

/// How long a preview may take to be stored.
const PATIENCE: Duration = Duration::from_secs(20);

crate::settings! {
    /// Pictures of results.
    struct PreviewVariables {
        /// Store a small picture beside each result of cells or spots, and write numbers of its quality to the job's hash.
        previews: Switch = Switch(false),
    }
}

/// Whether results have previews.
#[derive(Clone, Copy, Debug)]
pub(super) struct Previews(bool);

impl Previews {
    /// Loads `PREVIEWS`.
    pub(super) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: PreviewVariables = loader.load();
        Self(variables.previews.0)
    }

    /// The preview of a job, before anything is known of it.
    pub(super) fn begin(self) -> Preview {
        Preview(self.0.then(Arc::default))
    }

    /// The preview of a job whose images are `[batch, row, column, channel]`, and the images themselves. The first one is looked
    /// at, on a thread that may be busy: of the chosen channels, or else of all, at most three are shown and the first is judged.
    pub(super) async fn see(
        self,
        batch: Array4<f32>,
        chosen: Option<&[usize]>,
        type_maximum: Option<f32>,
    ) -> (Preview, Array4<f32>) {
        let preview = self.begin();
        if !preview.is_wanted() || batch.is_empty() {
            return (preview, batch);
        }
        let chosen = chosen.map(<[usize]>::to_vec);
        compute::run(move || {
            let first = batch.index_axis(Axis(0), 0);
            let mut channels: Vec<_> = first.axis_iter(Axis(2)).collect();
            if let Some(chosen) = chosen {
                // One that is missing is told where it is needed.
                let found = chosen.iter().filter_map(|&channel| channels.get(channel));
                channels = found.copied().collect();
            }
            preview.see_channels(&channels, type_maximum);
            (preview, batch)
        })
        .await
    }
}

/// The preview of a job's result: the first image of its batch, and what is found in it first. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Preview(Option<Arc<Mutex<Stage>>>);

/// How far a preview is.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Nothing,
    /// The image was seen.
    Seen(Box<Glance>),
    /// The picture, and the quality as JSON if there are cells to judge.
    Made(Vec<u8>, Option<String>),
}

/// What is kept of an image.
#[derive(Debug)]
struct Glance {
    thumbnail: Thumbnail,
    quality: ImageQuality,
}

impl Preview {
    /// None, whatever the settings.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Whether anything comes of what it is shown.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Looks at the channels `[row, column]` of an image; one that was seen before stays.
    pub(super) fn see_channels(&self, channels: &[ArrayView2<'_, f32>], type_maximum: Option<f32>) {
        let Some(mut stage) = self
            .stage()
            .filter(|stage| matches!(**stage, Stage::Nothing))
        else {
            return;
        };
        let seen = channels.first().zip(Thumbnail::new(channels));
        if let Some((judged, thumbnail)) = seen {
            let quality = ImageQuality::of(judged.view(), type_maximum);
            *stage = Stage::Seen(Box::new(Glance { thumbnail, quality }));
        }
    }

    /// Draws and judges the labels of the image, `[row, column]`. Those of the first call count.
    pub(super) fn show_labels(&self, labels: ArrayView2<'_, u32>) {
        self.make(|glance| {
            if glance.thumbnail.shape() != labels.dim() {
                let (image, labels) = (glance.thumbnail.shape(), labels.dim());
                warn!(
                    ?image,
                    ?labels,
                    "no preview: the labels have another shape than the image"
                );
                return None;
            }
            let quality = Quality::of(labels, &glance.quality).to_json();
            Some((glance.thumbnail.with_outlines(labels), Some(quality)))
        });
    }

    /// The same for labels in floats. A plane that holds something else shows the image only.
    pub(super) fn show_values(&self, values: ArrayView2<'_, f32>) {
        // Labels beyond 2^24 are not written as floats.
        if !self.is_wanted() {
            return;
        }
        let is_label = |value: &f32| (0.0..16_777_217.0).contains(value) && value.fract() == 0.0;
        if values.iter().all(is_label) {
            self.show_labels(values.mapv(|value| value as u32).view());
        } else {
            self.make(|glance| Some((glance.thumbnail.preview(), None)));
        }
    }

    /// Draws spots, given in rows and columns of the image.
    pub(super) fn show_spots(&self, spots: &[[f64; 2]]) {
        self.make(|glance| Some((glance.thumbnail.with_spots(spots), None)));
    }

    fn make(&self, draw: impl FnOnce(&Glance) -> Option<(Vec<u8>, Option<String>)>) {
        let Some(mut stage) = self.stage() else {
            return;
        };
        if let Stage::Seen(glance) = &*stage {
            let made = draw(glance);
            *stage = made.map_or(Stage::Nothing, |(picture, quality)| {
                Stage::Made(picture, quality)
            });
        }
    }

    /// Stores the picture, and gives the numbers to the job.
    pub(super) async fn store(&self, job: &Job, storage: &Storage) {
        let made = self.stage().map(|mut stage| std::mem::take(&mut *stage));
        let Some(Stage::Made(picture, quality)) = made else {
            return;
        };
        if let Some(quality) = quality {
            job.record_quality(quality);
        }
        let key = job.preview_key();
        let upload = storage.upload(&key, picture.into());
        match tokio::time::timeout(PATIENCE, upload).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(%key, %error, "the preview could not be stored"),
            Err(_) => warn!(%key, "the preview could not be stored in time"),
        }
    }

    fn stage(&self) -> Option<MutexGuard<'_, Stage>> {
        let stage = self.0.as_ref()?;
        Some(stage.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
