//! The Open Inference Protocol, version 2, over gRPC: NVIDIA Triton, KServe, MLServer, OpenVINO Model Server.

pub(in crate::serving) mod data_type;
pub(in crate::serving) mod proto;
pub(in crate::serving) mod tensor;

use async_trait::async_trait;
use tonic::Code;
use tonic::transport::Channel;

use self::proto::model_infer_request::InferInputTensor;
use self::proto::model_metadata_response::TensorMetadata;
use self::proto::{
    ModelConfigRequest, ModelInferRequest, ModelMetadataRequest, RepositoryIndexRequest,
    RepositoryIndexResponse, grpc_inference_service_client::GrpcInferenceServiceClient,
};
use super::call::{Call, Protocol};
use crate::serving::failure::Failure;
use crate::serving::layout;
use crate::serving::model::{Input, ModelId, Served, Signature, SignatureError};
use crate::serving::tensor::{Elements, Tensor};
use crate::traces;

/// Letters of a request's name that are sent: servers repeat it in answers and errors.
const ID_LETTERS: usize = 64;

/// Speaks the protocol.
pub(in crate::serving) struct OpenInference;

#[async_trait]
impl Protocol for OpenInference {
    fn service(&self) -> &'static str {
        "inference.GRPCInferenceService"
    }

    async fn metadata(&self, call: Call, model: &ModelId) -> Result<Signature, Failure> {
        let request = call.request(ModelMetadataRequest {
            name: model.name.clone(),
            version: version(model),
        });
        let answer = client(call.clone()).model_metadata(request).await;
        let answer = answer.map_err(Failure::of)?.into_inner();
        let inputs: Result<_, _> = answer.inputs.into_iter().map(input).collect();
        let mut signature = Signature::new(inputs.map_err(Failure::BadMetadata)?);
        let outputs = answer.outputs.into_iter();
        signature.outputs = outputs.map(|output| output.name).collect();
        signature.max_batch_size = max_batch_size(call, model).await?;
        Ok(layout::with_channels_last(signature))
    }

    async fn served(&self, call: Call, names: &[String]) -> Result<Served, Failure> {
        let request = call.request(RepositoryIndexRequest {
            ready: true,
            ..RepositoryIndexRequest::default()
        });
        let answer = client(call.clone()).repository_index(request).await;
        match answer.map_err(Failure::of) {
            Ok(answer) => Ok(listed(answer.into_inner())),
            // The list is Triton's; KServe and OpenVINO have none.
            Err(Failure::Refused {
                code: Code::Unimplemented,
                ..
            }) => by_names(&call, names).await,
            Err(failure) => Err(failure),
        }
    }

    async fn predict(
        &self,
        call: Call,
        model: &ModelId,
        inputs: &[(String, Tensor)],
    ) -> Result<Vec<(String, Tensor)>, Failure> {
        let mut message = ModelInferRequest {
            model_name: model.name.clone(),
            model_version: version(model),
            id: traces::job().chars().take(ID_LETTERS).collect(),
            ..ModelInferRequest::default()
        };
        for (name, tensor) in inputs {
            message.inputs.push(InferInputTensor {
                name: name.clone(),
                datatype: data_type::to_wire(tensor.dtype).to_owned(),
                shape: tensor.shape.clone(),
                contents: None,
            });
            let Elements::Packed(bytes) = &tensor.elements else {
                let message = format!("input `{name}` is not packed");
                return Err(Failure::Refused {
                    code: Code::InvalidArgument,
                    message,
                });
            };
            message.raw_input_contents.push(bytes.clone());
        }
        let request = call.request(message);
        let answer = client(call).model_infer(request).await;
        tensor::outputs(answer.map_err(Failure::of)?.into_inner())
    }
}

/// Models of a list. Servers may have some without a version.
fn listed(answer: RepositoryIndexResponse) -> Served {
    let mut served = Served::new();
    for model in answer.models {
        // MLServer writes `State.READY`.
        let state = model.state.rsplit('.').next().unwrap_or_default();
        if !matches!(state, "" | "READY") {
            continue;
        }
        let versions = served.entry(model.name).or_default();
        versions.extend((!model.version.is_empty()).then_some(model.version));
    }
    served
}

/// The models of these names that the server tells something of.
async fn by_names(call: &Call, names: &[String]) -> Result<Served, Failure> {
    let mut served = Served::new();
    for name in names {
        let request = call.request(ModelMetadataRequest {
            name: name.clone(),
            version: String::new(),
        });
        let answer = client(call.clone()).model_metadata(request).await;
        match answer.map_err(Failure::of) {
            Ok(answer) => {
                let versions = answer.into_inner().versions;
                served.insert(name.clone(), versions.into_iter().collect());
            }
            Err(Failure::ModelMissing(_) | Failure::Refused { .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(served)
}

/// The version as text. Version 0, which TensorFlow Serving may have, can be on none of these servers: it asks for the newest.
pub(in crate::serving) fn version(model: &ModelId) -> String {
    if model.version == 0 {
        String::new()
    } else {
        model.version.to_string()
    }
}

/// The largest batch that Triton takes; other servers have no such number, and do not know the question.
async fn max_batch_size(call: Call, model: &ModelId) -> Result<Option<usize>, Failure> {
    let request = call.request(ModelConfigRequest {
        name: model.name.clone(),
        version: version(model),
    });
    let config = match client(call)
        .model_config(request)
        .await
        .map_err(Failure::of)
    {
        Ok(answer) => answer.into_inner().config,
        Err(Failure::Refused { .. }) => None,
        Err(failure) => return Err(failure),
    };
    let size = config.and_then(|config| usize::try_from(config.max_batch_size).ok());
    Ok(size.filter(|size| *size > 0))
}

fn input(metadata: TensorMetadata) -> Result<Input, SignatureError> {
    let TensorMetadata {
        name,
        datatype,
        shape,
    } = metadata;
    let dtype = data_type::from_wire(&datatype).ok_or_else(|| SignatureError::no_type(&name))?;
    Ok(Input {
        dtype,
        shape,
        graph_name: name.clone(),
        name,
    })
}

fn client(call: Call) -> GrpcInferenceServiceClient<Channel> {
    let client = GrpcInferenceServiceClient::new(call.channel)
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    match call.compression {
        Some(encoding) => client.send_compressed(encoding).accept_compressed(encoding),
        None => client,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::proto::repository_index_response::ModelIndex;
    use super::*;

    #[test]
    fn models_that_are_ready_are_listed_however_servers_write_it() {
        let model = |name: &str, version: &str, state: &str| ModelIndex {
            name: name.to_owned(),
            version: version.to_owned(),
            state: state.to_owned(),
        };
        let models = vec![
            model("Triton", "1", "READY"),
            model("Triton", "12", "READY"),
            model("Triton", "13", "UNAVAILABLE"),
            model("MLServer", "", "State.READY"),
            model("Gone", "1", "State.UNAVAILABLE"),
        ];
        let served = listed(RepositoryIndexResponse { models });
        let versions = ["1", "12"].map(str::to_owned).into();
        let expected = [
            ("MLServer".to_owned(), BTreeSet::new()),
            ("Triton".to_owned(), versions),
        ];
        assert_eq!(served, expected.into());
    }
}
