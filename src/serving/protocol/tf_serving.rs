//! TensorFlow Serving: its `PredictionService` over gRPC.

pub(in crate::serving) mod data_type;
pub(in crate::serving) mod message;
pub(in crate::serving) mod proto;
pub(in crate::serving) mod signature;
pub(in crate::serving) mod tensor;

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use tonic::transport::Channel;

use self::proto::tensorflow::serving::model_service_client::ModelServiceClient;
use self::proto::tensorflow::serving::model_spec::VersionChoice;
use self::proto::tensorflow::serving::model_version_status::State;
use self::proto::tensorflow::serving::prediction_service_client::PredictionServiceClient;
use self::proto::tensorflow::serving::{
    GetModelMetadataRequest, GetModelStatusRequest, GetModelStatusResponse, ModelSpec,
    PredictRequest,
};
use self::signature::SIGNATURE_DEF;
use super::call::{Call, Protocol};
use crate::serving::failure::Failure;
use crate::serving::model::{ModelId, Served, Signature};
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

    /// There is no list of models: each name is asked for.
    async fn served(&self, call: Call, names: &[String]) -> Result<Served, Failure> {
        let mut client = ModelServiceClient::new(call.channel.clone());
        let mut served = Served::new();
        for name in names {
            let request = call.request(GetModelStatusRequest {
                model_spec: Some(ModelSpec {
                    name: name.clone(),
                    ..ModelSpec::default()
                }),
            });
            let answer = client.get_model_status(request).await;
            match answer.map_err(Failure::of) {
                Ok(answer) => {
                    served.insert(name.clone(), available(answer.into_inner()).collect());
                }
                Err(Failure::ModelMissing(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        served.retain(|_, versions: &mut BTreeSet<_>| !versions.is_empty());
        Ok(served)
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

fn available(answer: GetModelStatusResponse) -> impl Iterator<Item = String> {
    let all = answer.model_version_status.into_iter();
    let available = all.filter(|it| it.state() == State::Available);
    available.map(|it| it.version.to_string())
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
