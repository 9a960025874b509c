//! Traces of jobs, and metrics of messages, sent to a collector over OTLP if one is set.
//!
//! A job's trace continues from the `traceparent` that its submitter wrote into the hash (W3C Trace Context), through stages,
//! calls to models and the last step in Redis, to the jobs that it creates. Spans follow the semantic conventions for
//! messaging, version 1.43 (in development); what these have no word for is named `ml.…` and `image.…`.

mod attributes;
mod collector;
mod context;
mod messaging;
mod settings;

pub(crate) use self::attributes::{JobSpan, WorkerIdentity};
pub(crate) use self::collector::Traces;
pub(crate) use self::context::{TARGET, context, failed, job, link, of_job};
pub(crate) use self::settings::TraceSettings;
