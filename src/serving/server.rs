//! A server of models written in Rust, by the protocols that the client speaks.

mod open_inference;
mod tf_serving;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ndarray::ArrayD;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::client::Client;
use super::data_type::DataType;
#[cfg(any(test, feature = "testing"))]
use super::faults::Faults;
use super::model::{Input, ModelId};
use super::protocol::open_inference::proto::grpc_inference_service_server::GrpcInferenceServiceServer;
use super::protocol::tf_serving::proto::tensorflow::serving::model_service_server::ModelServiceServer;
use super::protocol::tf_serving::proto::tensorflow::serving::prediction_service_server::PredictionServiceServer;
use super::settings::ServingSettings;
use crate::settings::{Env, Loader};

/// Bytes that may be under way to the server.
const WINDOW: u32 = 16 << 20;

/// How long [`ModelServer::stop`] waits for calls to end.
const STOP_GRACE: Duration = Duration::from_secs(2);

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
        Self::serve(address, Service::new(models)).await
    }

    /// The same as [`Self::start`] by the Open Inference Protocol only, as Triton, KServe and MLServer serve.
    ///
    /// # Errors
    /// If the port is taken.
    #[cfg(any(test, feature = "testing"))]
    pub async fn start_open_inference(port: u16, models: Vec<Model>) -> io::Result<Self> {
        let mut service = Service::new(models);
        service.speaks_tf_serving = false;
        Self::serve((Ipv4Addr::LOCALHOST, port).into(), service).await
    }

    async fn serve(address: SocketAddr, service: Service) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
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
    let tf_serving = service.speaks_tf_serving.then(|| {
        PredictionServiceServer::new(service.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    });
    let speaks_tf_serving = service.speaks_tf_serving;
    let statuses = speaks_tf_serving.then(|| ModelServiceServer::new(service.clone()));
    let open_inference = GrpcInferenceServiceServer::new(service)
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let serving = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .add_optional_service(tf_serving)
        .add_optional_service(statuses)
        .add_service(open_inference)
        .serve_with_incoming_shutdown(
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

/// The models, and how they are spoken of.
#[derive(Clone)]
struct Service {
    models: Arc<[Model]>,
    speaks_tf_serving: bool,
    #[cfg(any(test, feature = "testing"))]
    faults: Arc<Faults>,
}

impl Service {
    fn new(models: Vec<Model>) -> Self {
        Self {
            models: models.into(),
            speaks_tf_serving: true,
            #[cfg(any(test, feature = "testing"))]
            faults: Arc::default(),
        }
    }

    /// The model of this name that is as wanted; the latest, if several are.
    fn find(&self, name: &str, is_wanted: impl Fn(i64) -> bool) -> Option<&Model> {
        let named = self.models.iter().filter(|model| model.id.name == name);
        let wanted = named.filter(|model| is_wanted(model.id.version));
        wanted.max_by_key(|model| model.id.version)
    }
}

/// Runs a model away from the threads that serve.
async fn run(model: &Model, inputs: NamedArrays) -> Result<NamedArrays, Status> {
    let model = model.clone();
    let id = model.id.clone();
    let run = tokio::task::spawn_blocking(move || (model.run)(&inputs));
    let outputs = run.await.map_err(|_| {
        let message = format!("model `{id}` panicked");
        Status::internal(message)
    })?;
    outputs.map_err(Status::invalid_argument)
}

/// The inputs of a model in the order of their names, with the types that they came in.
///
/// # Errors
/// What is not as the model takes it.
fn checked(
    model: &Model,
    mut given: Vec<(String, Option<DataType>, ArrayD<f32>)>,
) -> Result<NamedArrays, Status> {
    for (name, dtype, array) in &given {
        let known = model.inputs.iter().find(|input| input.name == *name);
        let fits = known
            .is_some_and(|input| Some(input.dtype) == *dtype && fits(&input.shape, array.shape()));
        if !fits {
            return Err(Status::invalid_argument(format!(
                "expected {known:?}, found `{name}` of type {dtype:?} and shape {:?}",
                array.shape()
            )));
        }
    }
    if given.len() != model.inputs.len() {
        return Err(Status::invalid_argument(format!(
            "expected {:?}, found {} inputs",
            model.inputs,
            given.len()
        )));
    }
    given.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(given
        .into_iter()
        .map(|(name, _, array)| (name, array))
        .collect())
}

/// Whether an array has the sizes that are not free.
fn fits(wanted: &[i64], found: &[usize]) -> bool {
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(found)
            .all(|(want, have)| *want < 0 || *want == *have as i64)
}
