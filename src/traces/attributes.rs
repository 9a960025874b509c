//! Who works on which job, as spans and metrics name it.

use std::collections::HashMap;

use opentelemetry::KeyValue;

/// The instrumentation scope of all spans and metrics.
pub(super) const SCOPE: &str = "redis-consumer";

/// Who works, as spans and metrics name it.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerIdentity {
    pub(crate) queue: String,
    /// The consumer's name.
    pub(crate) consumer: String,
    /// The kind of its jobs.
    pub(crate) kind: &'static str,
}

/// A job as its spans name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobSpan<'a> {
    pub(crate) key: &'a str,
    pub(crate) slot: usize,
    /// Host and port of the Redis that it came from, if that is known.
    pub(crate) server: &'a Option<(String, u16)>,
    /// The submitter's context, as the hash has it.
    pub(crate) context: &'a HashMap<String, String>,
}

impl WorkerIdentity {
    pub(super) fn attributes(&self) -> Vec<KeyValue> {
        vec![
            KeyValue::new("messaging.system", "redis"),
            KeyValue::new("messaging.destination.name", self.queue.clone()),
            KeyValue::new("messaging.consumer.group.name", self.kind),
        ]
    }

    /// The attributes of everything that this worker does with a job.
    pub(super) fn attributes_for(&self, job: JobSpan<'_>) -> Vec<KeyValue> {
        let mut attributes = self.attributes();
        attributes.extend([
            KeyValue::new("messaging.message.id", job.key.to_owned()),
            KeyValue::new("messaging.client.id", self.consumer.clone()),
            KeyValue::new("messaging.destination.partition.id", job.slot.to_string()),
        ]);
        if let Some((host, port)) = job.server {
            attributes.extend([
                KeyValue::new("server.address", host.clone()),
                KeyValue::new("server.port", i64::from(*port)),
            ]);
        }
        attributes
    }
}

/// The attributes of an operation such as `receive`.
pub(super) fn operation(name: &'static str) -> [KeyValue; 2] {
    [
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.operation.type", name),
    ]
}
