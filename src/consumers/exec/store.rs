//! How outputs become the result of a job.

use std::path::PathBuf;

use super::outputs::Outputs;
use super::scratch::Scratch;
use super::settings::ResultForm;
use crate::compute;
use crate::consumer::{Clients, Outcome};
use crate::consumers::memory;
use crate::error_class::InvalidInput;
use crate::job::{Job, Output, Step};
use crate::storage::ObjectWriter;
use crate::storage::archive::pack_files;

/// Stores the outputs, and ends the job with them.
pub(super) async fn store(
    job: &Job,
    clients: &Clients,
    form: ResultForm,
    outputs: Outputs,
    scratch: &Scratch,
) -> anyhow::Result<Outcome> {
    let (key, file) = match form {
        ResultForm::Zip => {
            job.step(Step::Zip);
            let archive = scratch.folder().join("result.zip");
            let to = archive.clone();
            compute::run(move || pack_files(&outputs.files, &to)).await?;
            (job.output_key(), archive)
        }
        ResultForm::File => match <[(String, PathBuf); 1]>::try_from(outputs.files) {
            Ok([(path, file)]) => (key_of(job, &path), file),
            Err(files) => {
                let text = format!(
                    "EXEC_RESULT is `file`, and the command left {} files",
                    files.len()
                );
                return Err(InvalidInput(text).into());
            }
        },
    };
    job.step(Step::Upload);
    let _memory = memory::reserve(job, clients, ObjectWriter::MEMORY).await?;
    let url = clients.storage.upload_file(&key, &file).await?;
    Ok(Outcome::Done(Output { key, url }))
}

/// The place of a result that is one file: that of an archive, with the suffix of the file.
fn key_of(job: &Job, path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.split_once('.') {
        Some((_, suffix)) if !suffix.is_empty() => format!("output/{}.{suffix}", job.stable_id()),
        _ => format!("output/{}", job.stable_id()),
    }
}
