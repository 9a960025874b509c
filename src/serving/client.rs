//! The client of a model server: what every protocol has in common.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::conversion;
use super::error::Error;
use super::failure::Failure;
use super::metadata_cache::MetadataCache;
use super::metrics::ServingMetrics;
use super::model::{Input, ModelId, Signature};
use super::pool::Pool;
use super::protocol::tf_serving::TfServing;
use super::protocol::{Call, Protocol};
use super::retry::RetryState;
use super::settings::ServingSettings;
use crate::shared_cache::SharedCache;
use crate::traces;

/// Time for one attempt to get metadata.
const METADATA_DEADLINE: Duration = Duration::from_secs(10);

/// The server is told a little more time than it has: when time is up, it is this side that says so.
const CLOCK_MARGIN: Duration = Duration::from_millis(500);

/// A client of all model servers behind one name. Clones share connections and limits; nothing connects before the
/// first call. Every call may be dropped at any time: the server is told to stop.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ServingSettings,
    protocol: Box<dyn Protocol>,
    metadata: MetadataCache,
    in_flight: Semaphore,
    pool: Arc<Pool>,
    refresh: OnceLock<AbortOnDropHandle<()>>,
    metrics: ServingMetrics,
}

/// What a server is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Metadata,
    Predict,
}

impl Client {
    /// A client with these settings that shares metadata through `cache`.
    pub fn new(settings: ServingSettings, cache: Option<Arc<dyn SharedCache>>) -> Self {
        let inner = Inner {
            protocol: Box::new(TfServing),
            metadata: MetadataCache::new(cache, settings.metadata_ttl),
            in_flight: Semaphore::new(settings.max_in_flight.get()),
            pool: Arc::new(Pool::new(settings.target(), settings.deadline)),
            refresh: OnceLock::new(),
            metrics: ServingMetrics::default(),
            settings,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Adds the counters of the client to a registry.
    pub(crate) fn register(&self, all: &mut Registry) {
        self.inner.metrics.register(all);
    }

    /// The models whose metadata are known.
    pub fn known_models(&self) -> Vec<ModelId> {
        self.inner.metadata.models()
    }

    /// Requests that may be under way at once.
    pub fn max_in_flight(&self) -> usize {
        self.inner.settings.max_in_flight.get()
    }

    /// How many batch entries go into one request to a model, at least 1.
    pub fn batch_size(&self, signature: &Signature) -> usize {
        let settings = &self.inner.settings;
        signature.batch_size(settings.max_batch_size.get(), settings.min_model_size.get())
    }

    /// The input that takes the image: the only one, else the one that the settings name.
    pub fn image_input<'s>(&self, signature: &'s Signature) -> Option<&'s Input> {
        signature.image_input(self.inner.settings.tensor_name.as_deref())
    }

    /// Whether the last call found no server, and none has been seen since.
    pub fn is_down(&self) -> bool {
        self.inner.pool.is_down()
    }

    /// Waits until a server is not known to be away.
    pub async fn until_up(&self) {
        self.inner.pool.until_up().await;
    }

    /// What a model takes: from memory, from the shared cache, or from the server.
    ///
    /// # Errors
    /// [`Error`] if the server does not have the model, does not say what it takes, or cannot be asked.
    pub async fn signature(&self, model: &ModelId) -> Result<Arc<Signature>, Error> {
        let Inner {
            metadata, protocol, ..
        } = &*self.inner;
        if let Some(signature) = metadata.get(model).await {
            return Ok(signature);
        }
        let ask = |call| protocol.metadata(call, model);
        let signature = self.call(model, Question::Metadata, ask).await?;
        Ok(metadata.put(model, signature).await)
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
        inputs: Vec<(&str, ArrayD<f32>)>,
    ) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
        let Inner {
            in_flight,
            metrics,
            protocol,
            ..
        } = &*self.inner;
        let signature = self.signature(model).await?;
        let permit = in_flight.acquire().await;
        let _permit = permit.expect("the semaphore is never closed");
        metrics.sending(model, rows(&inputs));
        let asked = inputs.iter().map(|(_, array)| array.len()).sum();
        let tensors = conversion::pack(model, &signature, inputs).await?;
        let ask = |call| protocol.predict(call, model, &tensors);
        let outputs = self.call(model, Question::Predict, ask).await?;
        conversion::unpack(model, outputs, asked).await
    }

    /// Makes a call as often as it takes.
    async fn call<T, F>(
        &self,
        model: &ModelId,
        question: Question,
        ask: impl Fn(Call) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let deadline = match question {
            Question::Metadata => METADATA_DEADLINE,
            Question::Predict => self.inner.settings.deadline,
        };
        let mut retry = RetryState::new(&self.inner.settings);
        loop {
            let began = Instant::now();
            let span = self.span(model);
            let attempt = self.attempt(deadline, &ask).instrument(span.clone());
            let answer = attempt.await;
            let code = answer.as_ref().err().map_or("OK", Failure::code);
            record_code(&span, code);
            if question == Question::Predict {
                self.inner.metrics.answered(model, code, began.elapsed());
            }
            let failure = match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(delay) = retry.next_delay(&failure, Instant::now()) else {
                return Err(retry.into_error(failure, model));
            };
            let delay_ms = delay.as_millis() as u64;
            tracing::warn!(%model, ?failure, delay_ms, "model server request failed; retrying");
            tokio::time::sleep(delay).await;
        }
    }

    /// The span of one attempt.
    fn span(&self, model: &ModelId) -> Span {
        let Inner {
            settings, protocol, ..
        } = &*self.inner;
        info_span!(
            target: traces::TARGET,
            "call",
            otel.name = protocol.service(),
            otel.kind = "client",
            rpc.system.name = "grpc",
            server.address = settings.host.as_str(),
            server.port = settings.port,
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
        ask: &impl Fn(Call) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let pool = &self.inner.pool;
        self.inner
            .refresh
            .get_or_init(|| AbortOnDropHandle::new(tokio::spawn(Arc::clone(pool).refresh_loop())));
        let began = Instant::now();
        let answer = loop {
            let in_flight = match pool.pick(began).await {
                Ok(in_flight) => in_flight,
                Err(message) => break Err(Failure::Unavailable(message)),
            };
            let call = Call {
                channel: in_flight.channel(),
                compression: self.inner.settings.compression,
                timeout: deadline + CLOCK_MARGIN,
            };
            let answer = tokio::time::timeout(deadline, ask(call)).await;
            let answer = answer.unwrap_or(Err(Failure::DeadlineExceeded));
            let is_away = matches!(answer, Err(Failure::Unavailable(_)));
            if is_away || matches!(answer, Err(Failure::DeadlineExceeded)) {
                pool.eject(&in_flight);
            }
            if !is_away || !pool.has_healthy(began) {
                break answer;
            }
        };
        match answer {
            Err(Failure::Unavailable(_)) => pool.mark_down(),
            _ => pool.mark_up(),
        }
        answer
    }
}

fn record_code(span: &Span, code: &'static str) {
    span.record("rpc.response.status_code", code);
    if code != "OK" {
        span.record("otel.status_code", "ERROR");
    }
}

/// Entries of the largest batch among the inputs.
fn rows(inputs: &[(&str, ArrayD<f32>)]) -> usize {
    let rows = inputs.iter().filter_map(|(_, array)| array.shape().first());
    rows.max().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use ndarray::arr1;

    use super::super::data_type::DataType;
    use super::super::tensor::Tensor;
    use super::*;
    use crate::serving::{Input, Model, ModelServer};
    use crate::settings::{Env, Loader};

    /// A protocol that needs no server: models give back what they get, once they have been overloaded twice.
    #[derive(Default)]
    struct Echo {
        calls: AtomicUsize,
    }

    #[async_trait]
    impl Protocol for Echo {
        fn service(&self) -> &'static str {
            "test.Echo"
        }

        async fn metadata(&self, _: Call, _: &ModelId) -> Result<Signature, Failure> {
            let half = Input {
                dtype: DataType::F16,
                ..Input::float("x", &[-1])
            };
            Ok(Signature::new(vec![half]))
        }

        async fn predict(
            &self,
            _: Call,
            _: &ModelId,
            inputs: &[(String, Tensor)],
        ) -> Result<Vec<(String, Tensor)>, Failure> {
            match self.calls.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err(Failure::Exhausted("busy".to_owned())),
                _ => Ok(inputs.to_vec()),
            }
        }
    }

    #[tokio::test]
    async fn a_protocol_only_turns_calls_into_messages() {
        let env: Env = [("TF_HOST", "127.0.0.1"), ("GRPC_BACKOFF", "0")]
            .into_iter()
            .collect();
        let mut client = Client::new(ServingSettings::load(&mut Loader::new(&env)), None);
        let inner = Arc::get_mut(&mut client.inner).expect("the only one");
        inner.protocol = Box::new(Echo::default());
        // Large enough to be converted on another thread.
        let array = ArrayD::from_elem(vec![1 << 20], 0.5);
        let model = ModelId::new("Any", 1);
        let outputs = client.predict(&model, vec![("x", array.clone())]).await;
        assert_eq!(
            outputs.expect("the third attempt"),
            [("x".to_owned(), array)]
        );
        assert!(!client.is_down());
    }

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
                .predict(&model, vec![("x", array.clone())])
                .await
                .expect("one of them lives");
            assert_eq!(outputs, [("x".to_owned(), array)]);
        }
    }
}
