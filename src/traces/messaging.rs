//! Metrics of messages for the collector, by the conventions of OpenTelemetry (1.43, in development).
//!
//! Those for Prometheus say more; these are for those who have a collector and nothing else.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_otlp::{MetricExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::attributes::{SCOPE, operation};

/// Bounds of seconds that the conventions name, and more for jobs that take minutes.
const SECONDS: [f64; 18] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
    300.0, 1800.0,
];

/// The instruments. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct MessagingMetrics {
    provider: SdkMeterProvider,
    consumed: Counter<u64>,
    operations: Histogram<f64>,
    processing: Histogram<f64>,
    /// Attributes of every measurement.
    attributes: Vec<KeyValue>,
}

impl MessagingMetrics {
    /// Begins to send metrics, once a minute. Needs a runtime.
    ///
    /// # Errors
    ///
    /// An address that cannot be used.
    pub(super) fn start(
        endpoint: &str,
        resource: Resource,
        attributes: Vec<KeyValue>,
    ) -> anyhow::Result<Self> {
        let exporter = MetricExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT `{endpoint}` cannot be used"))?;
        let provider = SdkMeterProvider::builder()
            .with_periodic_exporter(exporter)
            .with_resource(resource)
            .build();
        let meter = provider.meter(SCOPE);
        Ok(Self {
            consumed: meter
                .u64_counter("messaging.client.consumed.messages")
                .with_unit("{message}")
                .build(),
            operations: seconds(&meter, "messaging.client.operation.duration"),
            processing: seconds(&meter, "messaging.process.duration"),
            provider,
            attributes,
        })
    }

    /// The same instruments with other attributes.
    pub(super) fn with(self, attributes: Vec<KeyValue>) -> Self {
        Self { attributes, ..self }
    }

    /// A job was asked for and came.
    pub(super) fn received(&self, time: Duration) {
        let attributes = self.attributes_of("receive", None);
        self.consumed.add(1, &attributes);
        self.operations.record(time.as_secs_f64(), &attributes);
    }

    /// The work on a job has ended, in an `error` of this class if it has failed.
    pub(super) fn processed(&self, time: Duration, error: Option<&'static str>) {
        self.processing
            .record(time.as_secs_f64(), &self.attributes_of("process", error));
    }

    /// A job was settled.
    pub(super) fn settled(&self, time: Duration) {
        self.operations
            .record(time.as_secs_f64(), &self.attributes_of("settle", None));
    }

    /// Sends what has not been sent.
    pub(super) fn finish(&self) {
        // An unreachable collector is not worth a complaint at the end.
        let _ = self.provider.shutdown();
    }

    fn attributes_of(&self, kind: &'static str, error: Option<&'static str>) -> Vec<KeyValue> {
        let error = error.map(|class| KeyValue::new("error.type", class));
        self.attributes
            .iter()
            .cloned()
            .chain(operation(kind))
            .chain(error)
            .collect()
    }
}

fn seconds(meter: &Meter, name: &'static str) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_boundaries(SECONDS.to_vec())
        .build()
}
