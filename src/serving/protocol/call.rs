//! One call to one model server, and what every protocol makes of it.

use std::time::Duration;

use async_trait::async_trait;
use tonic::Request;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{Ascii, MetadataKey};
use tonic::transport::Channel;

use crate::serving::failure::Failure;
use crate::serving::model::{ModelId, Served, Signature};
use crate::serving::tensor::Tensor;
use crate::traces;

/// How one kind of model server is spoken to.
#[async_trait]
pub(in crate::serving) trait Protocol: Send + Sync {
    /// Name of the gRPC service.
    fn service(&self) -> &'static str;

    /// Asks what a model takes.
    async fn metadata(&self, call: Call, model: &ModelId) -> Result<Signature, Failure>;

    /// Models that can be used now: all of them where the server lists them, else those of these names.
    async fn served(&self, call: Call, names: &[String]) -> Result<Served, Failure>;

    /// Runs a model: its outputs by name, in any order.
    async fn predict(
        &self,
        call: Call,
        model: &ModelId,
        inputs: &[(String, Tensor)],
    ) -> Result<Vec<(String, Tensor)>, Failure>;
}

/// The way to a server, and what goes along with a request.
#[derive(Clone, Debug)]
pub(in crate::serving) struct Call {
    /// The connection.
    pub(in crate::serving) channel: Channel,
    /// How messages are compressed, if they are.
    pub(in crate::serving) compression: Option<CompressionEncoding>,
    /// How long the server is told to have.
    pub(in crate::serving) timeout: Duration,
}

impl Call {
    /// The message with the time the server has and the trace that the call belongs to.
    pub(super) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        for (name, value) in traces::context() {
            if let (Ok(name), Ok(value)) = (name.parse::<MetadataKey<Ascii>>(), value.parse()) {
                request.metadata_mut().insert(name, value);
            }
        }
        request
    }
}
