//! Spots and the cells they lie in (`CONSUMER_TYPE` `polaris`): the parts of one image are worked by other consumers.

use std::collections::HashMap;
use std::io::{Cursor, Read, Seek};
use std::sync::Arc;

use anyhow::{anyhow, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array2, Array4, ArrayD, ArrayView3, Axis, Ix2, Ix3, concatenate, stack};

use super::limits;
use super::memory;
use super::preview::Preview;
use super::recipe::{self, Entries};
use crate::applications::spots::cells_of_spots;
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, Outcome};
use crate::consumers::output::ResultName;
use crate::error_class::InvalidInput;
use crate::job::{Child, ChildInput, ChildSpec, ChildState, Children, Job, Status, Step};
use crate::memory::Reservation;
use crate::settings::Loader;
use crate::storage::archive::{ArchiveError, ArchiveLimits, ZipImages};
use bioimage::{Header, encode_tiff, npy, spot_csv};

/// Queues of the parts, as other consumers have them.
const SPOT: &str = "spot";
const SEGMENTATION: &str = "segmentation";
const MESMER: &str = "mesmer";

/// Results that are fetched at the same time.
const TRANSFERS: usize = 4;

/// Planes of the image that are in memory beside it, at most: the parts, what the largest is put together from, and its file.
const MOST_PLANES: u64 = 6;

/// Bytes at the peak for each byte of the results' files: these, the images in them, the same put together twice, and the
/// files and the archive of the result.
const COPIES: u64 = 6;

/// Finds spots and the cells they lie in.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "polaris",
    aliases: &[],
    summary: "finds spots and the cells they lie in, through jobs for other consumers",
    queue_suffix: "",
    configure: |loader| {
        let settings = Arc::new(PolarisSettings::load(loader));
        Box::new(|clients| {
            Box::new(Polaris {
                settings,
                clients: clients.clone(),
            })
        })
    },
};

crate::settings! {
    /// Spots and the cells they lie in.
    struct PolarisVariables {
        /// Scale of the jobs that segment cells.
        polaris_scale: f64 = 0.38,
    }
}

/// Scale and limits of the polaris consumer.
#[derive(Debug)]
pub struct PolarisSettings {
    scale: f64,
    decoding: bioimage::Limits,
}

impl PolarisSettings {
    /// Loads `POLARIS_SCALE` and the like.
    pub fn load(loader: &mut Loader<'_>) -> Self {
        let PolarisVariables { polaris_scale } = loader.load();
        Self {
            scale: polaris_scale,
            decoding: limits::decoding(loader),
        }
    }
}

struct Polaris {
    settings: Arc<PolarisSettings>,
    clients: Clients,
}

/// A part of the image, and which job works it.
struct Part {
    queue: &'static str,
    /// Tells two parts of one queue apart.
    name: &'static str,
    channels: &'static str,
    image: ArrayD<f32>,
}

#[async_trait]
impl Consumer for Polaris {
    fn check(&self, job: &Job) -> anyhow::Result<()> {
        recipe::refuse_archives(job)
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        if let ChildState::Finished(children) = job.children().await? {
            return self.collect(job, &children).await;
        }
        let (image, _memory) = self.image(job).await?;
        job.record_pixels(image.len());
        let (channels, kind) = (
            job.channel_positions()?,
            job.segmentation_type()?.to_owned(),
        );
        let parts = compute::run(move || parts(&image, &channels, &kind)).await?;
        job.step(Step::Store);
        let mut children = Vec::new();
        for part in parts {
            children.push(self.child(job, part).await?);
        }
        Ok(Outcome::Wait(
            Children::new(children, Status::Predicting).failing_fast(),
        ))
    }
}

impl Polaris {
    /// The image of a job, as soon as there is memory for it and its parts.
    async fn image(&self, job: &Job) -> anyhow::Result<(ArrayD<f32>, Reservation)> {
        let reference = job.input_file_name()?;
        let limits = self.settings.decoding;
        let guess = memory::size(&self.clients, reference).await?;
        let fetch = || async {
            job.step(Step::Download);
            let file = self.clients.storage.download(reference).await?;
            job.step(Step::Decode);
            let name = reference.to_owned();
            Ok(compute::run(move || {
                let header = bioimage::header_of(&file, &name).ok();
                (bytes_of_parts(file.len(), header.as_ref()), file)
            })
            .await)
        };
        let (file, memory) = memory::fetch_within(job, &self.clients, guess, fetch).await?;
        let name = reference.to_owned();
        let image = compute::run(move || bioimage::decode(&file, &name, &limits)).await?;
        Ok((image, memory))
    }

    /// The files that the jobs of the parts have found, by their queues: spots, nuclei, cytoplasm.
    async fn results(
        &self,
        job: &Job,
        children: &[Child],
    ) -> anyhow::Result<(Vec<(String, Entries)>, Reservation)> {
        let found: Vec<_> = children
            .iter()
            .filter_map(|child| Some((child.queue(), child.result().ok()?)))
            .collect();
        let mut guess = 0;
        for (_, key) in &found {
            guess += memory::size(&self.clients, key).await?;
        }
        let limits = self.settings.decoding;
        let fetch = || async {
            let downloads = found.clone().into_iter().map(|(queue, key)| async move {
                let file = self.clients.storage.download(&key).await?;
                anyhow::Ok((queue, file))
            });
            // In the order in which they were created.
            let files: Vec<(String, Bytes)> = stream::iter(downloads)
                .buffered(TRANSFERS)
                .try_collect()
                .await?;
            let (needed, files) =
                compute::run(move || (bytes_of_results(&files, &limits), files)).await;
            Ok((needed?, files))
        };
        let (files, memory) = memory::fetch_within(job, &self.clients, guess, fetch).await?;
        let results = compute::run(move || unpack_all(files, &limits)).await?;
        Ok((results, memory))
    }

    async fn child(&self, job: &Job, part: Part) -> anyhow::Result<ChildSpec> {
        let original = job.original_name()?.replace(['/', '\\'], "_");
        let name = format!(
            "{}-{original}-{}{}-image.tif",
            job.stable_id(),
            part.queue,
            part.name
        );
        let image = part.image;
        let tiff = compute::run(move || encode_tiff(image.view())).await;
        let key = format!("output/{name}");
        let url = self.clients.storage.upload(&key, tiff.into()).await?;
        let scale = self.settings.scale.to_string();
        let fields = [
            ("channels", part.channels),
            ("scale", &scale),
            ("dimension_order", "BXY"),
        ];
        let fields = fields
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .into();
        let input = ChildInput {
            key: &key,
            original_name: &name,
            url: Some(&url),
        };
        Ok(job.child(part.queue, input, fields))
    }

    async fn collect(&self, job: &Job, children: &[Child]) -> anyhow::Result<Outcome> {
        let failed = children.iter().filter(|child| child.has_failed());
        for child in failed.chain(children) {
            if let Err(failed) = child.result() {
                bail!(
                    "Analysis failed for image with hash: {} for this reason: {}",
                    child.key,
                    failed.reason
                );
            }
        }
        job.step(Step::Fetch);
        let (results, _memory) = self.results(job, children).await?;

        let limits = self.settings.decoding;
        job.step(Step::Upload);
        let name = ResultName::new(job.original_name()?);
        job.step(Step::Encode);
        let entries = compute::run(move || entries(&name, results, &limits)).await?;
        // Its images are those of its children, which have previews of their own.
        let preview = Preview::none();
        recipe::store(job, &self.clients.storage, entries, &preview).await
    }
}

/// What each other consumer is to work: `channels` are the positions of spots, nuclei and cytoplasm.
fn parts(image: &ArrayD<f32>, channels: &[Option<usize>], kind: &str) -> anyhow::Result<Vec<Part>> {
    let available = image.shape().last().copied().unwrap_or(0);
    let declared: Vec<_> = channels.iter().flatten().collect();
    ensure!(
        declared.len() <= available && declared.iter().all(|&&channel| channel < available),
        InvalidInput(format!(
            "Input image has {available} channels but {} channels were specified for segmentation",
            declared.len()
        ))
    );
    let channels = Channels { image, channels };
    let mut parts = vec![Part {
        queue: SPOT,
        name: "",
        channels: "",
        image: channels.plane(channels.at(0).unwrap_or(0)),
    }];
    match kind {
        "" | "none" => {}
        "cell culture" => parts.extend(channels.cells_in_culture()),
        "tissue" => parts.push(channels.cells_in_tissue()?),
        other => bail!(InvalidInput(format!(
            "segmentation_type `{other}` is none of none, cell culture, tissue"
        ))),
    }
    Ok(parts)
}

/// An image with its channels last, and what a job says of them.
struct Channels<'a> {
    image: &'a ArrayD<f32>,
    channels: &'a [Option<usize>],
}

impl Channels<'_> {
    /// The channel at a position of the job's list.
    fn at(&self, position: usize) -> Option<usize> {
        self.channels.get(position).copied().flatten()
    }

    fn plane(&self, channel: usize) -> ArrayD<f32> {
        let last = Axis(self.image.ndim() - 1);
        self.image.index_axis(last, channel).to_owned()
    }

    /// Nuclei and cytoplasm, each for a job of its own, as far as they are named.
    fn cells_in_culture(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for (position, name, channels) in [(1, "-nuclear", "0,"), (2, "-cytoplasm", ",0")] {
            let Some(channel) = self.at(position) else {
                continue;
            };
            let plane = self.plane(channel);
            let is_batch = plane.ndim() > 2;
            parts.push(Part {
                queue: SEGMENTATION,
                name,
                channels,
                image: if is_batch {
                    plane
                } else {
                    plane.insert_axis(Axis(0))
                },
            });
        }
        parts
    }

    /// Nuclei and membranes, as two channels of one image.
    fn cells_in_tissue(&self) -> anyhow::Result<Part> {
        let both = self.at(1).zip(self.at(2)).ok_or_else(|| {
            InvalidInput(
                "tissue needs a nuclear and a membrane channel: `channels` names them after the spots'".to_owned(),
            )
        })?;
        let (nuclei, membranes) = (self.plane(both.0), self.plane(both.1));
        let image = stack(Axis(nuclei.ndim()), &[nuclei.view(), membranes.view()])?;
        Ok(Part {
            queue: MESMER,
            name: "",
            channels: "",
            image,
        })
    }
}

/// Bytes that an image, its parts and the file of one of them take; no more than its file if it cannot be read.
fn bytes_of_parts(file_bytes: usize, header: Option<&Header>) -> u64 {
    let work = header.map_or(0, |header| {
        let image = header.decoded_bytes();
        // An image of rows and columns alone is one plane.
        let channels = match header.shape.as_slice() {
            [_, _, .., channels] => (*channels).max(1) as u64,
            _ => 1,
        };
        let parts = image.saturating_add((image / channels).saturating_mul(MOST_PLANES));
        // Decoding is over before the parts are made.
        parts.max(header.peak_bytes)
    });
    (file_bytes as u64).saturating_add(work)
}

/// Bytes that these archives, and what is made of their files, take.
fn bytes_of_results(files: &[(String, Bytes)], limits: &bioimage::Limits) -> anyhow::Result<u64> {
    let mut bytes = 0_u64;
    for (_, file) in files {
        let unpacked = open(&mut Cursor::new(file), limits)?.unpacked();
        bytes = bytes
            .saturating_add(file.len() as u64)
            .saturating_add(unpacked.saturating_mul(COPIES));
    }
    Ok(bytes)
}

fn open(
    file: &mut (impl Read + Seek),
    limits: &bioimage::Limits,
) -> Result<ZipImages, ArchiveError> {
    let limits = ArchiveLimits {
        entries: usize::MAX,
        bytes: limits.max_decoded_bytes,
        ratio: u64::MAX,
    };
    ZipImages::open(file, limits)
}

fn unpack_all(
    files: Vec<(String, Bytes)>,
    limits: &bioimage::Limits,
) -> anyhow::Result<Vec<(String, Entries)>> {
    let unpacked = files
        .into_iter()
        .map(|(queue, file)| anyhow::Ok((queue, unpack(&file, limits)?)));
    unpacked.collect()
}

fn unpack(file: &[u8], limits: &bioimage::Limits) -> anyhow::Result<Entries> {
    let mut file = Cursor::new(file);
    let mut images = open(&mut file, limits)?;
    let mut files = Vec::new();
    while let Some(image) = images.read_next(&mut file)? {
        files.push(image);
    }
    Ok(files)
}

/// For each batch item its labels, if there are any, and the table of its spots.
fn entries(
    name: &ResultName,
    results: Vec<(String, Entries)>,
    limits: &bioimage::Limits,
) -> anyhow::Result<Entries> {
    let mut by_queue: HashMap<String, Vec<Entries>> = HashMap::new();
    for (queue, files) in results {
        by_queue.entry(queue).or_default().push(files);
    }
    let spots = by_queue.remove(SPOT).unwrap_or_default();
    let points: Vec<_> = spots
        .iter()
        .flatten()
        .filter(|(name, _)| name.ends_with(".npy"))
        .map(|(_, file)| points(file, limits))
        .collect::<anyhow::Result<_>>()?;
    let labels = labels(&mut by_queue, limits)?;
    if let Some(labels) = &labels {
        ensure!(
            points.len() <= labels.dim().0,
            "there are spots of {} images and cells of {}",
            points.len(),
            labels.dim().0
        );
    }
    let mut entries = Vec::new();
    for (item, points) in points.iter().enumerate() {
        let mut cells = Vec::new();
        if let Some(labels) = &labels {
            let labels: ArrayView3<'_, f32> = labels.index_axis(Axis(0), item);
            let planes = labels.axis_iter(Axis(2)).enumerate();
            let planes = planes.map(|(c, plane)| (name.batch_feature(item, c), plane));
            entries.extend(planes.map(|(name, plane)| (name, encode_tiff(plane.into_dyn()))));
            cells = cells_of_spots(points, labels)?;
        }
        let table = spot_csv(points, &cells).into_bytes();
        entries.push((name.batch(item, "csv"), table));
    }
    Ok(entries)
}

fn points(file: &[u8], limits: &bioimage::Limits) -> anyhow::Result<Vec<[f64; 2]>> {
    let points: Array2<f64> = npy::read_f64(file, limits)?.into_dimensionality::<Ix2>()?;
    ensure!(
        points.ncols() == 2 || points.is_empty(),
        "the spots are not a list of points"
    );
    Ok(points
        .rows()
        .into_iter()
        .map(|point| [point[0], point[1]])
        .collect())
}

/// Labels `[batch, row, column, kind]`, if cells were looked for.
fn labels(
    by_queue: &mut HashMap<String, Vec<Entries>>,
    limits: &bioimage::Limits,
) -> anyhow::Result<Option<Array4<f32>>> {
    let decode = |(name, file): &(String, Vec<u8>)| {
        anyhow::Ok(bioimage::squeeze(bioimage::decode(file, name, limits)?))
    };
    if let Some(files) = by_queue.remove(MESMER) {
        let planes: Vec<_> = files
            .iter()
            .flatten()
            .map(decode)
            .collect::<anyhow::Result<_>>()?;
        let views: Vec<_> = planes.iter().map(|plane| plane.view()).collect();
        let kinds = stack(Axis(2), &views)?.into_dimensionality::<Ix3>()?;
        return Ok(Some(kinds.insert_axis(Axis(0))));
    }
    let Some(results) = by_queue.remove(SEGMENTATION) else {
        return Ok(None);
    };
    let mut kinds = Vec::new();
    for files in &results {
        let planes: Vec<_> = files.iter().map(decode).collect::<anyhow::Result<_>>()?;
        let views: Vec<_> = planes.iter().map(|plane| plane.view()).collect();
        let items = stack(Axis(0), &views)?.into_dimensionality::<Ix3>();
        kinds.push(
            items
                .map_err(|_| anyhow!("cells of images of several sizes"))?
                .insert_axis(Axis(3)),
        );
    }
    let views: Vec<_> = kinds.iter().map(|kind| kind.view()).collect();
    Ok(Some(concatenate(Axis(3), &views)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_decoder_takes_at_its_peak_is_reserved_too() {
        let header = |peak_bytes| Header {
            shape: vec![10, 10, 2],
            container: bioimage::Container::Other,
            sample: "u8".to_owned(),
            peak_bytes,
        };
        let parts = 800 + MOST_PLANES * 400;
        assert_eq!(bytes_of_parts(50, Some(&header(900))), 50 + parts);
        assert_eq!(bytes_of_parts(50, Some(&header(1 << 40))), 50 + (1 << 40));
        assert_eq!(bytes_of_parts(50, Some(&header(u64::MAX))), u64::MAX);
        assert_eq!(bytes_of_parts(50, None), 50);
        let plane = Header {
            shape: vec![20, 30],
            ..header(0)
        };
        assert_eq!(bytes_of_parts(0, Some(&plane)), 20 * 30 * 4 * 7);
    }
}
