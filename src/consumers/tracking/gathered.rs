//! Movies whose frames were segmented one by one, as items of a batch: a manifest names frames and labels in their order.

use batch_plan::{ItemState, Manifest, ManifestItem};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array3, ArrayD, Axis, Ix2};

use super::frames::frame_labels;
use super::{COPIES, Labeled, SEGMENTED, TRANSFERS, Tracking};
use crate::compute;
use crate::consumers::memory;
use crate::error_class::InvalidInput;
use crate::job::{Job, Step};
use crate::memory::Reservation;
use bioimage::time_lapse;

impl Tracking {
    /// Fetches the frames of a movie with their labels, as soon as there is memory for all of them, and `least` bytes.
    pub(super) async fn gather(
        &self,
        job: &Job,
        reference: &str,
        least: u64,
    ) -> anyhow::Result<(Labeled, Reservation)> {
        job.step(Step::Download);
        let text = self.clients.storage.download(reference).await?;
        let manifest = compute::run(move || Manifest::read(&text)).await;
        let manifest = manifest.map_err(|why| {
            InvalidInput(format!("the manifest `{reference}` cannot be used: {why}"))
        })?;
        let frames = self.frames_of(manifest)?;
        let mut bytes = 0;
        for frame in &frames {
            bytes += memory::size(&self.clients, &frame.0).await?;
        }
        let guess = memory::reserve(job, &self.clients, bytes).await?;
        let first = self.frame(frames[0].0.clone()).await?;
        let movie = (first.len() * size_of::<f32>() * frames.len()) as u64;
        drop(guess);
        let wanted = movie.saturating_mul(COPIES).max(least);
        let memory = memory::reserve(job, &self.clients, wanted).await?;
        let size = [first.shape()[0], first.shape()[1]];
        let images: Vec<_> = frames
            .iter()
            .map(|(input, _)| self.frame(input.clone()))
            .collect();
        let images: Vec<_> = stream::iter(images)
            .buffered(TRANSFERS)
            .try_collect()
            .await?;
        let labels = frames.into_iter().map(|(_, result)| async move {
            let limits = self.settings.decoding;
            let file = self.clients.storage.download(&result).await?;
            compute::run(move || frame_labels(&file, &limits)).await
        });
        let labels: Vec<ArrayD<f32>> = stream::iter(labels)
            .buffered(TRANSFERS)
            .try_collect()
            .await?;
        let (movie, labels) = compute::run(move || {
            let movie = stacked(&images, size)?;
            anyhow::Ok((movie, time_lapse::stacked_labels(labels, size)?))
        })
        .await?;
        let labeled = Labeled {
            movie: movie.insert_axis(Axis(3)).into_dyn(),
            labels: labels.insert_axis(Axis(3)).into_dyn(),
            progress: SEGMENTED,
        };
        Ok((labeled, memory))
    }

    /// Image and result of each frame that has one; an error if too many have none.
    fn frames_of(&self, manifest: Manifest) -> anyhow::Result<Vec<(String, String)>> {
        let (mut frames, mut missing) = (Vec::new(), Vec::new());
        for item in manifest.items {
            match item {
                ManifestItem {
                    input: Some(input),
                    result: Some(result),
                    state: ItemState::Done,
                    ..
                } => frames.push((input, result)),
                ManifestItem { id, .. } => missing.push(id),
            }
        }
        if missing.len() > self.settings.max_gaps {
            let text = format!(
                "{} frames have no labels, {} may be missing (MAX_GAPS): {}",
                missing.len(),
                self.settings.max_gaps,
                missing
                    .iter()
                    .take(5)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            return Err(InvalidInput(text).into());
        }
        let (count, most) = (frames.len(), self.settings.frames.movie);
        if count == 0 || count > most {
            let text = format!("the movie has {count} frames, and 1 to {most} can be tracked");
            return Err(InvalidInput(text).into());
        }
        Ok(frames)
    }

    /// An image `[row, column]`.
    async fn frame(&self, name: String) -> anyhow::Result<ArrayD<f32>> {
        let file: Bytes = self.clients.storage.download(&name).await?;
        let limits = self.settings.decoding;
        compute::run(move || {
            let image = bioimage::decode(&file, &name, &limits)?;
            let long: Vec<_> = image
                .shape()
                .iter()
                .filter(|len| **len > 1)
                .copied()
                .collect();
            // An image may have one row, or one column.
            let shape: [usize; 2] = match (image.ndim(), &long[..]) {
                (2, _) => [image.shape()[0], image.shape()[1]],
                (_, [rows, columns]) => [*rows, *columns],
                _ => {
                    let text = format!(
                        "the frame `{name}` has the shape {:?}, and is to be one plane",
                        image.shape()
                    );
                    return Err(InvalidInput(text).into());
                }
            };
            Ok(image.into_shape_with_order(shape)?.into_dyn())
        })
        .await
    }
}

/// A movie `[frame, row, column]` of images of this size.
fn stacked(images: &[ArrayD<f32>], [rows, columns]: [usize; 2]) -> anyhow::Result<Array3<f32>> {
    let mut movie = Array3::zeros((images.len(), rows, columns));
    for (frame, image) in images.iter().enumerate() {
        let image = image.view().into_dimensionality::<Ix2>()?;
        if image.dim() != (rows, columns) {
            let text = format!(
                "frame {frame} has {:?} rows and columns, and the first has {:?}",
                image.dim(),
                (rows, columns)
            );
            return Err(InvalidInput(text).into());
        }
        movie.index_axis_mut(Axis(0), frame).assign(&image);
    }
    Ok(movie)
}
