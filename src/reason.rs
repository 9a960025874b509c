//! What went wrong, as the user of the web page is told: the text of `reason`.
//!
//! The last line stands alone and reads `<Kind>: <message>`, since production pages show nothing else (contract 6.2);
//! the line before names the stage. No secrets and no local paths get in, because no error of this crate carries any.

use crate::failure::InvalidInput;
use crate::images;
use crate::job::{InvalidFileType, Status};
use crate::serving;
use crate::storage;

/// A reason is copied into the record of a parent job, so it must stay short.
const LONGEST_REASON: usize = 2000;

/// A consumer panicked. The job fails; the daemon goes on.
#[derive(Debug, thiserror::Error)]
#[error("the consumer panicked: {0}")]
pub(crate) struct Panicked(pub(crate) String);

/// The text of `reason` for a job that failed in this stage.
pub(crate) fn text(error: &anyhow::Error, stage: Status) -> String {
    if let Some(refusal) = error.downcast_ref::<InvalidFileType>() {
        return refusal.to_string();
    }
    let message = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    let message: String = message.chars().take(LONGEST_REASON).collect();
    format!("while {}\n{}: {message}", stage.as_str(), kind(error))
}

/// The word that clients of the Python consumer know for this kind of error.
fn kind(error: &anyhow::Error) -> &'static str {
    error.chain().find_map(kind_of).unwrap_or("RuntimeError")
}

fn kind_of(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let is_input = cause.is::<InvalidInput>()
        || cause.is::<images::Error>()
        || cause.is::<images::AxesError>()
        || cause.is::<images::MovieError>()
        || cause.is::<images::TrackFileError>();
    if is_input {
        return Some("ValueError");
    }
    if cause.is::<storage::Error>() {
        return Some("StorageError");
    }
    cause.is::<serving::Error>().then_some("ModelServerError")
}
