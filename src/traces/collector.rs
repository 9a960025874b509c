//! Sends spans and metrics to a collector.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::registry::LookupSpan;

use super::attributes::{JobSpan, SCOPE, WorkerIdentity, operation};
use super::context::{extract, valid_span};
use super::messaging::MessagingMetrics;
use super::settings::TraceSettings;

/// The connection to the collector, or nothing if there is none. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    provider: Option<SdkTracerProvider>,
    metrics: Option<MessagingMetrics>,
    /// Whether a job's trace is linked to its submitter's instead of continuing it.
    links: bool,
    worker: WorkerIdentity,
}

impl Traces {
    /// Begins to send traces, if there is a collector. Needs a runtime.
    ///
    /// # Errors
    ///
    /// An address that cannot be used.
    pub(crate) fn start(settings: &TraceSettings, worker: WorkerIdentity) -> anyhow::Result<Self> {
        let mut traces = Self {
            links: settings.links,
            worker,
            ..Self::default()
        };
        let Some(endpoint) = &settings.endpoint else {
            return Ok(traces);
        };
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.as_str())
            .build()
            .with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT `{endpoint}` cannot be used"))?;
        let resource = resource(settings, &traces.worker);
        if settings.metrics {
            let attributes = traces.worker.attributes();
            let metrics = MessagingMetrics::start(endpoint, resource.clone(), attributes)?;
            traces.metrics = Some(metrics);
        }
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.share)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        traces.provider = Some(provider);
        Ok(traces)
    }

    /// The same for the jobs of one queue.
    pub(crate) fn of_queue(&self, queue: &str) -> Self {
        let mut traces = self.clone();
        queue.clone_into(&mut traces.worker.queue);
        let attributes = traces.worker.attributes();
        traces.metrics = traces.metrics.map(|metrics| metrics.with(attributes));
        traces
    }

    /// Turns the spans of the program into spans of traces, if there is a collector.
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

    /// Makes `span` that of a job which was claimed between `asked` and now.
    pub(crate) fn begin(&self, span: &Span, job: JobSpan<'_>, asked: SystemTime) {
        let Some(provider) = &self.provider else {
            return;
        };
        if let Some(metrics) = &self.metrics {
            metrics.received(asked.elapsed().unwrap_or_default());
        }
        self.continue_from_submitter(span, job);
        let attributes = self.worker.attributes_for(job);
        let tracer = provider.tracer(SCOPE);
        let receive = tracer
            .span_builder(format!("receive {}", self.worker.queue))
            .with_kind(SpanKind::Client)
            .with_start_time(asked)
            .with_attributes(attributes.iter().cloned().chain(operation("receive")));
        tracer.build_with_context(receive, &span.context()).end();
        for KeyValue { key, value, .. } in attributes.into_iter().chain(operation("process")) {
            span.set_attribute(key, value);
        }
    }

    /// Measures a job that is settled: the work on it, the class in which it has failed if it has, and the last step.
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
        // An unreachable collector is not worth a complaint at the end.
        let _ = sent.await;
    }

    fn continue_from_submitter(&self, span: &Span, job: JobSpan<'_>) {
        let submitter = extract(job.context);
        let Some(submitting_span) = valid_span(&submitter) else {
            return;
        };
        if self.links {
            span.add_link(submitting_span);
        } else {
            // Fails only on a span that nobody traces.
            let _ = span.set_parent(submitter);
        }
    }
}

fn resource(settings: &TraceSettings, worker: &WorkerIdentity) -> Resource {
    Resource::builder()
        .with_service_name(settings.service.clone())
        .with_attributes([
            KeyValue::new("service.instance.id", worker.consumer.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build()
}
