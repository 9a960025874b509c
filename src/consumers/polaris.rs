//! Spots and the cells they lie in (`CONSUMER_TYPE` `polaris`): the parts of one image are worked by other consumers.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use anyhow::{anyhow, bail, ensure};
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ndarray::{Array2, Array4, ArrayD, ArrayView3, Axis, Ix2, Ix3, concatenate, stack};

use super::{Entries, limits};
use crate::applications::spots::cells_of_spots;
use crate::compute;
use crate::consumer::{Clients, Consumer, Kind, Outcome};
use crate::failure::InvalidInput;
use crate::images::output::ResultName;
use crate::images::{self, encode_tiff, npy, spot_table};
use crate::job::{Child, ChildInput, Children, Family, Job, NewChild, Stage, Status};
use crate::settings::Loader;
use crate::storage::archive::{ArchiveLimits, Images};

/// Queues of the parts, as other consumers have them.
const SPOT: &str = "spot";
const SEGMENTATION: &str = "segmentation";
const MESMER: &str = "mesmer";

/// Results that are fetched at the same time.
const TRANSFERS: usize = 4;

/// Finds spots and the cells they lie in.
pub const KIND: Kind = Kind {
    name: "polaris",
    aliases: &[],
    about: "finds spots and the cells they lie in, through jobs for other consumers",
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
    decoding: images::Limits,
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
        super::refuse_archives(job)
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        if let Family::Waited(children) = job.family().await? {
            return self.collect(job, &children).await;
        }
        job.enter(Status::Started);
        let reference = job.input_file_name()?.to_owned();
        let file = self.clients.storage.download(&reference).await?;
        let limits = self.settings.decoding;
        job.enter_stage(Stage::Decode);
        let image = compute::run(move || images::decode(&file, &reference, &limits)).await?;
        let (channels, kind) = (
            job.channel_positions()?,
            job.segmentation_type()?.to_owned(),
        );
        let parts = compute::run(move || parts(&image, &channels, &kind)).await?;
        job.enter_stage(Stage::Upload);
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
    async fn child(&self, job: &Job, part: Part) -> anyhow::Result<NewChild> {
        let original = job.original_name()?.replace(['/', '\\'], "_");
        let name = format!(
            "{}-{original}-{}{}-image.tif",
            job.run_id(),
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
        job.enter_stage(Stage::Download);
        let limits = self.settings.decoding;
        let found: Vec<_> = children
            .iter()
            .filter_map(|child| Some((child.queue(), child.result().ok()?)))
            .collect();
        let downloads = found.into_iter().map(|(queue, key)| async move {
            let file = self.clients.storage.download(&key).await?;
            let files = compute::run(move || unpack(&file, &limits)).await?;
            anyhow::Ok((queue, files))
        });
        // In the order in which they were created: spots, nuclei, cytoplasm.
        let results: Vec<(String, Entries)> = stream::iter(downloads)
            .buffered(TRANSFERS)
            .try_collect()
            .await?;

        job.enter(Status::SavingResults);
        let name = ResultName::new(job.original_name()?);
        job.enter_stage(Stage::Encode);
        let entries = compute::run(move || entries(&name, results, &limits)).await?;
        super::store(job, &self.clients.storage, entries).await
    }
}

/// What each other consumer is to work: `channels` are the positions of spots, nuclei and cytoplasm.
fn parts(image: &ArrayD<f32>, channels: &[Option<usize>], kind: &str) -> anyhow::Result<Vec<Part>> {
    let available = image.shape().last().copied().unwrap_or(0);
    let declared = channels.iter().flatten().count();
    ensure!(
        declared <= available
            && channels
                .iter()
                .flatten()
                .all(|&channel| channel < available),
        InvalidInput(format!(
            "Input image has {available} channels but {declared} channels were specified for segmentation"
        ))
    );
    let plane = |channel: usize| image.index_axis(Axis(image.ndim() - 1), channel).to_owned();
    let at = |position: usize| channels.get(position).copied().flatten();
    let mut parts = vec![Part {
        queue: SPOT,
        name: "",
        channels: "",
        image: plane(at(0).unwrap_or(0)),
    }];
    let batched = |plane: ArrayD<f32>| {
        if plane.ndim() == 2 {
            plane.insert_axis(Axis(0))
        } else {
            plane
        }
    };
    match kind {
        "" | "none" => {}
        "cell culture" => {
            for (position, name, channels) in [(1, "-nuclear", "0,"), (2, "-cytoplasm", ",0")] {
                if let Some(channel) = at(position) {
                    parts.push(Part {
                        queue: SEGMENTATION,
                        name,
                        channels,
                        image: batched(plane(channel)),
                    });
                }
            }
        }
        "tissue" => {
            let both = at(1).zip(at(2)).ok_or_else(|| {
                InvalidInput(
                    "tissue needs a nuclear and a membrane channel: `channels` names them after the spots'".to_owned(),
                )
            })?;
            let (nuclei, membranes) = (plane(both.0), plane(both.1));
            let image = stack(Axis(nuclei.ndim()), &[nuclei.view(), membranes.view()])?;
            parts.push(Part {
                queue: MESMER,
                name: "",
                channels: "",
                image,
            });
        }
        other => bail!(InvalidInput(format!(
            "segmentation_type `{other}` is none of none, cell culture, tissue"
        ))),
    }
    Ok(parts)
}

fn unpack(file: &[u8], limits: &images::Limits) -> anyhow::Result<Entries> {
    let limits = ArchiveLimits {
        entries: usize::MAX,
        bytes: limits.max_decoded_bytes,
        ratio: u64::MAX,
    };
    let mut file = Cursor::new(file);
    let mut images = Images::open(&mut file, limits)?;
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
    limits: &images::Limits,
) -> anyhow::Result<Entries> {
    let mut by_queue: HashMap<String, Vec<Entries>> = HashMap::new();
    results
        .into_iter()
        .for_each(|(queue, files)| by_queue.entry(queue).or_default().push(files));
    let spots = by_queue
        .remove(SPOT)
        .unwrap_or_default()
        .into_iter()
        .flatten();
    let points = spots
        .filter(|(name, _)| name.ends_with(".npy"))
        .map(|(_, file)| points(&file, limits));
    let points: Vec<Vec<[f64; 2]>> = points.collect::<anyhow::Result<_>>()?;
    let labels = labels(&mut by_queue, limits)?;
    let mut entries = Vec::new();
    for (item, points) in points.iter().enumerate() {
        let cells = match &labels {
            None => Vec::new(),
            Some(labels) => {
                ensure!(
                    item < labels.dim().0,
                    "there are spots of {} images and cells of {}",
                    points.len(),
                    labels.dim().0
                );
                let labels: ArrayView3<'_, f32> = labels.index_axis(Axis(0), item);
                let planes = labels.axis_iter(Axis(2)).enumerate();
                entries.extend(planes.map(|(c, plane)| {
                    (name.batch_feature(item, c), encode_tiff(plane.into_dyn()))
                }));
                cells_of_spots(points, labels)?
            }
        };
        entries.push((
            name.batch(item, "csv"),
            spot_table(points, &cells).into_bytes(),
        ));
    }
    Ok(entries)
}

fn points(file: &[u8], limits: &images::Limits) -> anyhow::Result<Vec<[f64; 2]>> {
    let points: Array2<f64> = npy::read_f64(file, limits)?.into_dimensionality::<Ix2>()?;
    ensure!(
        points.ncols() == 2 || points.is_empty(),
        "the spots are no list of points"
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
    limits: &images::Limits,
) -> anyhow::Result<Option<Array4<f32>>> {
    let decode = |(name, file): &(String, Vec<u8>)| {
        anyhow::Ok(images::squeeze(images::decode(file, name, limits)?))
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
