//! The files of a job: fetched and decoded within the memory that is there.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bioimage::{Container, Header, Limits};
use bytes::Bytes;
use ndarray::{Array4, ArrayD, Axis};

use super::subject::Subject;
use crate::compute;
use crate::error_class::TooLarge;
use crate::memory::{MemoryBudget, Reservation};
use crate::storage::{self, Storage};

/// How long fetching may take, and waiting for memory.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes for each pixel while its labels are read and measured: the file, its values, labels, and runs of them.
const BYTES_OF_LABELS: u64 = 64;

/// Where the files are, and what they may take.
pub(super) struct Sources {
    storage: Storage,
    memory: MemoryBudget,
    /// What of it may be taken: the rest is kept for what was made.
    most_memory: u64,
    limits: Limits,
}

/// What can be seen of a job, and the memory for it.
pub(super) struct Sight {
    /// `[batch, row, column, channel]`.
    pub(super) image: Array4<f32>,
    /// The channels that were worked; none if the job does not say it.
    pub(super) channels: Vec<usize>,
    /// The area of a pixel in square micrometers, if the file tells it.
    pub(super) pixel_area: Option<f64>,
    /// The archive of its result.
    pub(super) result: Option<Bytes>,
    pub(super) limits: Limits,
    _memory: Reservation,
}

/// Files as they are in the bucket.
struct Files {
    input: Bytes,
    header: Header,
    result: Option<Bytes>,
}

impl Sources {
    pub(super) fn new(
        storage: Storage,
        (memory, most_memory): (MemoryBudget, u64),
        most_values: u64,
    ) -> Self {
        let max_decoded_bytes = most_values.saturating_mul(size_of::<f32>() as u64);
        Self {
            storage,
            memory,
            most_memory,
            limits: Limits { max_decoded_bytes },
        }
    }

    /// A file that has no more bytes than these; nothing if it is not there.
    pub(super) async fn small_file(&self, key: &str, most: u64) -> Option<Bytes> {
        let fetch = async {
            let size = self.storage.size(key).await.ok()?;
            match size <= most {
                true => self.storage.download(key).await.ok(),
                false => None,
            }
        };
        tokio::time::timeout(PATIENCE, fetch).await.ok().flatten()
    }

    /// The image of a job, and its result.
    pub(super) async fn fetch(&self, subject: &Subject) -> anyhow::Result<Sight> {
        let fetch = self.fetch_within_memory(subject);
        let fetched = tokio::time::timeout(PATIENCE, fetch).await;
        let (files, memory) = fetched.context("the bucket, or memory, took too long")??;
        let (order, limits) = (subject.order().to_owned(), self.limits);
        let name = subject.input().to_owned();
        let (channels, result) = (subject.channels().to_vec(), files.result);
        let image = compute::run(move || {
            let image = bioimage::decode(&files.input, &name, &limits)?;
            let pixel_area = bioimage::pixel_size(&files.input, &name).map(|[y, x]| y * x);
            drop(files.input);
            let image = in_order(image, &order, &files.header.container)?;
            anyhow::Ok((image, pixel_area))
        });
        let (image, pixel_area) = image.await?;
        Ok(Sight {
            image,
            pixel_area,
            channels,
            result,
            limits,
            _memory: memory,
        })
    }

    /// Fetches the files; if others hold the memory that they take, they are let go, and fetched again when it is there.
    async fn fetch_within_memory(&self, subject: &Subject) -> anyhow::Result<(Files, Reservation)> {
        let mut wanted = self.size(subject.input()).await?;
        if let Some(result) = subject.result() {
            // One that is not there any more takes nothing.
            wanted += self.size(result).await.unwrap_or(0);
        }
        let packed = wanted;
        loop {
            let mut memory = self.memory.reserve(wanted).await?;
            let files = self.files(subject).await?;
            let needed = packed.saturating_add(self.cost(&files.header)?);
            let most = self.most_memory;
            ensure!(
                needed <= most,
                TooLarge(format!(
                    "it takes about {needed} bytes of memory; {most} bytes of MEMORY_BUDGET are for that"
                ))
            );
            if memory.grow(needed)? {
                return Ok((files, memory));
            }
            wanted = needed;
        }
    }

    /// The size of a file that may be looked at.
    async fn size(&self, reference: &str) -> anyhow::Result<u64> {
        let bytes = self.storage.size(reference).await?;
        self.check(bytes, "the file has")?;
        Ok(bytes)
    }

    async fn files(&self, subject: &Subject) -> anyhow::Result<Files> {
        let input = self.storage.download(subject.input()).await?;
        let name = subject.input().to_owned();
        let (header, input) =
            compute::run(move || (bioimage::header_of(&input, &name), input)).await;
        let result = match subject.result() {
            Some(result) => match self.storage.download(result).await {
                Err(storage::Error::NotFound { .. }) => None,
                found => Some(found?),
            },
            None => None,
        };
        Ok(Files {
            input,
            header: header?,
            result,
        })
    }

    /// What all of the work on an image takes beside the files.
    fn cost(&self, header: &Header) -> anyhow::Result<u64> {
        let decoded = header.decoded_bytes();
        self.check(decoded, "the image has, decoded,")?;
        // Axes are moved from one array to another.
        let arrays = header.peak_bytes.max(decoded.saturating_mul(2));
        let pixels = decoded / size_of::<f32>() as u64;
        Ok(arrays.saturating_add(pixels.saturating_mul(BYTES_OF_LABELS)))
    }

    fn check(&self, bytes: u64, what: &str) -> Result<(), TooLarge> {
        let most = self.limits.max_decoded_bytes;
        if bytes <= most {
            return Ok(());
        }
        Err(TooLarge(format!(
            "{what} {bytes} bytes; {most} are looked at (MAX_PREVIEW_PIXELS)"
        )))
    }
}

/// The image `[batch, row, column, channel]`, by the order that the job names or its file implies. Frames of a movie are its
/// batch.
fn in_order(image: ArrayD<f32>, order: &str, container: &Container) -> anyhow::Result<Array4<f32>> {
    if !order.is_empty() {
        return Ok(bioimage::to_bxyc(image, order)?);
    }
    if let Container::Named(names) = container
        && names.len() == image.ndim()
        && let Some(frames) = names.find('T')
    {
        return movie(&image, frames, names);
    }
    Ok(bioimage::to_bxyc_by_file(image, container)?)
}

/// The frames of a movie along this axis, one after the other.
fn movie(image: &ArrayD<f32>, frames: usize, names: &str) -> anyhow::Result<Array4<f32>> {
    let container = Container::Named(names.replace('T', ""));
    let count = image.len_of(Axis(frames));
    let mut movie: Option<Array4<f32>> = None;
    for (at, frame) in image.axis_iter(Axis(frames)).enumerate() {
        let frame = frame.as_standard_layout().into_owned();
        let frame = bioimage::to_bxyc_by_file(frame, &container)?;
        let (items, rows, columns, channels) = frame.dim();
        let movie =
            movie.get_or_insert_with(|| Array4::zeros((count * items, rows, columns, channels)));
        let mut place = movie.slice_axis_mut(Axis(0), (at * items..(at + 1) * items).into());
        place.assign(&frame);
    }
    movie.context("the movie has no frames")
}

/// The image with its frames as a batch, if they were taken for channels: what its labels have for frames tells.
pub(super) fn with_frames(image: Array4<f32>, frames: usize) -> Array4<f32> {
    let (items, _, _, channels) = image.dim();
    if items > 1 || frames <= 1 || channels != frames {
        return image;
    }
    let movie = image.permuted_axes([3, 1, 2, 0]);
    movie.as_standard_layout().into_owned()
}

#[cfg(test)]
mod tests {
    use ndarray::IxDyn;

    use super::*;

    #[test]
    fn frames_of_a_movie_are_a_batch() {
        let movie = ArrayD::from_shape_fn(IxDyn(&[3, 4, 5]), |at| at[0] as f32);
        let named = Container::Named("TYX".to_owned());
        let seen = in_order(movie.clone(), "", &named).expect("a movie");
        assert_eq!(seen.dim(), (3, 4, 5, 1));
        assert_eq!((seen[[0, 3, 4, 0]], seen[[2, 3, 4, 0]]), (0.0, 2.0));
        let channels = in_order(movie, "", &Container::Tiff).expect("channels");
        assert_eq!(channels.dim(), (1, 4, 5, 3));
        assert_eq!(with_frames(channels.clone(), 1), channels);
        assert_eq!(with_frames(channels, 3), seen);

        let movie = ArrayD::from_shape_fn(IxDyn(&[2, 6, 7, 3]), |at| (at[0] * 10 + at[3]) as f32);
        let named = Container::Named("CYXT".to_owned());
        let seen = in_order(movie, "", &named).expect("a movie of two channels");
        assert_eq!(seen.dim(), (3, 6, 7, 2));
        assert_eq!(seen[[2, 0, 0, 1]], 12.0);
    }
}
