//! How an attempt at a call fails.

use std::error::Error as _;

use tonic::{Code, Status};

use super::limits::Limit;
use super::model::SignatureError;
use super::tensor::TensorError;

/// What became of an attempt that failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer within the deadline.
    DeadlineExceeded,
    /// The server has too much to do.
    Exhausted(String),
    /// There is no server, or the way to it broke.
    Unavailable(String),
    /// The request, or the answer to it, is larger than the server allows.
    TooMuch {
        /// How much it allows.
        limit: Limit,
        /// Its words.
        message: String,
    },
    /// The server does not have the model.
    ModelMissing(String),
    /// The server has the model but does not like the request.
    Refused {
        /// Its verdict.
        code: Code,
        /// Its words.
        message: String,
    },
    /// The answer does not tell what the model takes.
    BadMetadata(SignatureError),
    /// The answer holds a tensor that cannot be read.
    BadTensor {
        /// Name of the tensor.
        name: String,
        /// What is wrong with it.
        source: TensorError,
    },
}

impl Failure {
    /// What a status means for the next attempt.
    ///
    /// Codes alone do not tell: servers call a full queue unavailable and a message that is too large overload. So their
    /// words count, those of TensorFlow Serving, Triton, MLServer, KServe and the gRPC libraries that they are built on.
    pub(super) fn of(status: Status) -> Self {
        // What a server says has no source; what has one happened on this side.
        if status.source().is_some() {
            return Self::Unavailable(with_sources(&status));
        }
        let message = status.message().to_owned();
        let words = message.to_ascii_lowercase();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        match status.code() {
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::NotFound => Self::ModelMissing(message),
            code => match Limit::in_words(&words) {
                Some(limit) => Self::TooMuch { limit, message },
                None if code == Code::ResourceExhausted => Self::Exhausted(message),
                None if code != Code::Unavailable => Self::Refused { code, message },
                None if says(&FULL_QUEUES) => Self::Exhausted(message),
                None if says(&ABSENT_MODELS) => Self::ModelMissing(message),
                None => Self::Unavailable(message),
            },
        }
    }

    /// How the attempt is counted, by the codes of gRPC. An answer that cannot be read is an answer.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Exhausted(_) => "RESOURCE_EXHAUSTED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::ModelMissing(_) => "NOT_FOUND",
            Self::TooMuch { .. } => "TOO_MUCH",
            Self::Refused { code, .. } => match code {
                Code::InvalidArgument => "INVALID_ARGUMENT",
                Code::FailedPrecondition => "FAILED_PRECONDITION",
                Code::Internal => "INTERNAL",
                _ => "OTHER",
            },
            Self::BadMetadata(_) | Self::BadTensor { .. } => "OK",
        }
    }
}

/// What servers say of a queue that is full: Triton, and the batching of TensorFlow Serving.
const FULL_QUEUES: [&str; 2] = [
    "exceeds maximum queue size",
    "queue to which this task was submitted is full",
];

/// What Triton says of a model that is not loaded, or not yet.
const ABSENT_MODELS: [&str; 2] = ["unknown model", "is not at ready state"];

/// The message and those of its causes, without repetitions.
fn with_sources(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !text.contains(&message) && error.downcast_ref::<Status>().is_none() {
            text = format!("{text}: {message}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: Status) -> &'static str {
        Failure::of(status).code()
    }

    #[test]
    fn the_servers_words_are_told_from_a_broken_line() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let reset = Failure::of(Status::from_error(Box::new(reset)));
        assert!(matches!(reset, Failure::Unavailable(_)), "{reset:?}");
        for (status, expected) in [
            (Status::not_found("no m"), "NOT_FOUND"),
            (Status::invalid_argument("shape"), "INVALID_ARGUMENT"),
            (Status::failed_precondition(""), "FAILED_PRECONDITION"),
            (Status::internal(""), "INTERNAL"),
            (Status::deadline_exceeded(""), "DEADLINE_EXCEEDED"),
            (Status::resource_exhausted(""), "RESOURCE_EXHAUSTED"),
            (Status::unavailable(""), "UNAVAILABLE"),
            (Status::unknown("a bug of the server"), "OTHER"),
        ] {
            assert_eq!(code(status), expected);
        }
    }

    #[test]
    fn a_full_queue_is_overload_and_an_unloaded_model_is_missing() {
        for (message, expected) in [
            (
                "[request id: job 1] Exceeds maximum queue size",
                "RESOURCE_EXHAUSTED",
            ),
            (
                "The batch scheduling queue to which this task was submitted is full; currently 100 batches enqueued",
                "RESOURCE_EXHAUSTED",
            ),
            (
                "Request for unknown model: 'm' version 1 is not at ready state",
                "NOT_FOUND",
            ),
            ("Socket closed", "UNAVAILABLE"),
        ] {
            assert_eq!(code(Status::unavailable(message)), expected, "{message}");
        }
    }

    #[test]
    fn what_is_too_large_is_no_overload() {
        for status in [
            Status::resource_exhausted(
                "SERVER: Received message larger than max (24000045 vs. 4194304)",
            ),
            Status::invalid_argument("inference request batch-size must be <= 4 for 'RealNuclei'"),
            Status::out_of_range(
                "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes",
            ),
        ] {
            assert_eq!(code(status), "TOO_MUCH");
        }
    }
}
