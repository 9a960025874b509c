//! Traces of jobs, and metrics of messages, sent to a collector over OTLP if one is set.
//!
//! A job's trace goes on from the `traceparent` that its submitter wrote into the hash (W3C Trace Context), through stages,
//! calls to models and the last step in Redis, to the jobs that it creates. Spans follow the semantic conventions for
//! messaging, version 1.43 (in development); what these have no word for is named `ml.…` and `image.…`.

mod messaging;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::registry::LookupSpan;

use self::messaging::Messaging;
use crate::settings::{Loader, Switch, Word};

const SCOPE: &str = "redis-consumer";

/// The target of spans that are for traces only: log lines do not show them.
pub(crate) const TARGET: &str = "trace";

/// Links that a span may have.
const MOST_LINKS: usize = 128;

crate::settings! {
    /// Traces of jobs, and metrics of messages.
    struct TraceVariables {
        /// Collector for traces (OTLP over gRPC), such as `http://collector:4317`; without it, nothing is sent.
        otel_exporter_otlp_endpoint: Option<String> = None,
        /// Name of the service in traces.
        otel_service_name: String = SCOPE.to_owned(),
        /// Share of jobs that are traced, from 0 to 1, unless the submitter has decided.
        otel_traces_sampler_arg: f64 = 1.0,
        /// Start a new trace for each job, linked to that of the submitter, instead of continuing it.
        trace_links: Switch = Switch(false),
        /// `otlp` also sends metrics of messages to the collector; `none` does not. Prometheus gets more metrics.
        otel_metrics_exporter: Word<MetricsExporter> = Word(MetricsExporter::None),
    }
}

/// Where metrics of messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MetricsExporter {
    None,
    Otlp,
}

/// Where traces go.
#[derive(Clone, Debug)]
pub(crate) struct TraceSettings {
    endpoint: Option<String>,
    service: String,
    share: f64,
    links: bool,
    metrics: bool,
}

/// Who works, as spans and metrics name it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) queue: String,
    /// Its name.
    pub(crate) consumer: String,
    /// The kind of its jobs.
    pub(crate) kind: &'static str,
}

impl TraceSettings {
    /// Loads `OTEL_EXPORTER_OTLP_ENDPOINT` and the like.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: TraceVariables = loader.load();
        let share = variables.otel_traces_sampler_arg;
        if !(0.0..=1.0).contains(&share) {
            loader.refuse(
                "OTEL_TRACES_SAMPLER_ARG",
                share,
                "expected a number from 0 to 1",
            );
        }
        Self {
            endpoint: variables.otel_exporter_otlp_endpoint,
            service: variables.otel_service_name,
            share,
            links: variables.trace_links.0,
            metrics: variables.otel_metrics_exporter == Word(MetricsExporter::Otlp),
        }
    }

    /// Begins to send traces, if there is a collector. Wants a runtime.
    ///
    /// # Errors
    ///
    /// An address that cannot be one.
    pub(crate) fn start(&self, client: Client) -> anyhow::Result<Traces> {
        let links = self.links;
        let Some(endpoint) = &self.endpoint else {
            return Ok(Traces {
                links,
                client,
                ..Traces::default()
            });
        };
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .build();
        let exporter = exporter
            .with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT `{endpoint}` cannot be used"))?;
        let resource = Resource::builder()
            .with_service_name(self.service.clone())
            .with_attribute(KeyValue::new(
                "service.instance.id",
                client.consumer.clone(),
            ))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let metrics = self
            .metrics
            .then(|| Messaging::start(endpoint, resource.clone(), client.attributes()));
        let metrics = metrics.transpose()?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(self.share)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Traces {
            provider: Some(provider),
            metrics,
            links,
            client,
        })
    }
}

impl Client {
    fn attributes(&self) -> Vec<KeyValue> {
        vec![
            KeyValue::new("messaging.system", "redis"),
            KeyValue::new("messaging.destination.name", self.queue.clone()),
            KeyValue::new("messaging.consumer.group.name", self.kind),
        ]
    }
}

/// The way to the collector. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    provider: Option<SdkTracerProvider>,
    metrics: Option<Messaging>,
    links: bool,
    client: Client,
}

/// A job as its spans name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) key: &'a str,
    pub(crate) slot: usize,
    /// Host and port of the Redis that it came from, if that is known.
    pub(crate) server: &'a Option<(String, u16)>,
    /// The submitter's context, as the hash has it.
    pub(crate) context: &'a HashMap<String, String>,
}

impl Traces {
    /// What turns the spans of the program into spans of traces, if there is a collector.
    pub(crate) fn layer<S>(&self) -> Option<OpenTelemetryLayer<S, SdkTracer>>
    where
        S: Subscriber + for<'l> LookupSpan<'l>,
    {
        let tracer = self.provider.as_ref()?.tracer(SCOPE);
        Some(
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_location(false)
                .with_threads(false),
        )
    }

    /// Makes `span` that of a job which was received between `asked` and now.
    pub(crate) fn begin(&self, span: &Span, message: Message<'_>, asked: SystemTime) {
        let Some(provider) = &self.provider else {
            return;
        };
        if let Some(metrics) = &self.metrics {
            metrics.received(asked.elapsed().unwrap_or_default());
        }
        let submitter = TraceContextPropagator::new().extract(&Fields(message.context));
        let from = submitter.span().span_context().clone();
        if from.is_valid() {
            if self.links {
                span.add_link(from);
            } else {
                // Fails only on a span that nobody traces.
                let _ = span.set_parent(submitter);
            }
        }
        let mut attributes = self.client.attributes();
        attributes.extend([
            KeyValue::new("messaging.message.id", message.key.to_owned()),
            KeyValue::new("messaging.client.id", self.client.consumer.clone()),
            KeyValue::new(
                "messaging.destination.partition.id",
                message.slot.to_string(),
            ),
        ]);
        let server = message.server.iter().flat_map(|(host, port)| {
            [
                KeyValue::new("server.address", host.clone()),
                KeyValue::new("server.port", i64::from(*port)),
            ]
        });
        attributes.extend(server);
        let receive = provider
            .tracer(SCOPE)
            .span_builder(format!("receive {}", self.client.queue));
        let receive = receive
            .with_kind(SpanKind::Client)
            .with_start_time(asked)
            .with_attributes(attributes.iter().cloned().chain(operation("receive")));
        provider
            .tracer(SCOPE)
            .build_with_context(receive, &span.context())
            .end();
        for KeyValue { key, value, .. } in attributes.into_iter().chain(operation("process")) {
            span.set_attribute(key, value);
        }
    }

    /// Measures a job that was let go of: the work on it, which has failed in this class if it has, and the last step.
    pub(crate) fn measure(&self, work: Duration, failure: Option<&'static str>, commit: Duration) {
        if let Some(metrics) = &self.metrics {
            metrics.processed(work, failure);
            metrics.settled(commit);
        }
    }

    /// Sends what has not been sent. May take some seconds.
    pub(crate) async fn finish(self) {
        let Self {
            provider: Some(provider),
            metrics,
            ..
        } = self
        else {
            return;
        };
        let sent = tokio::task::spawn_blocking(move || {
            if let Some(metrics) = metrics {
                metrics.finish();
            }
            provider.shutdown()
        });
        // A collector that is away is no reason to complain at the end.
        let _ = sent.await;
    }
}

fn operation(name: &'static str) -> [KeyValue; 2] {
    [
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.operation.type", name),
    ]
}

/// The current span ends in a failure of this class.
pub(crate) fn failed(class: &'static str, reason: &str) {
    let span = Span::current();
    span.set_attribute("error.type", class);
    span.set_status(Status::error(
        reason.lines().last().unwrap_or_default().to_owned(),
    ));
}

/// Links the current span with those that these values of `traceparent` name, as many as spans may have.
pub(crate) fn link(contexts: impl Iterator<Item = String>) {
    let span = Span::current();
    for context in contexts.take(MOST_LINKS) {
        let fields = HashMap::from([("traceparent".to_owned(), context)]);
        let linked = TraceContextPropagator::new().extract(&Fields(&fields));
        let context = linked.span().span_context().clone();
        if context.is_valid() {
            span.add_link(context);
        }
    }
}

/// The fields `traceparent` and `tracestate` for what comes of the current span; none if it is not traced.
pub(crate) fn context() -> HashMap<String, String> {
    let mut fields = HashMap::new();
    TraceContextPropagator::new().inject_context(&current(), &mut Headers(&mut fields));
    fields
}

fn current() -> Context {
    Span::current().context()
}

struct Fields<'a>(&'a HashMap<String, String>);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

struct Headers<'a>(&'a mut HashMap<String, String>);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value);
        }
    }
}
