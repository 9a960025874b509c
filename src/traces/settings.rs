//! Where traces go, and which jobs are traced.

use serde::{Deserialize, Serialize};

use crate::settings::{Loader, Parsed, Switch, WebAddress, Word, address_of};

/// The name of the service unless the operator gives one.
const SERVICE: &str = "redis-consumer";

crate::settings! {
    /// Traces of jobs, and metrics of messages.
    struct TraceVariables {
        /// Collector for traces (OTLP over gRPC), such as `http://collector:4317`; without it, nothing is sent.
        otel_exporter_otlp_endpoint: Option<Parsed<WebAddress>> = None,
        /// Name of the service in traces.
        otel_service_name: String = SERVICE.to_owned(),
        /// Share of jobs that are traced, from 0 to 1, unless the submitter has decided.
        otel_traces_sampler_arg: f64 = 1.0,
        /// Start a new trace for each job, linked to that of the submitter, instead of continuing it.
        trace_links: Switch = Switch(false),
        /// `otlp` also sends metrics of messages to the collector; `none` does not. `/metrics` has more.
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
    pub(super) endpoint: Option<String>,
    pub(super) service: String,
    pub(super) share: f64,
    pub(super) links: bool,
    pub(super) metrics: bool,
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
            endpoint: variables.otel_exporter_otlp_endpoint.map(address_of),
            service: variables.otel_service_name,
            share,
            links: variables.trace_links.0,
            metrics: variables.otel_metrics_exporter == Word(MetricsExporter::Otlp),
        }
    }
}
