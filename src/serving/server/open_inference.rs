//! The server's side of the Open Inference Protocol, as Triton answers.

use ndarray::ArrayD;
use tonic::{Request, Response, Status};

use super::{Model, Service, checked, run};
use crate::serving::data_type::DataType;
#[cfg(any(test, feature = "testing"))]
use crate::serving::faults::Method;
use crate::serving::model::Input;
use crate::serving::protocol::open_inference::data_type::{from_wire, to_wire};
use crate::serving::protocol::open_inference::proto::grpc_inference_service_server::GrpcInferenceService;
use crate::serving::protocol::open_inference::proto::model_infer_request::InferInputTensor;
use crate::serving::protocol::open_inference::proto::model_infer_response::InferOutputTensor;
use crate::serving::protocol::open_inference::proto::model_metadata_response::TensorMetadata;
use crate::serving::protocol::open_inference::proto::repository_index_response::ModelIndex;
use crate::serving::protocol::open_inference::proto::{
    ModelConfig, ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse,
    RepositoryIndexRequest, RepositoryIndexResponse,
};
use crate::serving::tensor::{Elements, Tensor};

#[tonic::async_trait]
impl GrpcInferenceService for Service {
    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready = self.versioned(&name, &version).is_ok();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        #[cfg(any(test, feature = "testing"))]
        let _call = self.faults.enter(Method::Metadata, &request).await?;
        let ModelMetadataRequest { name, version } = request.into_inner();
        let model = self.versioned(&name, &version)?;
        Ok(Response::new(ModelMetadataResponse {
            name,
            versions: vec![model.id.version.to_string()],
            platform: String::new(),
            inputs: model.inputs.iter().map(metadata).collect(),
            outputs: model.outputs.iter().map(metadata).collect(),
        }))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let model = self.versioned(&name, &version)?;
        let config = ModelConfig {
            max_batch_size: self.max_batch_size(),
            name: model.id.name.clone(),
            ..ModelConfig::default()
        };
        let config = Some(config);
        Ok(Response::new(ModelConfigResponse { config }))
    }

    async fn repository_index(
        &self,
        _: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let models = self.models.iter().map(|model| ModelIndex {
            name: model.id.name.clone(),
            version: model.id.version.to_string(),
            state: "READY".to_owned(),
        });
        Ok(Response::new(RepositoryIndexResponse {
            models: models.collect(),
        }))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        #[cfg(any(test, feature = "testing"))]
        let _call = self.faults.enter(Method::Predict, &request).await?;
        let ModelInferRequest {
            model_name,
            model_version,
            id,
            inputs,
            raw_input_contents,
        } = request.into_inner();
        let model = self.versioned(&model_name, &model_version)?;
        if inputs.len() != raw_input_contents.len() {
            return Err(Status::invalid_argument("an input is not raw"));
        }
        let given = inputs.into_iter().zip(raw_input_contents);
        let given: Result<_, _> = given.map(|(input, bytes)| decoded(input, bytes)).collect();
        let outputs = run(model, checked(model, given?)?).await?;
        let mut response = ModelInferResponse {
            model_name,
            model_version: model.id.version.to_string(),
            id,
            ..ModelInferResponse::default()
        };
        for (name, array) in outputs {
            self.put(&mut response, name, array)?;
        }
        Ok(Response::new(response))
    }
}

impl Service {
    /// The model of this name and version; the latest, if no version is given.
    fn versioned(&self, name: &str, version: &str) -> Result<&Model, Status> {
        let wanted = match version {
            "" => None,
            number => match number.parse::<i64>() {
                Ok(number) => Some(number),
                Err(_) => {
                    let message = format!("model version `{version}` is not a number");
                    return Err(Status::invalid_argument(message));
                }
            },
        };
        let found = self.find(name, |version| {
            wanted.is_none_or(|wanted| version == wanted)
        });
        found.ok_or_else(|| {
            let message =
                format!("Request for unknown model: '{name}' version {version} is not found");
            Status::not_found(message)
        })
    }

    fn max_batch_size(&self) -> i32 {
        #[cfg(any(test, feature = "testing"))]
        if let Some(rows) = self.faults.told_rows() {
            return i32::try_from(rows).unwrap_or(i32::MAX);
        }
        0
    }

    /// Adds an output to an answer.
    fn put(
        &self,
        response: &mut ModelInferResponse,
        name: String,
        array: ArrayD<f32>,
    ) -> Result<(), Status> {
        let shape = array.shape().iter().map(|size| *size as i64).collect();
        let output = InferOutputTensor {
            name,
            datatype: to_wire(DataType::F32).to_owned(),
            shape,
            contents: None,
        };
        #[cfg(any(test, feature = "testing"))]
        if let Some((datatype, contents)) = self.faults.typed(&array) {
            response.outputs.push(InferOutputTensor {
                datatype,
                contents: Some(contents),
                ..output
            });
            return Ok(());
        }
        let tensor = Tensor::pack(array, DataType::F32);
        let tensor = tensor.map_err(|error| Status::internal(error.to_string()))?;
        if let Elements::Packed(bytes) = tensor.elements {
            response.outputs.push(output);
            response.raw_output_contents.push(bytes);
        }
        Ok(())
    }
}

fn metadata(tensor: &Input) -> TensorMetadata {
    TensorMetadata {
        name: tensor.name.clone(),
        datatype: to_wire(tensor.dtype).to_owned(),
        shape: tensor.shape.clone(),
    }
}

/// An input with the type that it came in.
fn decoded(
    input: InferInputTensor,
    bytes: bytes::Bytes,
) -> Result<(String, Option<DataType>, ArrayD<f32>), Status> {
    let InferInputTensor {
        name,
        datatype,
        shape,
        ..
    } = input;
    let refused = |why: String| Status::invalid_argument(format!("input `{name}`: {why}"));
    let dtype = from_wire(&datatype).ok_or_else(|| refused(format!("type `{datatype}`")))?;
    let tensor = Tensor {
        dtype,
        shape,
        elements: Elements::Packed(bytes),
    };
    let array = tensor
        .unpack()
        .map_err(|error| refused(error.to_string()))?;
    Ok((name, Some(dtype), array))
}
