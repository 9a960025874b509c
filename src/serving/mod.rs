//! TensorFlow Serving: what a model takes, how tensors travel, a client for servers of models and such a server.
//!
//! Every gRPC call of the crate is in here. Nothing in here knows jobs, Redis or pictures.

mod client;
mod error;
#[cfg(any(test, feature = "testing"))]
mod faults;
mod half;
mod metrics;
mod model;
mod pool;
pub mod proto;
mod retry;
mod server;
mod settings;
mod tensor;

pub use client::{Client, MetadataCache};
pub use error::Error;
#[cfg(any(test, feature = "testing"))]
pub use faults::{Encoding, Faults, Method, Seen};
pub use model::{Input, ModelId, ParseModelIdError, Signature, SignatureError};
pub use proto::tensorflow::DataType;
pub use server::{Model, ModelServer, Run};
pub use settings::ServingSettings;
pub use tensor::{TensorError, decode, encode};
