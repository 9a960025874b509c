//! Where traces go, and which jobs are traced.

use crate::settings::Reader;

/// Where traces go.
#[derive(Clone, Debug)]
pub(crate) struct TraceSettings {
    pub(super) endpoint: Option<String>,
    pub(super) service: String,
    pub(super) share: f64,
    pub(super) links: bool,
    pub(super) metrics: bool,
}

impl TraceSettings {
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT` and the like.
    pub(crate) fn load(reader: &mut Reader<'_>) -> Self {
        let doc = "collector of traces (OTLP over gRPC), such as http://collector:4317; none is sent without it";
        let endpoint = reader.optional("OTEL_EXPORTER_OTLP_ENDPOINT", doc);
        let service = reader.text(
            "OTEL_SERVICE_NAME",
            "redis-consumer",
            "name of the service in traces",
        );
        let doc = "share of jobs that are traced, 0 to 1, where the submitter has not decided";
        let share = reader.parsed("OTEL_TRACES_SAMPLER_ARG", 1.0, doc);
        if !(0.0..=1.0).contains(&share) {
            reader.problem(
                "OTEL_TRACES_SAMPLER_ARG",
                format!("`{share}` cannot be used: expected 0 to 1"),
            );
        }
        let doc = "begin a trace of its own for each job, linked to the submitter's, instead of going on with that";
        let links = reader.flag("TRACE_LINKS", false, doc);
        let doc =
            "otlp sends metrics of messages to the collector, too; there are more for Prometheus";
        let metrics = reader.text("OTEL_METRICS_EXPORTER", "none", doc);
        if !["none", "otlp"].contains(&metrics.as_str()) {
            reader.problem(
                "OTEL_METRICS_EXPORTER",
                format!("`{metrics}` cannot be used: expected none or otlp"),
            );
        }
        Self {
            endpoint,
            service,
            share,
            links,
            metrics: metrics == "otlp",
        }
    }
}
