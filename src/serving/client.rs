//! The client of a model server.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ndarray::{ArrayD, ArrayViewD};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::{Ascii, MetadataKey};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::error::Error;
use super::metrics::ServingMetrics;
use super::model::{ModelId, SIGNATURE_DEF, Signature};
use super::pool::Pool;
use super::proto::tensorflow::TensorProto;
use super::proto::tensorflow::serving::model_spec::VersionChoice;
use super::proto::tensorflow::serving::prediction_service_client::PredictionServiceClient;
use super::proto::tensorflow::serving::{GetModelMetadataRequest, ModelSpec, PredictRequest};
use super::retry::{Failure, Retry};
use super::settings::ServingSettings;
use super::tensor::{decode, encode};
use crate::traces;

/// Time for one attempt to get metadata.
const METADATA_DEADLINE: Duration = Duration::from_secs(10);

/// The server is told a little more time than it has: when time is up, it is this side that says so.
const CLOCK_MARGIN: Duration = Duration::from_millis(500);

type Stub = PredictionServiceClient<Channel>;

/// A place where consumers share the metadata of models. It must not fail: a cache that is out of order is empty.
#[async_trait]
pub trait MetadataCache: Send + Sync {
    /// The text kept for this model, if it is still there.
    async fn get(&self, model: &ModelId) -> Option<String>;

    /// Keeps a text for so long.
    async fn put(&self, model: &ModelId, json: &str, ttl: Duration);
}

/// A client of all model servers behind one name. Clones share connections and limits; nothing connects before the
/// first call. Every call may be dropped at any time: the server is told to stop.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ServingSettings,
    cache: Option<Arc<dyn MetadataCache>>,
    known: Mutex<HashMap<ModelId, (Instant, Arc<Signature>)>>,
    in_flight: Semaphore,
    pool: Arc<Pool>,
    watcher: OnceLock<AbortOnDropHandle<()>>,
    metrics: ServingMetrics,
}

impl Client {
    /// A client with these settings that shares metadata through `cache`.
    pub fn new(settings: ServingSettings, cache: Option<Arc<dyn MetadataCache>>) -> Self {
        let inner = Inner {
            cache,
            known: Mutex::default(),
            in_flight: Semaphore::new(settings.max_in_flight.get()),
            pool: Arc::new(Pool::new(settings.clone())),
            watcher: OnceLock::new(),
            metrics: ServingMetrics::default(),
            settings,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &ServingSettings {
        &self.inner.settings
    }

    /// Adds the counters of the client to a registry.
    pub(crate) fn register(&self, all: &mut Registry) {
        self.inner.metrics.register(all);
    }

    /// The models whose metadata are known.
    pub fn known_models(&self) -> Vec<ModelId> {
        self.inner
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }

    /// Whether the last call found no server, and none has been seen since.
    pub fn is_down(&self) -> bool {
        self.inner.pool.is_down()
    }

    /// Waits until a server is not known to be away.
    pub async fn is_up(&self) {
        self.inner.pool.is_up().await;
    }

    /// What a model takes: from memory, from the shared cache, or from the server.
    ///
    /// # Errors
    /// [`Error`] if the server does not have the model, does not say what it takes, or cannot be asked.
    pub async fn signature(&self, model: &ModelId) -> Result<Arc<Signature>, Error> {
        if let Some(signature) = self.remembered(model) {
            return Ok(signature);
        }
        let signature = match self.cached(model).await {
            Some(signature) => signature,
            None => self.fetched(model).await?,
        };
        Ok(self.remember(model, signature))
    }

    /// Runs a model: all outputs, in byte order of their names, as float32.
    ///
    /// The inputs are arrays `[batch, …]` under the names that [`Self::signature`] gives, in any order. They are sent
    /// in the type that the model wants.
    ///
    /// # Errors
    /// [`Error`] if names or number of the inputs are not the model's, if the server refuses them, or if no attempt
    /// brought an answer that can be read.
    pub async fn predict(
        &self,
        model: &ModelId,
        inputs: &[(&str, ArrayViewD<'_, f32>)],
    ) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
        let signature = self.signature(model).await?;
        let _permit = self
            .inner
            .in_flight
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let rows = inputs
            .iter()
            .filter_map(|(_, array)| array.shape().first())
            .max()
            .copied()
            .unwrap_or(0);
        self.inner.metrics.sending(model, rows);
        let inputs = encode_inputs(model, &signature, inputs)?;
        let message = PredictRequest {
            model_spec: Some(spec(model)),
            inputs,
            output_filter: Vec::new(),
        };
        let deadline = self.inner.settings.deadline;
        let send = |mut stub: Stub, message| async move { stub.predict(message).await };
        let note = |code, took| self.inner.metrics.answered(model, code, took);
        let response = self.call(model, (deadline, message), send, note).await?;
        decode_outputs(model, response.outputs)
    }

    fn remembered(&self, model: &ModelId) -> Option<Arc<Signature>> {
        let known = self
            .inner
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (since, signature) = known.get(model)?;
        (since.elapsed() < self.inner.settings.metadata_ttl).then(|| Arc::clone(signature))
    }

    fn remember(&self, model: &ModelId, signature: Signature) -> Arc<Signature> {
        let signature = Arc::new(signature);
        let entry = (Instant::now(), Arc::clone(&signature));
        self.inner
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(model.clone(), entry);
        signature
    }

    async fn cached(&self, model: &ModelId) -> Option<Signature> {
        let text = self.inner.cache.as_ref()?.get(model).await?;
        let signature = Signature::from_json(&text);
        signature
            .inspect_err(
                |error| tracing::warn!(%model, %error, "the shared metadata are passed over"),
            )
            .ok()
    }

    async fn fetched(&self, model: &ModelId) -> Result<Signature, Error> {
        let metadata_field = vec![SIGNATURE_DEF.to_owned()];
        let message = GetModelMetadataRequest {
            model_spec: Some(spec(model)),
            metadata_field,
        };
        let send = |mut stub: Stub, message| async move { stub.get_model_metadata(message).await };
        let response = self
            .call(model, (METADATA_DEADLINE, message), send, |_, _| {})
            .await?;
        let signature =
            Signature::from_response(&response).map_err(|source| Error::BadMetadata {
                model: model.clone(),
                source,
            })?;
        if let Some(cache) = &self.inner.cache {
            cache
                .put(
                    model,
                    &signature.to_json(),
                    self.inner.settings.metadata_ttl,
                )
                .await;
        }
        Ok(signature)
    }

    /// Makes a call as often as it takes. `note` hears how each attempt ended and how long it took.
    async fn call<M, T, F>(
        &self,
        model: &ModelId,
        (deadline, message): (Duration, M),
        send: impl Fn(Stub, Request<M>) -> F,
        note: impl Fn(&'static str, Duration),
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut retry = Retry::new(&self.inner.settings);
        loop {
            let request = || {
                let mut request = Request::new(message.clone());
                request.set_timeout(deadline + CLOCK_MARGIN);
                for (name, value) in traces::context() {
                    if let (Ok(name), Ok(value)) =
                        (name.parse::<MetadataKey<Ascii>>(), value.parse())
                    {
                        request.metadata_mut().insert(name, value);
                    }
                }
                request
            };
            let began = Instant::now();
            let span = self.span(model);
            let answer = self
                .attempt(deadline, |stub| send(stub, request()))
                .instrument(span.clone())
                .await;
            let code = answer.as_ref().err().map_or("OK", Failure::code);
            span.record("rpc.response.status_code", code);
            if code != "OK" {
                span.record("otel.status_code", "ERROR");
            }
            note(code, began.elapsed());
            self.inner
                .pool
                .mark_down(matches!(answer, Err(Failure::Unavailable(_))));
            let failure = match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(pause) = retry.pause(&failure, Instant::now()) else {
                return Err(retry.into_error(failure, model));
            };
            tracing::warn!(%model, ?failure, pause_ms = pause.as_millis() as u64, "the model server is asked again");
            tokio::time::sleep(pause).await;
        }
    }

    /// The span of one attempt.
    fn span(&self, model: &ModelId) -> Span {
        let (host, port) = (self.inner.settings.host.as_str(), self.inner.settings.port);
        info_span!(
            target: traces::TARGET,
            "call",
            otel.name = "tensorflow.serving.PredictionService",
            otel.kind = "client",
            rpc.system.name = "grpc",
            server.address = host,
            server.port = port,
            ml.model.name = model.name,
            ml.model.version = model.version,
            rpc.response.status_code = Empty,
            otel.status_code = Empty,
        )
    }

    /// Asks one server after the other until one of them is there.
    async fn attempt<T, F>(
        &self,
        deadline: Duration,
        send: impl Fn(Stub) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let pool = &self.inner.pool;
        self.inner
            .watcher
            .get_or_init(|| AbortOnDropHandle::new(tokio::spawn(Arc::clone(pool).watch())));
        loop {
            let lease = pool.pick().await.map_err(Failure::Unavailable)?;
            let failure =
                match tokio::time::timeout(deadline, send(self.stub(lease.channel()))).await {
                    Ok(Ok(response)) => return Ok(response.into_inner()),
                    Ok(Err(status)) => Failure::from(status),
                    Err(_) => Failure::Late,
                };
            if matches!(failure, Failure::Late | Failure::Unavailable(_)) {
                pool.retire(&lease);
            }
            if !matches!(failure, Failure::Unavailable(_)) || !pool.has_rested() {
                return Err(failure);
            }
        }
    }

    fn stub(&self, channel: Channel) -> Stub {
        let stub = Stub::new(channel)
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        match self.inner.settings.compression {
            Some(encoding) => stub.send_compressed(encoding).accept_compressed(encoding),
            None => stub,
        }
    }
}

/// The model on the wire. The version is there even if it is 0: without it the server would take its latest.
fn spec(model: &ModelId) -> ModelSpec {
    let version_choice = Some(VersionChoice::Version(model.version));
    ModelSpec {
        name: model.name.clone(),
        version_choice,
        signature_name: String::new(),
    }
}

fn encode_inputs(
    model: &ModelId,
    signature: &Signature,
    inputs: &[(&str, ArrayViewD<'_, f32>)],
) -> Result<HashMap<String, TensorProto>, Error> {
    let mut tensors = HashMap::new();
    for (name, array) in inputs {
        let input = signature
            .input(name)
            .ok_or_else(|| bad_inputs(model, signature, inputs))?;
        let tensor =
            encode(array, input.dtype).map_err(|source| bad_tensor(model, name, source))?;
        tensors.insert(input.name.clone(), tensor);
    }
    let complete = tensors.len() == signature.inputs.len() && tensors.len() == inputs.len();
    if complete {
        Ok(tensors)
    } else {
        Err(bad_inputs(model, signature, inputs))
    }
}

fn bad_inputs(
    model: &ModelId,
    signature: &Signature,
    inputs: &[(&str, ArrayViewD<'_, f32>)],
) -> Error {
    let listed = |names: Vec<&str>| format!("[{}]", names.join(", "));
    let expected = listed(
        signature
            .inputs
            .iter()
            .map(|input| input.name.as_str())
            .collect(),
    );
    let found = listed(inputs.iter().map(|(name, _)| *name).collect());
    Error::BadInputs {
        model: model.clone(),
        expected,
        found,
    }
}

fn bad_tensor(model: &ModelId, tensor: &str, source: super::tensor::TensorError) -> Error {
    Error::BadTensor {
        model: model.clone(),
        tensor: tensor.to_owned(),
        source,
    }
}

fn decode_outputs(
    model: &ModelId,
    outputs: HashMap<String, TensorProto>,
) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
    let mut arrays = Vec::with_capacity(outputs.len());
    for (name, tensor) in outputs {
        let array = decode(tensor).map_err(|source| bad_tensor(model, &name, source))?;
        arrays.push((name, array));
    }
    arrays.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ndarray::arr1;

    use super::*;
    use crate::serving::{Input, Model, ModelServer};
    use crate::settings::{Env, Loader};

    #[tokio::test]
    async fn a_dead_server_is_passed_over_without_a_pause_while_another_lives() {
        let model = ModelId::new("Same", 1);
        let inputs = vec![Input::float("x", &[-1])];
        let same = Model {
            id: model.clone(),
            outputs: inputs.clone(),
            inputs,
            run: Arc::new(|x| Ok(x.to_vec())),
        };
        let alive = ModelServer::start(0, vec![same])
            .await
            .expect("a free port");
        let port = alive.address().port().to_string();
        let env: Env = [
            ("TF_HOST", "127.0.0.1"),
            ("TF_PORT", &port),
            ("GRPC_BACKOFF", "1000000"),
        ]
        .into_iter()
        .collect();
        let client = Client::new(ServingSettings::load(&mut Loader::new(&env)), None);
        let dead = SocketAddr::from(([127, 0, 0, 1], 1));
        for _ in 0..3 {
            client
                .inner
                .pool
                .replace([dead, alive.address()].into())
                .expect("addresses are fine");
            let array = arr1(&[1.0, 2.0]).into_dyn();
            let outputs = client
                .predict(&model, &[("x", array.view())])
                .await
                .expect("one of them lives");
            assert_eq!(outputs, [("x".to_owned(), array)]);
        }
    }
}
