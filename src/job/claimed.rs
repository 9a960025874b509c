//! A job that this process holds, as its consumer sees it.

use std::collections::HashMap;
use std::sync::Arc;

use super::progress::Progress;
use super::snapshot::JobSnapshot;
use super::step::{Step, StepLimits};
use crate::error_class::InvalidInput;
use crate::queue::{DeadlinePause, Lease};
use crate::wire::{self, JobKey, RawFields, Status, field};

/// The trace that a job belongs to, as W3C Trace Context has it.
const TRACE_CONTEXT: [&str; 2] = [field::TRACEPARENT, field::TRACESTATE];

/// A job that this process holds.
pub struct Job {
    pub(super) progress: Arc<Progress>,
    pub(super) raw: RawFields,
}

impl Job {
    pub(crate) fn new(lease: Lease, raw: RawFields, limits: StepLimits) -> Self {
        let progress = Progress::new(lease, &JobSnapshot(&raw), limits);
        Self {
            progress: Arc::new(progress),
            raw,
        }
    }

    /// The key of the job's hash.
    pub fn key(&self) -> &JobKey {
        self.progress.lease.key()
    }

    /// The queue that the job was taken from.
    pub fn queue_name(&self) -> &str {
        self.progress.lease.queue_name()
    }

    /// Where the job stands.
    pub fn status(&self) -> Status {
        self.progress.status()
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// A field of the job's hash as it was when the job was claimed; nothing if it is missing or empty.
    ///
    /// # Errors
    ///
    /// A value that is not UTF-8 text.
    pub fn field(&self, name: &str) -> anyhow::Result<Option<&str>> {
        let Some(bytes) = self.raw.get(name.as_bytes()) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| InvalidInput(format!("the job's field `{name}` is not UTF-8 text")))?;
        Ok((!text.is_empty()).then_some(text))
    }

    /// All fields of the job's hash whose names are UTF-8 text, as they were when the job was claimed, in no order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw
            .iter()
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value.as_slice())))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.raw.contains_key(name.as_bytes())
    }

    /// A name for the job that is the same each time it is run, for the places of its parts.
    pub fn stable_id(&self) -> String {
        self.key().stable_id()
    }

    /// Where the result goes: the same place each time the job is run, so that a second run replaces the first.
    pub fn output_key(&self) -> String {
        self.key().usual_result()
    }

    /// Where the preview of the result goes.
    pub(crate) fn preview_key(&self) -> String {
        self.key().preview()
    }

    /// Begins a step of the work: it is timed and has a time limit. If the step sets a status, it is written within half a
    /// second, with the time that the last one took.
    pub fn step(&self, step: Step) {
        self.progress.begin(step);
    }

    /// The job waits for something that is not its fault, such as memory that others use: until the value is dropped, time
    /// does not count against the limit of the step.
    pub fn pause_deadline(&self) -> DeadlinePause {
        self.progress.lease.pause_deadline()
    }

    /// Bytes that are to be set aside for the work at least, as the job itself says (`rc_memory`); 0 if it does not.
    pub fn least_memory(&self) -> u64 {
        self.progress.least_memory()
    }

    /// Counts the pixels of an image that was decoded for the job.
    pub fn record_pixels(&self, pixels: usize) {
        self.progress.count_pixels(pixels as u64);
    }

    /// Records how much of the work is done, in per cent. It never goes back, not even when the job is run again.
    pub fn record_progress(&self, percent: u64) {
        self.progress.advance(percent.min(100));
    }

    /// Records what was found out about a job that did not say it.
    pub fn record_detected(&self, detected: Detected) {
        self.progress.write([match detected {
            Detected::Scale(scale) => (field::SCALE, scale.to_string()),
            Detected::Label(label) => (field::LABEL, label.to_string()),
            Detected::DimensionOrder(order) => (field::DIM_ORDER, order),
        }]);
    }

    /// Fields that say what is to be done: all but those that say how the job fares.
    pub(crate) fn given_fields(&self) -> Vec<(String, Vec<u8>)> {
        let stamps = [field::UPDATED_AT, field::UPDATED_BY];
        let given = self.fields().filter(|(name, _)| {
            !wire::is_bookkeeping(name) && !wire::is_of_result(name) && !stamps.contains(name)
        });
        given
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect()
    }

    /// Records what the job's command says beside its progress.
    pub(crate) fn record_note(&self, note: &str) {
        self.progress.write([(field::NOTE, note.to_owned())]);
    }

    /// Records how good the result seems to be, as JSON; written together with the end of the job if it is done.
    pub(crate) fn record_quality(&self, quality: String) {
        self.progress.clock().quality = Some(quality);
    }

    /// Records the last lines that the job's command has written.
    pub(crate) fn record_log_tail(&self, lines: &str) {
        self.progress.write([(field::LOG, lines.to_owned())]);
    }

    /// Records where all of them are.
    pub(crate) fn record_log_file(&self, key: &str) {
        self.progress
            .write([(field::LOG_FILE_NAME, key.to_owned())]);
    }

    /// Records a field of the consumer's own in the job's hash, within half a second.
    ///
    /// # Errors
    ///
    /// A name that is empty or that the worker writes itself, such as `status`, `reason`, `…_time` and `rc_…`.
    pub fn record_field(&self, name: &str, value: impl Into<String>) -> anyhow::Result<()> {
        anyhow::ensure!(
            !name.is_empty() && !wire::is_bookkeeping(name),
            "a consumer cannot record the field `{name}`: the worker writes it"
        );
        let field = (name.to_owned().into(), value.into());
        self.progress.write_named(vec![field]);
        Ok(())
    }
}

/// What was found out about an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Detected {
    /// The scale of the image.
    Scale(f64),
    /// The type of image: `0` nuclear, `1` phase, `2` cytoplasm.
    Label(usize),
    /// The order of its axes, such as `YXC`.
    DimensionOrder(String),
}

/// The fields of a hash that say which trace the job belongs to.
pub(crate) fn trace_context(fields: &RawFields) -> HashMap<String, String> {
    let mut context = HashMap::new();
    for name in TRACE_CONTEXT {
        let value = fields.get(name.as_bytes()).cloned();
        if let Some(value) = value.and_then(|value| String::from_utf8(value).ok()) {
            context.insert(name.to_owned(), value);
        }
    }
    context
}
