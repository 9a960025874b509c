//! What can go wrong between a model server and its client.

use std::time::Duration;

use super::model::{ModelId, SignatureError};
use super::tensor::TensorError;
use crate::error_class::{Classify, ErrorClass};

/// Why a model could not be asked or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server does not have the model.
    #[error("model `{model}` is not on the server: {message}")]
    ModelMissing {
        /// The model.
        model: ModelId,
        /// The server's words.
        message: String,
    },
    /// The server has the model but does not like the request.
    #[error("the server refuses to run model `{model}`: {message} ({code:?})")]
    Refused {
        /// The model.
        model: ModelId,
        /// The server's verdict.
        code: tonic::Code,
        /// The server's words.
        message: String,
    },
    /// The model is there, but cannot be run in this process.
    #[error("model `{model}` cannot be loaded: {message}")]
    Unusable {
        /// The model.
        model: ModelId,
        /// Why, such as the operator that is missing.
        message: String,
    },
    /// The model is in the bucket, or may be, and cannot be fetched.
    #[error("model `{model}` cannot be fetched from the bucket: {message}")]
    NotFetched {
        /// The model.
        model: ModelId,
        /// Why.
        message: String,
        /// What kind of failure it is.
        class: ErrorClass,
    },
    /// The model does not run on its input.
    #[error("model `{model}` fails on its input: {message}")]
    Failed {
        /// The model.
        model: ModelId,
        /// Why.
        message: String,
    },
    /// An array has other sizes than the model takes.
    #[error(
        "input `{tensor}` of model `{model}` takes {expected:?} (-1 is any size), not {found:?}"
    )]
    BadShape {
        /// The model.
        model: ModelId,
        /// Name of the input.
        tensor: String,
        /// What it takes.
        expected: Vec<i64>,
        /// What it was given.
        found: Vec<usize>,
    },
    /// A single row of a batch is more than the server takes.
    #[error(
        "the server of model `{model}` takes no message of one tile: {message}; raise its limit (MLServer: \
         grpc_max_message_length in settings.json, or MLSERVER_GRPC_MAX_MESSAGE_LENGTH; KServe: \
         --grpc_max_receive_message_length and --grpc_max_send_message_length; a proxy: its limit of bodies)"
    )]
    TooMuch {
        /// The model.
        model: ModelId,
        /// The server's words.
        message: String,
    },
    /// The model was too slow in every attempt.
    #[error("model `{model}` did not answer in time in {attempts} attempts")]
    Deadline {
        /// The model.
        model: ModelId,
        /// How often it was tried.
        attempts: u32,
    },
    /// The server was overloaded in the last attempt.
    #[error(
        "the server of model `{model}` is still overloaded after {attempts} attempts: {message}"
    )]
    Exhausted {
        /// The model.
        model: ModelId,
        /// How often it was tried.
        attempts: u32,
        /// The server's words.
        message: String,
    },
    /// There was no server for longer than the settings allow.
    #[error("the server of model `{model}` has been unavailable for {} s: {message}", .waited.as_secs())]
    Unavailable {
        /// The model.
        model: ModelId,
        /// How long it was away.
        waited: Duration,
        /// What was last heard of it.
        message: String,
    },
    /// The server's answer does not tell what the model takes.
    #[error("the metadata of model `{model}` cannot be used")]
    BadMetadata {
        /// The model.
        model: ModelId,
        /// What is wrong with them.
        #[source]
        source: SignatureError,
    },
    /// What the caller sends is not what the model takes.
    #[error("model `{model}` takes {expected}, not {found}")]
    BadInputs {
        /// The model.
        model: ModelId,
        /// The names of its inputs.
        expected: String,
        /// The names of what it should have been given.
        found: String,
    },
    /// A tensor cannot be sent or read.
    #[error("tensor `{tensor}` of model `{model}` cannot be used")]
    BadTensor {
        /// The model.
        model: ModelId,
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        #[source]
        source: TensorError,
    },
}

impl Error {
    /// Whether the model, which is there, does not take what it was given.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::BadShape { .. } | Self::Failed { .. }
        )
    }
}

/// Verdicts about a request that the model cannot take, and about a service that the server does not have.
const MISMATCHES: [tonic::Code; 3] = [
    tonic::Code::InvalidArgument,
    tonic::Code::OutOfRange,
    tonic::Code::Unimplemented,
];

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::ModelMissing { .. } => ErrorClass::ModelMissing,
            Self::Exhausted { .. } | Self::Unavailable { .. } => ErrorClass::ModelUnavailable,
            Self::NotFetched { class, .. } => *class,
            Self::Deadline { .. } => ErrorClass::Deadline,
            Self::TooMuch { .. }
            | Self::BadInputs { .. }
            | Self::BadShape { .. }
            | Self::Unusable { .. }
            | Self::Failed { .. } => ErrorClass::ModelMismatch,
            Self::Refused { code, .. } if MISMATCHES.contains(code) => ErrorClass::ModelMismatch,
            Self::Refused { .. } | Self::BadMetadata { .. } | Self::BadTensor { .. } => {
                ErrorClass::Internal
            }
        }
    }
}
