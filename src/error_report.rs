//! What went wrong: the text of `reason` for the user of the web page, and the class that decides what happens next.
//!
//! The last line stands alone and reads `<Kind>: <message>`, since production pages show nothing else; the line before names
//! the stage. No secrets and no local paths get in, because no error of this crate carries any.

use std::error::Error;
use std::time::Duration;

use bioimage::{AxesError, MovieError, TrackFileError};
use cell_analysis::tracking::TrackingError;

use crate::error_class::{Classified, Classify, ErrorClass, InvalidInput, TooLarge, Unsupported};
use crate::job::{InvalidFileType, Status};
use crate::serving;
use crate::storage;
use crate::storage::archive::ArchiveError;
use crate::untrusted;

/// A consumer panicked. The daemon goes on.
#[derive(Debug, thiserror::Error)]
#[error("the consumer panicked: {0}")]
pub(crate) struct Panicked(pub(crate) String);

/// A job has brought down every consumer that processed it.
#[derive(Debug, thiserror::Error)]
#[error("{crashes} consumers died while processing this job; it will not be retried")]
pub(crate) struct PoisonPill {
    pub(crate) crashes: u64,
}

/// An operator wanted the job to end; the text says who, and why.
#[derive(Debug, thiserror::Error)]
#[error("by {0}")]
pub(crate) struct Cancelled(pub(crate) String);

/// A stage took too long.
#[derive(Debug, thiserror::Error)]
#[error("the job was still {stage} after {} s", .limit.as_secs())]
pub(crate) struct StageDeadline {
    pub(crate) stage: Status,
    pub(crate) limit: Duration,
}

/// The text of `reason` for a job that failed in this stage.
pub(crate) fn text(error: &anyhow::Error, stage: Status) -> String {
    if let Some(refusal) = error.downcast_ref::<InvalidFileType>() {
        return untrusted::message(refusal).to_string();
    }
    let text = format!("{error:#}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // A reason is copied into the hash of a parent job, so it must stay short.
    let message = untrusted::message(text);
    format!("while {}\n{}: {message}", stage.as_str(), kind(error))
}

/// What kind of failure this is: what the first error of the chain says that knows.
pub(crate) fn class(error: &anyhow::Error) -> ErrorClass {
    let class = error.chain().find_map(class_of);
    class.unwrap_or(ErrorClass::Internal)
}

/// The word that clients of the Python consumer know for this kind of error.
fn kind(error: &anyhow::Error) -> &'static str {
    for cause in error.chain() {
        if cause.is::<storage::Error>() {
            return "StorageError";
        }
        if cause.is::<serving::Error>() {
            return "ModelServerError";
        }
    }
    match class(error) {
        ErrorClass::InvalidInput | ErrorClass::Unsupported | ErrorClass::TooLarge => "ValueError",
        ErrorClass::Deadline => "TimeoutError",
        ErrorClass::Cancelled => "Cancelled",
        _ => "RuntimeError",
    }
}

/// The class of an error, if it is of a type that knows it.
fn class_of(cause: &(dyn Error + 'static)) -> Option<ErrorClass> {
    ask::<Classified>(cause)
        .or_else(|| ask::<InvalidInput>(cause))
        .or_else(|| ask::<InvalidFileType>(cause))
        .or_else(|| ask::<Unsupported>(cause))
        .or_else(|| ask::<TooLarge>(cause))
        .or_else(|| ask::<StageDeadline>(cause))
        .or_else(|| ask::<Panicked>(cause))
        .or_else(|| ask::<PoisonPill>(cause))
        .or_else(|| ask::<Cancelled>(cause))
        .or_else(|| ask::<bioimage::Error>(cause))
        .or_else(|| ask::<AxesError>(cause))
        .or_else(|| ask::<MovieError>(cause))
        .or_else(|| ask::<TrackFileError>(cause))
        .or_else(|| ask::<TrackingError>(cause))
        .or_else(|| ask::<ArchiveError>(cause))
        .or_else(|| ask::<storage::Error>(cause))
        .or_else(|| ask::<serving::Error>(cause))
}

fn ask<E: Classify + Error + 'static>(cause: &(dyn Error + 'static)) -> Option<ErrorClass> {
    cause.downcast_ref::<E>().map(E::class)
}

impl Classify for Panicked {
    fn class(&self) -> ErrorClass {
        ErrorClass::Crash
    }
}

impl Classify for PoisonPill {
    fn class(&self) -> ErrorClass {
        ErrorClass::Crash
    }
}

impl Classify for Cancelled {
    fn class(&self) -> ErrorClass {
        ErrorClass::Cancelled
    }
}

impl Classify for StageDeadline {
    fn class(&self) -> ErrorClass {
        ErrorClass::Deadline
    }
}

impl Classify for InvalidFileType {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

// The errors of `bioimage` and `cell-analysis` know nothing of jobs, so their classes are here.

impl Classify for bioimage::Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unsupported(_) => ErrorClass::Unsupported,
            Self::TooLarge { .. } => ErrorClass::TooLarge,
            Self::NotAnImage(_) | Self::Corrupt(_) => ErrorClass::InvalidInput,
        }
    }
}

impl Classify for AxesError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::TooLarge { .. } => ErrorClass::TooLarge,
            Self::Rank { .. }
            | Self::Order { .. }
            | Self::Ambiguous { .. }
            | Self::SpotRank { .. }
            | Self::ModelRank { .. }
            | Self::NoSuchChannel { .. }
            | Self::ChannelCount { .. } => ErrorClass::InvalidInput,
        }
    }
}

impl Classify for MovieError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Batch { .. } | Self::Frames { .. } => ErrorClass::TooLarge,
            Self::Rank { .. } | Self::Labels { .. } => ErrorClass::InvalidInput,
        }
    }
}

impl Classify for TrackFileError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Array { source, .. } => source.class(),
            Self::NotAnArchive(_) | Self::Missing(_) | Self::NoLineage | Self::Lineage(_) => {
                ErrorClass::InvalidInput
            }
        }
    }
}

impl Classify for TrackingError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Shape(_)
            | Self::Frame { .. }
            | Self::UnreadableLineage(_)
            | Self::MissingLabel(_)
            | Self::LabelTooLarge(_) => ErrorClass::InvalidInput,
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::serving::ModelId;
    use crate::storage::Direction;

    fn away() -> serving::Error {
        serving::Error::Unavailable {
            model: ModelId::new("m", 1),
            waited: Duration::from_secs(1),
            message: "refused".to_owned(),
        }
    }

    #[test]
    fn the_class_is_that_of_the_cause_however_deep() {
        let error = Err::<(), _>(away())
            .context("frame 3")
            .context("tracking")
            .unwrap_err();
        assert_eq!(class(&error), ErrorClass::ModelUnavailable);
        assert_eq!(class(&anyhow::anyhow!("odd")), ErrorClass::Internal);
        assert_eq!(
            class(&bioimage::Error::Unsupported("palettes".to_owned()).into()),
            ErrorClass::Unsupported
        );
        assert_eq!(class(&Panicked("oh".to_owned()).into()), ErrorClass::Crash);
    }

    #[test]
    fn the_side_of_the_bucket_decides() {
        let refused = |direction| storage::Error::PermissionDenied {
            key: "a".to_owned(),
            bucket: "s3://b".to_owned(),
            reason: "403".to_owned(),
            direction,
        };
        assert_eq!(
            class(&refused(Direction::Read).into()),
            ErrorClass::StorageRead
        );
        assert_eq!(
            class(&refused(Direction::Write).into()),
            ErrorClass::StorageWrite
        );
    }

    #[test]
    fn the_last_line_stands_alone() {
        let reason = text(&away().into(), Status::Predicting);
        assert_eq!(reason.lines().next(), Some("while predicting"));
        assert!(
            reason
                .lines()
                .last()
                .is_some_and(|line| line.starts_with("ModelServerError: ")),
            "{reason}"
        );
        let odd = anyhow::anyhow!("no `a\u{1b}[2J\nb`: {}", "x".repeat(1_000_000));
        let reason = text(&odd, Status::Started);
        assert_eq!(reason.lines().count(), 2);
        assert!(
            reason.contains("no `a\\x1b[2J b`") && reason.len() < 2200,
            "{} bytes",
            reason.len()
        );
        let late = StageDeadline {
            stage: Status::Started,
            limit: Duration::from_secs(5),
        };
        assert!(
            text(&late.into(), Status::Started)
                .ends_with("TimeoutError: the job was still started after 5 s")
        );
    }
}
