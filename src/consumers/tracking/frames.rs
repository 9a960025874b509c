//! Frames of a movie that other consumers segment, as jobs of their own.

use std::sync::Arc;

use anyhow::bail;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array3, ArrayD, Axis};

use super::{Labeled, SEGMENTED, TRANSFERS, Tracking};
use crate::compute;
use crate::consumer::Outcome;
use crate::error_class::InvalidInput;
use crate::job::{Child, ChildInput, ChildSpec, Children, Job, Status, Step};
use crate::storage::archive::{ArchiveLimits, ZipImages};
use bioimage::{encode_tiff, time_lapse};

impl Tracking {
    /// Has each frame segmented by a job of its own.
    pub(super) async fn segment(&self, job: &Job, movie: Array3<f32>) -> anyhow::Result<Outcome> {
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

    /// A movie with the labels that the jobs of its frames have found.
    pub(super) async fn collect_labels(
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
}

/// The one image of the result of a frame.
pub(super) fn frame_labels(file: &[u8], limits: &bioimage::Limits) -> anyhow::Result<ArrayD<f32>> {
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
