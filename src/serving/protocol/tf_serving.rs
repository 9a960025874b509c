//! TensorFlow Serving: its `PredictionService` over gRPC.

pub(in crate::serving) mod data_type;
pub(in crate::serving) mod message;
pub(in crate::serving) mod proto;
pub(in crate::serving) mod signature;
pub(in crate::serving) mod tensor;

use std::collections::HashMap;

use async_trait::async_trait;
use tonic::transport::Channel;

use self::proto::tensorflow::serving::model_spec::VersionChoice;
use self::proto::tensorflow::serving::prediction_service_client::PredictionServiceClient;
use self::proto::tensorflow::serving::{GetModelMetadataRequest, ModelSpec, PredictRequest};
use self::signature::SIGNATURE_DEF;
use super::call::{Call, Protocol};
use crate::serving::failure::Failure;
use crate::serving::model::{ModelId, Signature};
use crate::serving::tensor::Tensor;

/// Speaks to TensorFlow Serving.
pub(in crate::serving) struct TfServing;

#[async_trait]
impl Protocol for TfServing {
    fn service(&self) -> &'static str {
        "tensorflow.serving.PredictionService"
    }

    async fn metadata(&self, call: Call, model: &ModelId) -> Result<Signature, Failure> {
        let request = call.request(GetModelMetadataRequest {
            model_spec: Some(spec(model)),
            metadata_field: vec![SIGNATURE_DEF.to_owned()],
        });
        let answer = client(call).get_model_metadata(request).await;
        let response = answer.map_err(Failure::of)?.into_inner();
        signature::from_response(&response).map_err(Failure::BadMetadata)
    }

    async fn predict(
        &self,
        call: Call,
        model: &ModelId,
        inputs: &[(String, Tensor)],
    ) -> Result<Vec<(String, Tensor)>, Failure> {
        let inputs = inputs
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor::to_proto(tensor.clone())));
        let request = call.request(PredictRequest {
            model_spec: Some(spec(model)),
            inputs: inputs.collect(),
            output_filter: Vec::new(),
        });
        let answer = client(call).predict(request).await;
        let outputs = answer.map_err(Failure::of)?.into_inner().outputs;
        let outputs = outputs.into_iter().map(|it| (it.name, it.tensor));
        let by_name: HashMap<_, _> = outputs.collect();
        by_name
            .into_iter()
            .map(|(name, message)| match message::from_bytes(message) {
                Ok(tensor) => Ok((name, tensor)),
                Err(source) => Err(Failure::BadTensor { name, source }),
            })
            .collect()
    }
}

fn client(call: Call) -> PredictionServiceClient<Channel> {
    let client = PredictionServiceClient::new(call.channel)
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    match call.compression {
        Some(encoding) => client.send_compressed(encoding).accept_compressed(encoding),
        None => client,
    }
}

/// The model on the wire. The version is there even if it is 0: without it the server would take its latest.
fn spec(model: &ModelId) -> ModelSpec {
    ModelSpec {
        name: model.name.clone(),
        version_choice: Some(VersionChoice::Version(model.version)),
        signature_name: String::new(),
    }
}
