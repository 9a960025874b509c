//! How an attempt at a call fails.

use std::error::Error as _;

use tonic::{Code, Status};

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
    /// The failure behind a status that no server has sent: refused, reset, cut off.
    pub(super) fn of_transport(status: &Status) -> Option<Self> {
        // What a server says has no source; what has one happened on this side.
        status.source()?;
        Some(Self::Unavailable(with_sources(status)))
    }

    /// How the attempt is counted, by the codes of gRPC. An answer that cannot be read is an answer.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Exhausted(_) => "RESOURCE_EXHAUSTED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::ModelMissing(_) => "NOT_FOUND",
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
