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

mod input;
mod limits;

use std::sync::Arc;

use anyhow::Context as _;
use ndarray::{Array4, ArrayD, Ix4};

use self::limits::Limits;
use crate::applications::{Application, Model};
use crate::compute;
use crate::consumer::{Kind, Outcome};
use crate::images::{self, ModelInput};
use crate::job::{Job, Output, Stage};
use crate::serving::ModelId;
use crate::settings::Parsed;
use crate::storage::{Storage, archive};

/// Every kind of consumer that this crate brings.
pub(crate) const KINDS: [Kind; 6] = [
    image::KIND,
    zip::KIND,
    tracking::KIND,
    mesmer::KIND,
    spot::KIND,
    polaris::KIND,
];

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
        let image = images::validate_model_input(image, &wanted)?;
        image
            .into_dimensionality::<Ix4>()
            .context("a model that takes four axes")
    })
    .await
}

/// Labels `[batch, row, column, channel]` of an image that is `scale` times as large for the model.
async fn segment(
    job: &Job,
    application: Application,
    model: &Model,
    image: Array4<f32>,
    scale: f64,
) -> anyhow::Result<Array4<u32>> {
    let original = [image.dim().1, image.dim().2];
    let application = Arc::new(application);
    let this = Arc::clone(&application);
    job.enter_stage(Stage::Preprocess);
    let prepared = compute::run(move || this.prepare(image, scale * this.model_mpp)).await?;
    job.enter_stage(Stage::Predict);
    let heads = application.predict(model, prepared).await?;
    job.enter_stage(Stage::PostProcess);
    compute::run(move || application.label(heads, original)).await
}

/// Packs the files of a result and stores them where the job's result belongs.
async fn store(job: &Job, storage: &Storage, entries: Entries) -> anyhow::Result<Outcome> {
    job.enter_stage(Stage::Zip);
    let archive = compute::run(move || archive::write_zip(entries)).await?;
    job.enter_stage(Stage::Upload);
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
