//! What went wrong: the text of `reason` for the user of the web page, and the class that decides what happens next.
//!
//! The last line stands alone and reads `<Kind>: <message>`, since production pages show nothing else (contract 6.2);
//! the line before names the stage. No secrets and no local paths get in, because no error of this crate carries any.

use std::time::Duration;

use crate::failure::{Class, InvalidInput, TooLarge, Unsupported};
use crate::images::{self, AxesError, MovieError, TrackFileError};
use crate::job::{InvalidFileType, Status};
use crate::serving;
use crate::storage::archive::ArchiveError;
use crate::storage::{self, Direction};

/// A reason is copied into the record of a parent job, so it must stay short.
const LONGEST_REASON: usize = 2000;

/// A consumer panicked. The daemon goes on.
#[derive(Debug, thiserror::Error)]
#[error("the consumer panicked: {0}")]
pub(crate) struct Panicked(pub(crate) String);

/// A job has brought down every consumer that worked it.
#[derive(Debug, thiserror::Error)]
#[error("{crashes} consumers died while they worked this job; it is not tried again")]
pub(crate) struct Poison {
    pub(crate) crashes: u64,
}

/// A stage took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the job was still {stage} after {} s", .limit.as_secs())]
pub(crate) struct StageDeadline {
    pub(crate) stage: Status,
    pub(crate) limit: Duration,
}

/// The text of `reason` for a job that failed in this stage.
pub(crate) fn text(error: &anyhow::Error, stage: Status) -> String {
    if let Some(refusal) = error.downcast_ref::<InvalidFileType>() {
        return refusal.to_string();
    }
    let message = format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let message: String = message.chars().take(LONGEST_REASON).collect();
    format!("while {}\n{}: {message}", stage.as_str(), kind(error))
}

/// What kind of failure this is.
pub(crate) fn class(error: &anyhow::Error) -> Class {
    error.chain().find_map(class_of).unwrap_or(Class::Internal)
}

/// The word that clients of the Python consumer know for this kind of error.
fn kind(error: &anyhow::Error) -> &'static str {
    let from_peer = error.chain().find_map(|cause| {
        let storage = cause.is::<storage::Error>().then_some("StorageError");
        storage.or_else(|| cause.is::<serving::Error>().then_some("ModelServerError"))
    });
    from_peer.unwrap_or_else(|| match class(error) {
        Class::InvalidInput | Class::Unsupported | Class::TooLarge => "ValueError",
        Class::Deadline => "TimeoutError",
        _ => "RuntimeError",
    })
}

fn class_of(cause: &(dyn std::error::Error + 'static)) -> Option<Class> {
    let plain = [
        (
            cause.is::<InvalidInput>() || cause.is::<InvalidFileType>(),
            Class::InvalidInput,
        ),
        (cause.is::<Unsupported>(), Class::Unsupported),
        (cause.is::<TooLarge>(), Class::TooLarge),
        (cause.is::<StageDeadline>(), Class::Deadline),
        (cause.is::<Panicked>() || cause.is::<Poison>(), Class::Crash),
    ];
    let plain = plain
        .into_iter()
        .find_map(|(is, class)| is.then_some(class));
    plain
        .or_else(|| cause.downcast_ref().map(of_image))
        .or_else(|| cause.downcast_ref().map(of_axes))
        .or_else(|| cause.downcast_ref().map(of_movie))
        .or_else(|| cause.downcast_ref().and_then(of_track_file))
        .or_else(|| cause.downcast_ref().map(of_archive))
        .or_else(|| cause.downcast_ref().map(of_storage))
        .or_else(|| cause.downcast_ref().map(of_serving))
}

fn of_image(error: &images::Error) -> Class {
    match error {
        images::Error::Unsupported(_) => Class::Unsupported,
        images::Error::TooLarge { .. } => Class::TooLarge,
        _ => Class::InvalidInput,
    }
}

fn of_axes(error: &AxesError) -> Class {
    match error {
        AxesError::TooLarge { .. } => Class::TooLarge,
        _ => Class::InvalidInput,
    }
}

fn of_movie(error: &MovieError) -> Class {
    match error {
        MovieError::Batch { .. } | MovieError::Frames { .. } => Class::TooLarge,
        _ => Class::InvalidInput,
    }
}

fn of_track_file(error: &TrackFileError) -> Option<Class> {
    match error {
        // Its source says more.
        TrackFileError::Array { .. } => None,
        _ => Some(Class::InvalidInput),
    }
}

fn of_archive(error: &ArchiveError) -> Class {
    match error {
        ArchiveError::TooMany { .. }
        | ArchiveError::TooLarge { .. }
        | ArchiveError::LongList { .. } => Class::TooLarge,
        ArchiveError::Encrypted(_) => Class::Unsupported,
        _ => Class::InvalidInput,
    }
}

fn of_storage(error: &storage::Error) -> Class {
    let by = |direction: &Direction| match direction {
        Direction::Read => Class::StorageRead,
        Direction::Write => Class::StorageWrite,
    };
    match error {
        // What was never there, or has been cleaned away, does not come back by itself.
        storage::Error::NotFound { .. } | storage::Error::InvalidReference { .. } => {
            Class::InvalidInput
        }
        storage::Error::TooLarge { .. } => Class::TooLarge,
        storage::Error::ChangedWhileReading { .. } => Class::StorageRead,
        storage::Error::PermissionDenied { direction, .. }
        | storage::Error::Unavailable { direction, .. }
        | storage::Error::Other { direction, .. } => by(direction),
        storage::Error::Open { .. } => Class::Internal,
    }
}

fn of_serving(error: &serving::Error) -> Class {
    match error {
        serving::Error::ModelMissing { .. } => Class::ModelMissing,
        serving::Error::Exhausted { .. } | serving::Error::Unavailable { .. } => {
            Class::ModelUnavailable
        }
        serving::Error::Deadline { .. } => Class::Deadline,
        _ => Class::Internal,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::serving::ModelId;

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
        assert_eq!(class(&error), Class::ModelUnavailable);
        assert_eq!(class(&anyhow::anyhow!("odd")), Class::Internal);
        assert_eq!(
            class(&images::Error::Unsupported("palettes".to_owned()).into()),
            Class::Unsupported
        );
        assert_eq!(class(&Panicked("oh".to_owned()).into()), Class::Crash);
    }

    #[test]
    fn the_side_of_the_bucket_decides() {
        let refused = |direction| storage::Error::PermissionDenied {
            key: "a".to_owned(),
            bucket: "s3://b".to_owned(),
            reason: "403".to_owned(),
            direction,
        };
        assert_eq!(class(&refused(Direction::Read).into()), Class::StorageRead);
        assert_eq!(
            class(&refused(Direction::Write).into()),
            Class::StorageWrite
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
