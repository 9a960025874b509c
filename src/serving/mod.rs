//! Model servers: what a model takes, how tensors travel, a client that speaks to any of them, and a server of our own.
//!
//! Every gRPC call of the crate is in here, and what runs models in the process. Nothing in here knows jobs, Redis or images.

mod backend;
mod batch;
mod client;
mod conversion;
mod data_type;
mod endpoint;
mod error;
mod failure;
#[cfg(any(test, feature = "testing"))]
mod faults;
mod floats;
mod in_process;
mod layout;
mod limits;
mod metadata_cache;
mod metrics;
mod model;
mod model_directory;
mod model_fetch;
mod model_files;
mod pool;
mod pooling;
mod protocol;
mod remote;
mod retry;
mod server;
mod settings;
mod signature_json;
mod tensor;
#[cfg(any(test, feature = "testing"))]
pub mod wire;

pub use client::{Client, Surroundings};
pub use data_type::DataType;
pub use error::Error;
#[cfg(any(test, feature = "testing"))]
pub use faults::{Encoding, Faults, Limit as ServerLimit, Method, Seen, SeenInput};
pub use floats::Floats;
#[cfg(any(test, feature = "testing"))]
pub use in_process::load_onnx;
pub(crate) use model::Served;
pub use model::{Input, ModelId, ParseModelIdError, Signature, SignatureError};
pub use server::{Model, ModelServer, Run};
pub use settings::{ModelServerKind, ServingSettings};
pub use tensor::TensorError;
