//! Models of a server: what every protocol has in common.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use tokio_util::task::AbortOnDropHandle;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::backend::Backend;
use super::batch::{self, Batch, Inputs, Outputs};
use super::conversion;
use super::error::Error;
use super::failure::Failure;
use super::limits::{Limits, Request};
use super::metrics::ServingMetrics;
use super::model::{ModelId, Served, Signature};
use super::pool::Pool;
use super::protocol::{Call, Protocol};
use super::retry::RetryState;
use super::settings::ServingSettings;
use crate::{compute, traces};

/// Time for one attempt to get metadata.
const METADATA_DEADLINE: Duration = Duration::from_secs(10);

/// The server is told a little more time than it has: when time is up, it is this side that says so.
const CLOCK_MARGIN: Duration = Duration::from_millis(500);

/// All model servers behind one name. Nothing connects before the first call.
pub(super) struct Remote {
    settings: ServingSettings,
    protocol: Box<dyn Protocol>,
    limits: Limits,
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

/// A call that has brought no answer.
struct Ended {
    failure: Failure,
    retry: RetryState,
}

impl Ended {
    fn into_error(self, model: &ModelId) -> Error {
        self.retry.into_error(self.failure, model)
    }
}

impl Remote {
    /// The servers that the settings name, which speak this protocol.
    pub(super) fn new(settings: ServingSettings, protocol: Box<dyn Protocol>) -> Self {
        Self {
            protocol,
            limits: Limits::new(settings.max_message),
            pool: Arc::new(Pool::new(settings.target(), settings.deadline)),
            refresh: OnceLock::new(),
            metrics: ServingMetrics::default(),
            settings,
        }
    }

    /// The answers to all rows of a batch, in as few requests as the server takes.
    async fn answers(
        &self,
        model: &ModelId,
        (batch, most): (&Batch, usize),
        asked: usize,
    ) -> Result<Vec<Outputs>, Error> {
        let Request { rows, row_bytes } = batch.request();
        let (mut parts, mut first) = (Vec::new(), 0);
        while first < rows {
            let left = Request {
                rows: rows - first,
                row_bytes,
            };
            let step = batch.step(self.limits.rows(model, left).min(most));
            let range = first..(first + step).min(rows);
            let sent = Request {
                rows: range.len(),
                row_bytes,
            };
            let part = batch.part(range.clone());
            self.metrics.sending(model, sent.rows);
            let ask = |call| self.protocol.predict(call, model, &part);
            match self.call(model, Question::Predict, ask).await {
                Ok(outputs) => {
                    let outputs = conversion::read(model, outputs, asked).await?;
                    parts.push(batch::only(sent.rows, outputs));
                    first = range.end;
                }
                Err(ended) => {
                    let Failure::TooMuch { limit, message } = &ended.failure else {
                        return Err(ended.into_error(model));
                    };
                    let may_shrink = batch.step(sent.rows) == sent.rows || step > sent.rows;
                    if !may_shrink || !self.limits.learn(model, sent, *limit) {
                        return Err(ended.into_error(model));
                    }
                    tracing::warn!(%model, message, rows = sent.rows, "the model server takes less at once; sending less");
                }
            }
        }
        Ok(parts)
    }

    /// Makes a call as often as it takes.
    async fn call<T, F>(
        &self,
        model: &ModelId,
        question: Question,
        ask: impl Fn(Call) -> F,
    ) -> Result<T, Ended>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let deadline = match question {
            Question::Metadata => METADATA_DEADLINE,
            Question::Predict => self.settings.deadline,
        };
        let mut retry = RetryState::new(&self.settings);
        loop {
            let began = Instant::now();
            let span = self.span(model);
            let attempt = self.attempt(deadline, &ask).instrument(span.clone());
            let answer = attempt.await;
            let code = answer.as_ref().err().map_or("OK", Failure::code);
            record_code(&span, code);
            if question == Question::Predict {
                self.metrics.answered(model, code, began.elapsed());
            }
            let failure = match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(delay) = retry.next_delay(&failure, Instant::now()) else {
                return Err(Ended { failure, retry });
            };
            let delay_ms = delay.as_millis() as u64;
            tracing::warn!(%model, ?failure, delay_ms, "model server request failed; retrying");
            tokio::time::sleep(delay).await;
        }
    }

    /// The span of one attempt.
    fn span(&self, model: &ModelId) -> Span {
        info_span!(
            target: traces::TARGET,
            "call",
            otel.name = self.protocol.service(),
            otel.kind = "client",
            rpc.system.name = "grpc",
            server.address = self.settings.host.as_str(),
            server.port = self.settings.port,
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
        let pool = &self.pool;
        self.refresh
            .get_or_init(|| AbortOnDropHandle::new(tokio::spawn(Arc::clone(pool).refresh_loop())));
        let began = Instant::now();
        let answer = loop {
            let in_flight = match pool.pick(began).await {
                Ok(in_flight) => in_flight,
                Err(message) => break Err(Failure::Unavailable(message)),
            };
            let call = Call {
                channel: in_flight.channel(),
                compression: self.settings.compression,
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

#[async_trait]
impl Backend for Remote {
    async fn signature(&self, model: &ModelId) -> Result<Signature, Error> {
        let ask = |call| self.protocol.metadata(call, model);
        let signature = self.call(model, Question::Metadata, ask).await;
        signature.map_err(|ended| ended.into_error(model))
    }

    async fn predict(
        &self,
        model: &ModelId,
        signature: &Signature,
        inputs: Inputs,
    ) -> Result<Outputs, Error> {
        let asked = inputs.iter().map(|(_, array)| array.len()).sum();
        let tensors = conversion::pack(model, signature, inputs).await?;
        let batch = Batch::new(tensors, signature.fixed_batch_size());
        let most = signature.max_batch_size.unwrap_or(usize::MAX);
        let mut parts = self.answers(model, (&batch, most), asked).await?;
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        let model = model.clone();
        compute::run(move || batch::join(&model, parts)).await
    }

    async fn output_names(&self, model: &ModelId) -> Result<Vec<String>, Error> {
        Ok(self.signature(model).await?.outputs)
    }

    async fn served(&self, names: &[String]) -> Result<Served, String> {
        let ask = |call| self.protocol.served(call, names);
        let answer = self.attempt(METADATA_DEADLINE, &ask).await;
        answer.map_err(|failure| format!("{failure:?}"))
    }

    fn is_down(&self) -> bool {
        self.pool.is_down()
    }

    async fn until_up(&self) {
        self.pool.until_up().await;
    }

    fn register(&self, all: &mut Registry) {
        self.metrics.register(all);
    }

    fn place(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }
}

fn record_code(span: &Span, code: &'static str) {
    span.record("rpc.response.status_code", code);
    if code != "OK" {
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use ndarray::{ArrayD, arr1};

    use super::super::client::Client;
    use super::super::data_type::DataType;
    use super::super::tensor::Tensor;
    use super::*;
    use crate::serving::protocol::tf_serving::TfServing;
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

        async fn served(&self, _: Call, _: &[String]) -> Result<Served, Failure> {
            Ok(Served::new())
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
        let settings = ServingSettings::load(&mut Loader::new(&env));
        let echo = Remote::new(settings.clone(), Box::new(Echo::default()));
        let client = Client::of(Box::new(echo), &settings);
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
        let settings = ServingSettings::load(&mut Loader::new(&env));
        let remote = Remote::new(settings, Box::new(TfServing));
        let signature = remote.signature(&model).await.expect("it is there");
        let dead = SocketAddr::from(([127, 0, 0, 1], 1));
        for _ in 0..3 {
            remote
                .pool
                .replace([dead, alive.address()].into())
                .expect("addresses are fine");
            let array = arr1(&[1.0, 2.0]).into_dyn();
            let outputs = remote
                .predict(&model, &signature, vec![("x".to_owned(), array.clone())])
                .await
                .expect("one of them lives");
            assert_eq!(outputs, [("x".to_owned(), array.into())]);
        }
    }
}
