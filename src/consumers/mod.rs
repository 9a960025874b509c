//! The consumers: one file each, a recipe on top of `applications/`.

/// Segmentation of one image.
pub mod image;

/// Segmentation of one image of tissue.
pub mod mesmer;

mod input;
mod limits;

use crate::compute;
use crate::consumer::{Kind, Outcome};
use crate::job::{Job, Output};
use crate::serving::ModelId;
use crate::settings::Reader;
use crate::storage::{Storage, archive};

/// Every kind of consumer that this crate brings.
pub(crate) const KINDS: [Kind; 2] = [image::KIND, mesmer::KIND];

/// Names and contents of the files of a result.
type Entries = Vec<(String, Vec<u8>)>;

/// Refuses a file that belongs on the queue of archives.
fn refuse_archives(job: &Job) -> anyhow::Result<()> {
    let archive = job.input_file_name()?.to_lowercase().ends_with(".zip");
    if archive { Err(job.invalid_file_type()) } else { Ok(()) }
}

/// Packs the files of a result and stores them where the job's result belongs.
async fn store(job: &Job, storage: &Storage, entries: Entries) -> anyhow::Result<Outcome> {
    let archive = compute::run(move || archive::write_zip(entries)).await?;
    let key = job.output_key();
    let url = storage.upload(&key, archive.into()).await?;
    Ok(Outcome::Done(Output { key, url }))
}

/// Reads a model's `name:version`.
fn model(reader: &mut Reader<'_>, name: &'static str, default: &str, doc: &'static str) -> ModelId {
    let default = default.parse().expect("defaults are `name:version`");
    reader.parsed(name, default, doc)
}
