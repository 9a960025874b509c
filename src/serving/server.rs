//! A server of models written in Rust, by the same protocol that the client speaks.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ndarray::ArrayD;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::client::Client;
use super::data_type::DataType;
#[cfg(any(test, feature = "testing"))]
use super::faults::{Faults, Method};
use super::model::{DEFAULT_SIGNATURE, Input, ModelId};
use super::protocol::tf_serving::data_type::from_wire;
use super::protocol::tf_serving::proto::tensorflow::serving::get_model_metadata_response::Fact;
use super::protocol::tf_serving::proto::tensorflow::serving::model_spec::VersionChoice;
use super::protocol::tf_serving::proto::tensorflow::serving::prediction_service_server::{
    PredictionService, PredictionServiceServer,
};
use super::protocol::tf_serving::proto::tensorflow::serving::{
    GetModelMetadataRequest, GetModelMetadataResponse, ModelSpec, PredictRequest, PredictResponse,
    SignatureDefMap,
};
use super::protocol::tf_serving::proto::tensorflow::{SignatureDef, TensorProto};
use super::protocol::tf_serving::signature::{SIGNATURE_DEF, wire_infos};
use super::protocol::tf_serving::tensor::{decode, encode};
use super::settings::ServingSettings;
use crate::settings::{Env, Loader};

/// Bytes that may be under way to the server.
const WINDOW: u32 = 16 << 20;

/// How long [`ModelServer::stop`] waits for calls to end.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// The type that the wire names the signatures by.
const SIGNATURES_TYPE: &str = "type.googleapis.com/tensorflow.serving.SignatureDefMap";

/// What a model does: named arrays in, named arrays or a complaint out. It may take its time and all cores.
pub type Run = Arc<
    dyn Fn(&[(String, ArrayD<f32>)]) -> Result<Vec<(String, ArrayD<f32>)>, String> + Send + Sync,
>;

/// Arrays with the names of the tensors they come from or go into.
type NamedArrays = Vec<(String, ArrayD<f32>)>;

/// A model to serve.
#[derive(Clone)]
pub struct Model {
    /// Its name and version.
    pub id: ModelId,
    /// What it takes.
    pub inputs: Vec<Input>,
    /// What it gives.
    pub outputs: Vec<Input>,
    /// What it does.
    pub run: Run,
}

/// A running server. It stops when it is dropped.
pub struct ModelServer {
    address: SocketAddr,
    stop: DropGuard,
    task: JoinHandle<()>,
    #[cfg(any(test, feature = "testing"))]
    faults: Arc<Faults>,
}

impl ModelServer {
    /// Serves models on a port of this machine that other machines cannot reach; port 0 takes any that is free.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start(port: u16, models: Vec<Model>) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, port).into(), models).await
    }

    /// Serves models at an address of this machine, to whoever reaches it.
    ///
    /// # Errors
    /// If the address is taken or not this machine's.
    pub async fn start_at(address: SocketAddr, models: Vec<Model>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let service = Service::new(models);
        let stopping = CancellationToken::new();
        #[cfg(any(test, feature = "testing"))]
        let faults = Arc::clone(&service.faults);
        let task = tokio::spawn(serve(listener, service, stopping.clone()));
        Ok(Self {
            address,
            stop: stopping.drop_guard(),
            task,
            #[cfg(any(test, feature = "testing"))]
            faults,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of this server, with the defaults of every other setting.
    pub fn client(&self) -> Client {
        let env: Env = [
            ("TF_HOST", self.address.ip().to_string()),
            ("TF_PORT", self.address.port().to_string()),
        ]
        .into_iter()
        .collect();
        Client::new(ServingSettings::load(&mut Loader::new(&env)), None)
    }

    /// What goes wrong on demand, and what was asked.
    #[cfg(any(test, feature = "testing"))]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Ends: no new calls, a moment for those under way.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

async fn serve(listener: TcpListener, service: Service, stopping: CancellationToken) {
    let service = PredictionServiceServer::new(service)
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let serving = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .serve_with_incoming_shutdown(
            service,
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stopping.clone().cancelled_owned(),
        );
    let too_long = async {
        stopping.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        outcome = serving => if let Err(error) = outcome { tracing::error!(%error, "model server failed") },
        () = too_long => {}
    }
}

/// The service itself.
struct Service {
    models: Vec<Model>,
    #[cfg(any(test, feature = "testing"))]
    faults: Arc<Faults>,
}

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
        let model = self.find(model_spec.as_ref())?.clone();
        let id = model.id.clone();
        let run = tokio::task::spawn_blocking(move || run(&model, inputs));
        let outputs = run.await.unwrap_or_else(|_| {
            let message = format!("model `{id}` panicked");
            Err(Status::internal(message))
        })?;
        let wanted = outputs
            .into_iter()
            .filter(|(name, _)| output_filter.is_empty() || output_filter.contains(name));
        let outputs = wanted
            .map(|(name, array)| Ok((name, self.answer(array)?)))
            .collect::<Result<_, Status>>()?;
        Ok(Response::new(PredictResponse {
            outputs,
            model_spec: Some(spec(&id)),
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
        let model = self.find(model_spec.as_ref())?;
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

impl Service {
    fn new(models: Vec<Model>) -> Self {
        Self {
            models,
            #[cfg(any(test, feature = "testing"))]
            faults: Arc::default(),
        }
    }

    /// The model of this name and version, or the latest of the name.
    fn find(&self, wanted: Option<&ModelSpec>) -> Result<&Model, Status> {
        let wanted = wanted.ok_or_else(|| Status::invalid_argument("no model is named"))?;
        let mut named = self
            .models
            .iter()
            .filter(|model| model.id.name == wanted.name);
        let found = match wanted.version_choice {
            None => named.max_by_key(|model| model.id.version),
            Some(VersionChoice::Version(version)) => {
                named.find(|model| model.id.version == version)
            }
            Some(VersionChoice::VersionLabel(_)) => None,
        };
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

    fn answer(&self, array: ArrayD<f32>) -> Result<TensorProto, Status> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(tensor) = self.faults.answer(&array) {
            return Ok(tensor);
        }
        encode(array, DataType::F32).map_err(|error| Status::internal(error.to_string()))
    }
}

fn run(model: &Model, tensors: HashMap<String, TensorProto>) -> Result<NamedArrays, Status> {
    let inputs = decode_inputs(model, tensors)?;
    (model.run)(&inputs).map_err(Status::invalid_argument)
}

fn decode_inputs(
    model: &Model,
    tensors: HashMap<String, TensorProto>,
) -> Result<NamedArrays, Status> {
    let mut inputs = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = from_wire(tensor.dtype());
        let array = decode(tensor)
            .map_err(|error| Status::invalid_argument(format!("input `{name}`: {error}")))?;
        let known = model.inputs.iter().find(|input| input.name == name);
        let fits = known
            .is_some_and(|input| Some(input.dtype) == dtype && fits(&input.shape, array.shape()));
        if !fits {
            return Err(Status::invalid_argument(format!(
                "expected {known:?}, found `{name}` of type {dtype:?} and shape {:?}",
                array.shape()
            )));
        }
        inputs.push((name, array));
    }
    if inputs.len() != model.inputs.len() {
        return Err(Status::invalid_argument(format!(
            "expected {:?}, found {} inputs",
            model.inputs,
            inputs.len()
        )));
    }
    inputs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(inputs)
}

/// Whether an array has the sizes that are not free.
fn fits(wanted: &[i64], found: &[usize]) -> bool {
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(found)
            .all(|(want, have)| *want < 0 || *want == *have as i64)
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
