//! The input of a job: fetched and decoded within the memory that all jobs share.

use bytes::Bytes;
use ndarray::ArrayD;

use super::limits::Limits;
use super::memory;
use crate::compute;
use crate::consumer::Clients;
use crate::job::{Job, Step};
use crate::memory::Reservation;
use bioimage::{Container, Header};

/// Bytes at the peak of a segmentation for each byte of the decoded image: the heads, or what the watershed needs, beside
/// the image itself.
const PEAK: f64 = 3.5;

/// Bytes of tiles and answers under way.
const UNDER_WAY: u64 = 16 << 20;

/// A file, and the memory set aside for the work on it.
pub(super) struct Input {
    file: Bytes,
    name: String,
    scale: Option<f64>,
    /// What the file's header says, if it can be read.
    header: Option<Header>,
    memory: Reservation,
}

/// A decoded image.
pub(super) struct Decoded {
    pub(super) image: ArrayD<f32>,
    /// What the file says of the axes.
    pub(super) container: Container,
    /// The scale that the job asks for, within its limits.
    pub(super) scale: Option<f64>,
    /// The largest value that the type of the file's pixels has, if they are integers.
    pub(super) type_maximum: Option<f32>,
    /// To be kept as long as the work goes on.
    pub(super) memory: Reservation,
}

impl Input {
    /// Fetches the file of a job as soon as there is memory for all of its work, which shows only in the file.
    ///
    /// # Errors
    ///
    /// A scale out of its limits, a file that cannot be fetched, and work that no budget allows.
    pub(super) async fn fetch(
        job: &Job,
        limits: &Limits,
        clients: &Clients,
    ) -> anyhow::Result<Self> {
        let reference = job.input_file_name()?;
        let scale = job.scale()?;
        let scale = scale.map(|scale| limits.check_scale(scale)).transpose()?;
        let guess = memory::size(clients, reference).await?;
        let fetch = || async {
            let file = clients.storage.download(reference).await?;
            let name = reference.to_owned();
            // A header may be long.
            let (header, file) =
                compute::run(move || (bioimage::header_of(&file, &name).ok(), file)).await;
            let needed = peak_bytes(file.len(), header.as_ref(), scale);
            Ok((needed, (file, header)))
        };
        let ((file, header), memory) = memory::fetch_within(job, clients, guess, fetch).await?;
        Ok(Self {
            file,
            name: reference.to_owned(),
            scale,
            header,
            memory,
        })
    }

    /// The image in the file. Lets the file go.
    pub(super) async fn decode(self, job: &Job, limits: &Limits) -> anyhow::Result<Decoded> {
        let Self {
            file,
            name,
            scale,
            header,
            memory,
        } = self;
        let limits = limits.of_decoding();
        if let Some(header) = &header {
            compute::expect(pixels(header, scale));
        }
        job.step(Step::Decode);
        let image = compute::run(move || bioimage::decode(&file, &name, &limits)).await?;
        job.record_pixels(image.len());
        job.step(Step::Prepare);
        Ok(Decoded {
            image,
            type_maximum: header.as_ref().and_then(Header::largest_sample),
            container: header.map_or(Container::Other, |header| header.container),
            scale,
            memory,
        })
    }
}

/// Pixels that are worked, as [`worked_bytes`].
fn pixels(header: &Header, scale: Option<f64>) -> u64 {
    (worked_bytes(header, scale) / size_of::<f32>() as f64) as u64
}

/// Bytes of the image or, if it is larger, of the one that the model sees.
fn worked_bytes(header: &Header, scale: Option<f64>) -> f64 {
    let scale = scale.unwrap_or(1.0).max(1.0);
    header.decoded_bytes() as f64 * scale * scale
}

/// What the work on a file of so many bytes takes at its peak; no more than the file if it cannot be read.
fn peak_bytes(file_bytes: usize, header: Option<&Header>, scale: Option<f64>) -> u64 {
    let work = header.map_or(0, |header| {
        let segmentation = (worked_bytes(header, scale) * PEAK) as u64;
        // Decoding comes first, and is over before the work begins.
        segmentation
            .max(header.peak_bytes)
            .saturating_add(UNDER_WAY)
    });
    (file_bytes as u64).saturating_add(work)
}
