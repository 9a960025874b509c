//! A collector of traces and metrics.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Keeps what it is sent.
#[derive(Clone, Default)]
pub(crate) struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<Metric>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        self.spans
            .lock()
            .expect("no poison")
            .extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: None,
        }))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request
            .into_inner()
            .resource_metrics
            .into_iter()
            .flat_map(|resource| resource.scope_metrics);
        self.metrics
            .lock()
            .expect("no poison")
            .extend(scopes.flat_map(|scope| scope.metrics));
        Ok(Response::new(ExportMetricsServiceResponse {
            partial_success: None,
        }))
    }
}

/// What a collector serves on its one port.
#[derive(Clone)]
struct Services {
    traces: TraceServiceServer<Collector>,
    metrics: MetricsServiceServer<Collector>,
}

impl Service<http::Request<Body>> for Services {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().contains(".metrics.") {
            self.metrics.call(request)
        } else {
            self.traces.call(request)
        }
    }
}

impl Collector {
    /// A collector, and the URL that it listens at.
    pub(crate) async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let services = Services {
            traces: TraceServiceServer::new(collector.clone()),
            metrics: MetricsServiceServer::new(collector.clone()),
        };
        tokio::spawn(Server::builder().serve_with_incoming(services, TcpIncoming::from(listener)));
        (collector, format!("http://{address}"))
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("no poison").clone()
    }

    /// Whether it was sent any metrics.
    pub(crate) fn has_metrics(&self) -> bool {
        !self.metrics.lock().expect("no poison").is_empty()
    }

    /// The measurements of a metric that was sent last: attributes and how many there were.
    pub(crate) fn counts(&self, name: &str) -> Vec<(HashMap<String, String>, u64)> {
        let metrics = self.metrics.lock().expect("no poison");
        let metric = metrics
            .iter()
            .rfind(|metric| metric.name == name)
            .unwrap_or_else(|| panic!("{name} was sent"));
        match metric.data.clone().expect("there is data") {
            Data::Histogram(data) => data
                .data_points
                .iter()
                .map(|point| (texts(&point.attributes), point.count))
                .collect(),
            Data::Sum(data) => data
                .data_points
                .iter()
                .map(|point| (texts(&point.attributes), sum(point.value)))
                .collect(),
            other => panic!("{name} is {other:?}"),
        }
    }
}

fn sum(value: Option<number_data_point::Value>) -> u64 {
    match value {
        Some(number_data_point::Value::AsInt(count)) => {
            u64::try_from(count).expect("it only grows")
        }
        other => panic!("a count is {other:?}"),
    }
}

pub(crate) fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        other => format!("{other:?}"),
    };
    let pairs = attributes
        .iter()
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?.value?)));
    pairs.map(|(key, value)| (key, text(value))).collect()
}
