//! Log lines for programs: one object a line, its fields those of the event, with the spans that it lies in.

use std::fmt::{self, Debug, Display};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::untrusted;

/// Writes events as objects.
pub(super) struct JsonLines;

/// Writes the fields of events and spans, each after a comma: `,"name":value`.
pub(super) struct JsonFields;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let (level, target) = (event.metadata().level(), event.metadata().target());
        write!(writer, "{{\"timestamp\":\"{time}\",\"level\":\"{level}\"")?;
        context.format_fields(writer.by_ref(), event)?;
        write!(writer, ",\"target\":{}", quoted(target))?;
        let spans = context.event_scope().into_iter().flatten();
        let mut spans: Vec<String> = spans.map(|span| object_of::<S, N>(&span)).collect();
        if let Some(innermost) = spans.first() {
            write!(writer, ",\"span\":{innermost}")?;
            spans.reverse();
            write!(writer, ",\"spans\":[{}]", spans.join(","))?;
        }
        writeln!(writer, "}}")
    }
}

/// A span with its fields.
fn object_of<S, N>(span: &SpanRef<'_, S>) -> String
where
    S: for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    let extensions = span.extensions();
    let fields = extensions.get::<FormattedFields<N>>();
    let fields = fields.map_or("", |fields| fields.fields.as_str());
    format!("{{\"name\":{}{fields}}}", quoted(span.name()))
}

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut pairs = Pairs {
            writer,
            result: Ok(()),
        };
        fields.record(&mut pairs);
        pairs.result
    }
}

struct Pairs<'w> {
    writer: Writer<'w>,
    result: fmt::Result,
}

impl Pairs<'_> {
    /// Writes a field whose value is JSON.
    fn write(&mut self, field: &Field, json: impl Display) {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        if self.result.is_ok() {
            self.result = write!(self.writer, ",{}:{json}", quoted(name));
        }
    }
}

impl Visit for Pairs<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // There is no JSON for what is not finite.
        if value.is_finite() {
            self.write(field, serde_json::Value::from(value));
        } else {
            self.write(field, "null");
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, quoted(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, quoted(format_args!("{value:?}")));
    }
}

/// A text as JSON.
fn quoted(text: impl Display) -> serde_json::Value {
    serde_json::Value::from(untrusted::message(text).to_string())
}
