//! The consumers: one file each, a recipe on top of `applications/`.

/// Segmentation of one image.
pub mod image;

/// Segmentation of one image of tissue.
pub mod mesmer;

/// Spots of single molecules, and the cells they lie in.
pub mod polaris;

/// Spots of single molecules in one image.
pub mod spot;

/// Cells of a movie, followed from frame to frame.
pub mod tracking;

/// An archive of images, each of which becomes a job.
pub mod zip;

/// Names of result files.
pub mod output;

mod input;
mod limits;

use anyhow::Context as _;
use ndarray::{Array4, ArrayD, Ix4};

use self::limits::Limits;
use crate::applications::{Model, SegmentationStep};
use crate::compute;
use crate::consumer::{ConsumerKind, Outcome, Registry};
use crate::job::{Job, Output, Step};
use crate::serving::ModelId;
use crate::settings::Parsed;
use crate::storage::{Storage, archive};
use bioimage::ModelInput;

/// Every kind of consumer that this crate brings.
const KINDS: [ConsumerKind; 6] = [
    image::KIND,
    zip::KIND,
    tracking::KIND,
    mesmer::KIND,
    spot::KIND,
    polaris::KIND,
];

impl Registry {
    /// Every kind that this crate brings.
    pub fn builtin() -> Self {
        Self(KINDS.to_vec())
    }
}

/// Names and contents of the files of a result.
type Entries = Vec<(String, Vec<u8>)>;

/// Refuses a file that belongs on the queue of archives.
fn refuse_archives(job: &Job) -> anyhow::Result<()> {
    let archive = job.input_file_name()?.to_lowercase().ends_with(".zip");
    if archive {
        Err(job.invalid_file_type())
    } else {
        Ok(())
    }
}

/// The image `[batch, row, column, channel]` as the model takes it: its axes moved and, if the job names them, its channels
/// picked.
async fn validate(
    image: ArrayD<f32>,
    channels: Option<Vec<usize>>,
    model: &Model,
    limits: &Limits,
) -> anyhow::Result<Array4<f32>> {
    let shape = model.input_shape();
    let Limits {
        max_width,
        max_height,
        ..
    } = *limits;
    compute::run(move || {
        let wanted = ModelInput {
            shape: &shape,
            channels: channels.as_deref(),
            max_width,
            max_height,
        };
        let image = bioimage::validate_model_input(image, &wanted)?;
        image
            .into_dimensionality::<Ix4>()
            .context("a model that takes four axes")
    })
    .await
}

/// The step of the job that a step of its segmentation is.
fn step(step: SegmentationStep) -> Step {
    match step {
        SegmentationStep::Preprocess => Step::Prepare,
        SegmentationStep::Predict => Step::Predict,
        SegmentationStep::Postprocess => Step::Label,
    }
}

/// Packs the files of a result and stores them where the job's result belongs.
async fn store(job: &Job, storage: &Storage, entries: Entries) -> anyhow::Result<Outcome> {
    job.step(Step::Zip);
    let archive = compute::run(move || archive::write_zip(entries)).await?;
    job.step(Step::Upload);
    let key = job.output_key();
    let url = storage.upload(&key, archive.into()).await?;
    Ok(Outcome::Done(Output { key, url }))
}

/// The default of a setting that names a model by its `name:version`.
fn model(name_and_version: &str) -> Parsed<ModelId> {
    Parsed(
        name_and_version
            .parse()
            .expect("defaults are `name:version`"),
    )
}
