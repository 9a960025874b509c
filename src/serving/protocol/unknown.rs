//! A server whose protocol is found out by asking.

use std::sync::OnceLock;

use async_trait::async_trait;
use tonic::Code;

use super::call::{Call, Protocol};
use super::open_inference::OpenInference;
use super::tf_serving::TfServing;
use crate::serving::failure::Failure;
use crate::serving::model::{ModelId, Served, Signature};
use crate::serving::tensor::Tensor;

/// Asks as TensorFlow Serving is asked; a server that does not know the service is one of the Open Inference Protocol, for
/// as long as the process lives.
#[derive(Default)]
pub(in crate::serving) struct Unknown {
    speaks: OnceLock<Known>,
}

#[derive(Clone, Copy)]
enum Known {
    TfServing,
    OpenInference,
}

impl Known {
    fn protocol(self) -> &'static dyn Protocol {
        match self {
            Self::TfServing => &TfServing,
            Self::OpenInference => &OpenInference,
        }
    }
}

impl Unknown {
    /// What the server speaks; it is asked if nobody has asked before.
    async fn known(&self, call: &Call, model: &ModelId) -> Result<Known, Failure> {
        if let Some(known) = self.speaks.get() {
            return Ok(*known);
        }
        let known = match TfServing.metadata(call.clone(), model).await {
            Err(Failure::Refused {
                code: Code::Unimplemented,
                ..
            }) => Known::OpenInference,
            Err(away @ (Failure::Unavailable(_) | Failure::DeadlineExceeded)) => return Err(away),
            _ => Known::TfServing,
        };
        Ok(*self.speaks.get_or_init(|| known))
    }
}

#[async_trait]
impl Protocol for Unknown {
    fn service(&self) -> &'static str {
        let known = self.speaks.get().copied().unwrap_or(Known::TfServing);
        known.protocol().service()
    }

    async fn metadata(&self, call: Call, model: &ModelId) -> Result<Signature, Failure> {
        let known = self.known(&call, model).await?;
        known.protocol().metadata(call, model).await
    }

    async fn served(&self, call: Call, names: &[String]) -> Result<Served, Failure> {
        // Whatever is asked for, the answer tells which service the server knows.
        let any = ModelId::new(names.first().map_or("any", String::as_str), 1);
        let known = self.known(&call, &any).await?;
        known.protocol().served(call, names).await
    }

    async fn predict(
        &self,
        call: Call,
        model: &ModelId,
        inputs: &[(String, Tensor)],
    ) -> Result<Vec<(String, Tensor)>, Failure> {
        let known = self.known(&call, model).await?;
        known.protocol().predict(call, model, inputs).await
    }
}
