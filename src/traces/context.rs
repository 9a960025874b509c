//! The context of the current span: what it inherits, hands on and is linked to.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, Status, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::task_local;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of spans that are for traces only: log lines do not show them.
pub(crate) const TARGET: &str = "trace";

/// Links that a span may have.
const MAX_LINKS: usize = 128;

task_local! {
    /// Key of the job that the current task works on.
    static JOB: String;
}

/// Work on a job, within which [`job`] tells its key.
pub(crate) async fn of_job<F: Future>(key: String, work: F) -> F::Output {
    JOB.scope(key, work).await
}

/// Key of the job that is worked on; empty if none is.
pub(crate) fn job() -> String {
    JOB.try_with(String::clone).unwrap_or_default()
}

/// Marks the current span as failed with an error of this class.
pub(crate) fn failed(class: &'static str, reason: &str) {
    let span = Span::current();
    span.set_attribute("error.type", class);
    let last_line = reason.lines().last().unwrap_or_default();
    span.set_status(Status::error(last_line.to_owned()));
}

/// Links the current span to those that these values of `traceparent` name, as many as a span may have.
pub(crate) fn link(contexts: impl Iterator<Item = String>) {
    let span = Span::current();
    for traceparent in contexts.take(MAX_LINKS) {
        let fields = HashMap::from([("traceparent".to_owned(), traceparent)]);
        if let Some(context) = valid_span(&extract(&fields)) {
            span.add_link(context);
        }
    }
}

/// The fields `traceparent` and `tracestate` for what follows from the current span; none if it is not traced.
pub(crate) fn context() -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let current = Span::current().context();
    TraceContextPropagator::new().inject_context(&current, &mut FieldInjector(&mut fields));
    fields
}

/// The context that such fields hold.
pub(super) fn extract(fields: &HashMap<String, String>) -> Context {
    TraceContextPropagator::new().extract(&FieldExtractor(fields))
}

/// The span of a context, if it has a valid one.
pub(super) fn valid_span(context: &Context) -> Option<SpanContext> {
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

struct FieldExtractor<'a>(&'a HashMap<String, String>);

impl Extractor for FieldExtractor<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

struct FieldInjector<'a>(&'a mut HashMap<String, String>);

impl Injector for FieldInjector<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), value);
        }
    }
}
