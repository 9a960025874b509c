//! TensorFlow Serving's side of the server.

use ndarray::ArrayD;
use prost::Message;
use tonic::{Request, Response, Status};

use super::{Model, Service, checked, run};
use crate::serving::data_type::DataType;
#[cfg(any(test, feature = "testing"))]
use crate::serving::faults::Method;
use crate::serving::model::{DEFAULT_SIGNATURE, ModelId};
use crate::serving::protocol::tf_serving::data_type::from_wire;
use crate::serving::protocol::tf_serving::proto::tensorflow::serving::get_model_metadata_response::Fact;
use crate::serving::protocol::tf_serving::proto::tensorflow::serving::model_service_server::ModelService;
use crate::serving::protocol::tf_serving::proto::tensorflow::serving::model_spec::VersionChoice;
use crate::serving::protocol::tf_serving::proto::tensorflow::serving::model_version_status::State;
use crate::serving::protocol::tf_serving::proto::tensorflow::serving::predict_response::Output;
use crate::serving::protocol::tf_serving::proto::tensorflow::serving::prediction_service_server::PredictionService;
use crate::serving::protocol::tf_serving::proto::tensorflow::serving::{
    GetModelMetadataRequest, GetModelMetadataResponse, GetModelStatusRequest,
    GetModelStatusResponse, ModelSpec, ModelVersionStatus, PredictRequest, PredictResponse,
    SignatureDefMap,
};
use crate::serving::protocol::tf_serving::proto::tensorflow::{SignatureDef, TensorProto};
use crate::serving::protocol::tf_serving::signature::{SIGNATURE_DEF, wire_infos};
use crate::serving::protocol::tf_serving::tensor::{decode, encode};

/// The type that the wire names the signatures by.
const SIGNATURES_TYPE: &str = "type.googleapis.com/tensorflow.serving.SignatureDefMap";

#[tonic::async_trait]
impl PredictionService for Service {
    async fn predict(
        &self,
        request: Request<PredictRequest>,
    ) -> Result<Response<PredictResponse>, Status> {
        #[cfg(any(test, feature = "testing"))]
        let _call = self.faults.enter(Method::Predict, &request).await?;
        let PredictRequest {
            model_spec,
            inputs,
            output_filter,
        } = request.into_inner();
        let model = self.named(model_spec.as_ref())?;
        let given: Result<_, _> = inputs.into_iter().map(decoded).collect();
        let outputs = run(model, checked(model, given?)?).await?;
        let wanted = outputs
            .into_iter()
            .filter(|(name, _)| output_filter.is_empty() || output_filter.contains(name));
        let outputs = wanted
            .map(|(name, array)| {
                let tensor = self.tensor(array)?.encode_to_vec().into();
                Ok(Output { name, tensor })
            })
            .collect::<Result<_, Status>>()?;
        Ok(Response::new(PredictResponse {
            outputs,
            model_spec: Some(spec(&model.id)),
        }))
    }

    async fn get_model_metadata(
        &self,
        request: Request<GetModelMetadataRequest>,
    ) -> Result<Response<GetModelMetadataResponse>, Status> {
        #[cfg(any(test, feature = "testing"))]
        let _call = self.faults.enter(Method::Metadata, &request).await?;
        let GetModelMetadataRequest {
            model_spec,
            metadata_field,
        } = request.into_inner();
        let model = self.named(model_spec.as_ref())?;
        if metadata_field != [SIGNATURE_DEF] {
            return Err(Status::invalid_argument(format!(
                "metadata {metadata_field:?} is not known"
            )));
        }
        let metadata = [(SIGNATURE_DEF.to_owned(), signatures(model))].into();
        Ok(Response::new(GetModelMetadataResponse {
            model_spec: Some(spec(&model.id)),
            metadata,
        }))
    }
}

#[tonic::async_trait]
impl ModelService for Service {
    async fn get_model_status(
        &self,
        request: Request<GetModelStatusRequest>,
    ) -> Result<Response<GetModelStatusResponse>, Status> {
        let wanted = request.into_inner().model_spec.unwrap_or_default().name;
        let named = self.models.iter().filter(|model| model.id.name == wanted);
        let statuses = named.map(|model| ModelVersionStatus {
            version: model.id.version,
            state: State::Available.into(),
        });
        let model_version_status: Vec<_> = statuses.collect();
        if model_version_status.is_empty() {
            let message = format!("Could not find any versions of model {wanted}");
            return Err(Status::not_found(message));
        }
        Ok(Response::new(GetModelStatusResponse {
            model_version_status,
        }))
    }
}

impl Service {
    /// The model of this name and version, or the latest of the name.
    fn named(&self, wanted: Option<&ModelSpec>) -> Result<&Model, Status> {
        let wanted = wanted.ok_or_else(|| Status::invalid_argument("no model is named"))?;
        let found = self.find(&wanted.name, |version| match wanted.version_choice {
            None => true,
            Some(VersionChoice::Version(wanted)) => version == wanted,
            Some(VersionChoice::VersionLabel(_)) => false,
        });
        found.ok_or_else(|| {
            let version = match &wanted.version_choice {
                None => "any version".to_owned(),
                Some(VersionChoice::Version(version)) => format!("version {version}"),
                Some(VersionChoice::VersionLabel(label)) => format!("version label `{label}`"),
            };
            Status::not_found(format!(
                "model `{}` of {version} is not served here",
                wanted.name
            ))
        })
    }

    fn tensor(&self, array: ArrayD<f32>) -> Result<TensorProto, Status> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(tensor) = self.faults.answer(&array) {
            return Ok(tensor);
        }
        encode(array, DataType::F32).map_err(|error| Status::internal(error.to_string()))
    }
}

/// An input with the type that it came in.
fn decoded(
    (name, tensor): (String, TensorProto),
) -> Result<(String, Option<DataType>, ArrayD<f32>), Status> {
    let dtype = from_wire(tensor.dtype());
    match decode(tensor) {
        Ok(array) => Ok((name, dtype, array)),
        Err(error) => Err(Status::invalid_argument(format!("input `{name}`: {error}"))),
    }
}

fn spec(id: &ModelId) -> ModelSpec {
    let version_choice = Some(VersionChoice::Version(id.version));
    ModelSpec {
        name: id.name.clone(),
        version_choice,
        signature_name: DEFAULT_SIGNATURE.to_owned(),
    }
}

fn signatures(model: &Model) -> Fact {
    let signature = SignatureDef {
        inputs: wire_infos(&model.inputs),
        outputs: wire_infos(&model.outputs),
        method_name: "tensorflow/serving/predict".to_owned(),
    };
    let all = SignatureDefMap {
        signature_def: [(DEFAULT_SIGNATURE.to_owned(), signature)].into(),
    };
    Fact {
        type_url: SIGNATURES_TYPE.to_owned(),
        value: all.encode_to_vec(),
    }
}
