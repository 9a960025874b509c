//! What several recipes have in common.

use anyhow::Context as _;
use ndarray::{Array2, Array4, ArrayD, ArrayViewD, Axis, Ix4};

use super::limits::Limits;
use super::preview::Preview;
use crate::applications::{Model, SegmentationStep};
use crate::compute;
use crate::consumer::Outcome;
use crate::error_class::InvalidInput;
use crate::job::{Detected, Job, Output, Step};
use crate::serving::ModelId;
use crate::settings::{List, Loader, Parsed};
use crate::storage::{Storage, archive};
use bioimage::{Container, Placed, encode_labels};

/// Names and contents of the files of a result.
pub(super) type Entries = Vec<(String, Vec<u8>)>;

/// Whether a file is one for the queue of archives.
pub(super) fn is_archive(reference: &str) -> bool {
    reference.to_lowercase().ends_with(".zip")
}

/// Refuses a file that belongs on the queue of archives.
pub(super) fn refuse_archives(job: &Job) -> anyhow::Result<()> {
    if is_archive(job.input_file_name()?) {
        Err(job.invalid_file_type())
    } else {
        Ok(())
    }
}

/// The image `[batch, row, column, channel]`, by the order that the job names or its file implies.
pub(super) async fn with_axes_in_order(
    job: &Job,
    image: ArrayD<f32>,
    container: Container,
) -> anyhow::Result<Array4<f32>> {
    let order = job.dimension_order()?.to_owned();
    let image = compute::run(move || match order.as_str() {
        "" => bioimage::to_bxyc_by_file(image, &container),
        order => bioimage::to_bxyc(image, order),
    });
    Ok(image.await?)
}

/// The model that a job names, or else that of the settings.
pub(super) fn model_of(job: &Job, settings: &ModelId) -> anyhow::Result<ModelId> {
    let Some((name, version)) = job.named_model()? else {
        return Ok(settings.clone());
    };
    Ok(named(name, version)?)
}

/// A model by its name and version.
pub(super) fn named(name: &str, version: &str) -> Result<ModelId, InvalidInput> {
    let id = format!("{name}:{version}").parse::<ModelId>();
    id.map_err(|error| InvalidInput(format!("model `{name}` with version `{version}`: {error}")))
}

/// Each batch item as an image of its own, `[1, row, column, channel]`, with the channels that the job picks: all, if it
/// picks none and the model takes as many, or the first for a model of one.
pub(super) async fn images_for(
    image: Array4<f32>,
    channels: Option<Vec<usize>>,
    model: &Model,
) -> anyhow::Result<Vec<Array4<f32>>> {
    let wanted = usize::try_from(model.input_shape()[3]).ok();
    with_channels(image, channels, wanted).await
}

/// The same for a model that takes `wanted` channels, or any number.
pub(super) async fn with_channels(
    image: Array4<f32>,
    channels: Option<Vec<usize>>,
    wanted: Option<usize>,
) -> anyhow::Result<Vec<Array4<f32>>> {
    let available = image.dim().3;
    let chosen = match channels {
        Some(channels) => channels,
        None if wanted == Some(1) => vec![0],
        None => (0..available).collect(),
    };
    if let Some(missing) = chosen.iter().find(|channel| **channel >= available) {
        let last = available.saturating_sub(1);
        let text = format!("channel {missing} is selected, the image has channels 0 to {last}");
        return Err(InvalidInput(text).into());
    }
    if let Some(wanted) = wanted.filter(|wanted| *wanted != chosen.len()) {
        let count = chosen.len();
        let text =
            format!("the model takes {wanted} channels, not {count}: name them in `channels`");
        return Err(InvalidInput(text).into());
    }
    Ok(compute::run(move || {
        let items = image.axis_chunks_iter(Axis(0), 1);
        items.map(|item| item.select(Axis(3), &chosen)).collect()
    })
    .await)
}

/// The image `[batch, row, column, channel]` as the model takes it: its axes moved and, if the job names them, its channels
/// picked. The job says how its axes were understood.
pub(super) async fn validate(
    job: &Job,
    image: ArrayD<f32>,
    channels: Option<Vec<usize>>,
    model: &Model,
    limits: &Limits,
) -> anyhow::Result<Array4<f32>> {
    let order = bioimage::detect_dimension_order(image.shape(), 4);
    job.record_detected(Detected::DimensionOrder(order));
    let shape = model.input_shape();
    let limits = limits.clone();
    compute::run(move || {
        let wanted = limits.model_input(&shape, channels.as_deref());
        let image = bioimage::validate_model_input(image, &wanted)?;
        image
            .into_dimensionality::<Ix4>()
            .context("a model that takes four axes")
    })
    .await
}

/// The image as the model takes it, as [`validate`] gives it, if its file has told where its axes are.
pub(super) async fn pick_channels(
    job: &Job,
    placed: Placed,
    channels: Option<Vec<usize>>,
    model: &Model,
    limits: &Limits,
) -> anyhow::Result<Array4<f32>> {
    job.record_detected(Detected::DimensionOrder(placed.stored.to_owned()));
    let shape = model.input_shape();
    let limits = limits.clone();
    compute::run(move || {
        let wanted = limits.model_input(&shape, channels.as_deref());
        let image = bioimage::with_channels(placed.image, &wanted)?;
        image
            .into_dimensionality::<Ix4>()
            .context("a model that takes four axes")
    })
    .await
}

/// Takes each step of a segmentation for a step of the job.
pub(super) fn follow(job: &Job) -> impl Fn(SegmentationStep) {
    |step| {
        job.step(match step {
            SegmentationStep::Preprocess => Step::Prepare,
            SegmentationStep::Predict => Step::Predict,
            SegmentationStep::Postprocess => Step::Label,
        });
    }
}

/// A TIFF of labels, of the same shape.
pub(super) fn label_tiff(labels: &ArrayViewD<'_, u32>) -> Vec<u8> {
    // Results are f32 for every reader of today; labels stay far below 2^24.
    encode_labels(labels.view())
}

/// A TIFF of labels `[row, column]`, which the preview shows too.
pub(super) async fn shown_label_tiff(labels: Array2<u32>, preview: &Preview) -> Vec<u8> {
    let preview = preview.clone();
    compute::run(move || {
        preview.show_labels(labels.view());
        label_tiff(&labels.view().into_dyn())
    })
    .await
}

/// Packs the files of a result and stores them where the job's result belongs, with the preview beside it.
pub(super) async fn store(
    job: &Job,
    storage: &Storage,
    entries: Entries,
    preview: &Preview,
) -> anyhow::Result<Outcome> {
    job.step(Step::Zip);
    let archive = compute::run(move || archive::write_zip(entries)).await?;
    job.step(Step::Upload);
    let key = job.output_key();
    let upload = async { anyhow::Ok(storage.upload(&key, archive.into()).await?) };
    let beside = async {
        preview.store(job, storage).await;
        anyhow::Ok(())
    };
    let (url, ()) = futures::try_join!(upload, beside)?;
    Ok(Outcome::Done(Output { key, url }))
}

/// Two percentiles out of a setting, the smaller first.
pub(super) fn percentiles(loader: &mut Loader<'_>, name: &str, setting: &List) -> [f64; 2] {
    let numbers = setting.0.iter().map(|word| word.trim().parse().ok());
    let numbers: Option<Vec<f64>> = numbers.collect();
    match numbers.as_deref() {
        Some(&[low, high]) if 0.0 <= low && low < high && high <= 100.0 => [low, high],
        _ => {
            let expected =
                "expected two numbers from 0 to 100, the smaller first, such as `1,99.8`";
            loader.refuse(name, setting.0.join(","), expected);
            [0.0, 100.0]
        }
    }
}

/// The default of a setting that names a model by its `name:version`.
pub(super) fn model(name_and_version: &str) -> Parsed<ModelId> {
    Parsed(
        name_and_version
            .parse()
            .expect("defaults are `name:version`"),
    )
}
