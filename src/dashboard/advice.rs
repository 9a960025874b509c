//! What to do about a job that has failed, by its class of error.

/// Each class, and what to do about it.
pub(super) const ADVICE: [(&str, &str); 13] = [
    (
        "invalid_input",
        "The job or its file is wrong: no such object, a damaged image, axes that do not fit. Look at the file; for axes, submit it \
         again with other values of dimension_order and channels. To requeue it as it is does not help.",
    ),
    (
        "unsupported",
        "The file or the job asks for something that is not built; the reason says what there is instead.",
    ),
    (
        "too_large",
        "The file, or the work on it, is larger than is allowed. Split it, or raise the limit that the reason names.",
    ),
    (
        "model_missing",
        "The model server does not have this model or version, or has not loaded it yet. Put it there, then requeue.",
    ),
    (
        "model_mismatch",
        "The model takes something else than it is given: another shape, type or number of channels. The reason has the words of \
         its server.",
    ),
    (
        "model_unavailable",
        "The model server was away or overloaded. Requeue when it is back.",
    ),
    (
        "unavailable",
        "Something that the command needs was away or overloaded. Requeue when it is back.",
    ),
    (
        "deadline",
        "It took too long. Requeue if the servers were slow; else raise the limit that the reason names.",
    ),
    (
        "storage_read",
        "The input could not be fetched. See whether it is in the bucket, and whether workers may read there; then requeue.",
    ),
    (
        "storage_write",
        "The result could not be stored. See whether workers may write to the bucket; then requeue.",
    ),
    (
        "crash",
        "Workers have died at this job, most likely of memory. Try one such job alone before you requeue others.",
    ),
    (
        "cancelled",
        "Somebody has ended it; the reason says who. Requeue it if that was a mistake.",
    ),
    (
        "internal",
        "A bug, here or in the model. Please report it with the log.",
    ),
];

/// What to do about a failure of this class.
pub(super) fn advice(class: &str) -> Option<&'static str> {
    let found = ADVICE.iter().find(|(known, _)| *known == class);
    found.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_class::ErrorClass;

    #[test]
    fn every_class_of_error_has_advice() {
        let all = [
            ErrorClass::InvalidInput,
            ErrorClass::Unsupported,
            ErrorClass::TooLarge,
            ErrorClass::ModelMissing,
            ErrorClass::ModelMismatch,
            ErrorClass::ModelUnavailable,
            ErrorClass::Unavailable,
            ErrorClass::Deadline,
            ErrorClass::StorageRead,
            ErrorClass::StorageWrite,
            ErrorClass::Crash,
            ErrorClass::Cancelled,
            ErrorClass::Internal,
        ];
        for class in all {
            assert!(advice(class.as_str()).is_some(), "{class}");
        }
        assert_eq!(advice("unheard of"), None);
    }
}
