//! The files of a job: fetched and decoded within the memory that is there.

use std::time::Duration;

use anyhow::Context as _;
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
    limits: Limits,
}

/// What can be seen of a job, and the memory for it.
pub(super) struct Sight {
    /// `[batch, row, column, channel]`.
    pub(super) image: Array4<f32>,
    /// The channels that were worked; none if the job does not say it.
    pub(super) channels: Vec<usize>,
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
    pub(super) fn new(storage: Storage, memory: MemoryBudget, most_values: u64) -> Self {
        let max_decoded_bytes = most_values.saturating_mul(size_of::<f32>() as u64);
        Self {
            storage,
            memory,
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
            drop(files.input);
            in_order(image, &order, &files.header.container)
        });
        Ok(Sight {
            image: image.await?,
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

/// The image `[batch, row, column, channel]`, by the order that the job names or its file implies. Of a movie it is the first
/// frame.
fn in_order(image: ArrayD<f32>, order: &str, container: &Container) -> anyhow::Result<Array4<f32>> {
    if !order.is_empty() {
        return Ok(bioimage::to_bxyc(image, order)?);
    }
    if let Container::Named(names) = container
        && names.len() == image.ndim()
        && let Some(frames) = names.find('T')
    {
        let first = image
            .index_axis(Axis(frames), 0)
            .as_standard_layout()
            .into_owned();
        let container = Container::Named(names.replace('T', ""));
        return Ok(bioimage::to_bxyc_by_file(first, &container)?);
    }
    Ok(bioimage::to_bxyc_by_file(image, container)?)
}

#[cfg(test)]
mod tests {
    use ndarray::IxDyn;

    use super::*;

    #[test]
    fn of_a_movie_the_first_frame_is_seen() {
        let movie = ArrayD::from_shape_fn(IxDyn(&[3, 4, 5]), |at| at[0] as f32);
        let named = Container::Named("TYX".to_owned());
        let seen = in_order(movie.clone(), "", &named).expect("a movie");
        assert_eq!(seen.dim(), (1, 4, 5, 1));
        assert!(seen.iter().all(|value| *value == 0.0));
        let seen = in_order(movie, "", &Container::Tiff).expect("channels");
        assert_eq!(seen.dim(), (1, 4, 5, 3));
    }
}
