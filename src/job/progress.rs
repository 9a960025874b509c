//! Where a job stands while a consumer has it: its status, its step and the time that each has taken.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Span, info, info_span};

use super::snapshot::JobSnapshot;
use super::step::{Step, StepLimits};
use crate::error_class::ErrorClass;
use crate::queue::{Fields, Lease};
use crate::traces;
use crate::wire::{JobKey, Status, field, millis_since_1970, timestamp};

/// A step that is left sooner than this does not show: traces have the next in its place.
const SHORTEST_SPAN: Duration = Duration::from_micros(100);

/// Spans of steps that a job has in traces; an archive of thousands of images changes its step with each of them.
const SPANS: usize = 100;

/// Where a job stands while a consumer has it.
pub(crate) struct Progress {
    pub(super) lease: Lease,
    pub(super) attempts: u64,
    own: OwnLimits,
    pub(super) children: Vec<JobKey>,
    /// The status that the job goes back to when it is retried.
    pub(super) resting: String,
    claimed: Instant,
    /// When it was claimed first, in milliseconds since 1970, if it has waited for its children since.
    pub(super) begun: Option<u64>,
    limits: StepLimits,
    clock: Mutex<Clock>,
}

/// Limits that the job brings along, in place of those of the settings.
#[derive(Clone, Copy, Debug)]
struct OwnLimits {
    attempts: Option<u64>,
    crashes: Option<u64>,
    attempt: Option<Duration>,
    memory: Option<u64>,
}

impl OwnLimits {
    fn of(snapshot: &JobSnapshot<'_>) -> Self {
        let positive = |field| snapshot.number(field).filter(|number| *number > 0);
        Self {
            attempts: positive(field::MAX_ATTEMPTS),
            crashes: positive(field::MAX_CRASHES),
            attempt: positive(field::TIMEOUT).map(Duration::from_secs),
            memory: positive(field::MEMORY),
        }
    }
}

/// The status and the step of a job, and since when.
pub(super) struct Clock {
    pub(super) status: Status,
    status_since: Instant,
    status_seconds: BTreeMap<Status, f64>,
    step: Option<Step>,
    step_since: Instant,
    stage_seconds: BTreeMap<&'static str, f64>,
    /// Whether the hash has the times of the job's children in place of its own.
    pub(super) tells_of_children: bool,
    pixels: u64,
    /// How much of the work is done, in per cent, as far as it was ever told.
    done: Option<u64>,
    /// How good the result seems to be, as JSON.
    pub(super) quality: Option<String>,
    /// That of the step, in traces; nothing happens inside it.
    span: Span,
    spans_left: usize,
    /// What became of the work, if it has failed.
    pub(super) failure: Option<ErrorClass>,
}

impl Clock {
    fn new(done: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            status: Status::New,
            status_since: now,
            status_seconds: BTreeMap::new(),
            step: None,
            step_since: now,
            stage_seconds: BTreeMap::new(),
            tells_of_children: false,
            pixels: 0,
            done,
            quality: None,
            span: Span::none(),
            spans_left: SPANS,
            failure: None,
        }
    }

    fn begin_step(&mut self, step: Step) {
        let spent = self.end_step();
        self.step = Some(step);
        if spent.is_some_and(|spent| spent < SHORTEST_SPAN) {
            self.span.record("otel.name", step.stage());
            return;
        }
        self.span = Span::none();
        if self.spans_left > 0 {
            self.spans_left -= 1;
            self.span = info_span!(target: traces::TARGET, "stage", otel.name = step.stage());
        }
    }

    /// Counts the time of the step so far, and tells it.
    fn end_step(&mut self) -> Option<Duration> {
        let spent = self.step_since.elapsed();
        self.step_since = Instant::now();
        *self.stage_seconds.entry(self.step?.stage()).or_default() += spent.as_secs_f64();
        Some(spent)
    }

    /// Counts the time with the status so far, and takes another one.
    pub(super) fn change_status(&mut self, status: Status) {
        let spent = self.status_since.elapsed().as_secs_f64();
        if self.status.time_field().is_some() {
            *self.status_seconds.entry(self.status).or_default() += spent;
            info!(stage = %self.status, duration_s = spent, "stage ended");
        }
        self.status_since = Instant::now();
        self.status = status;
    }

    /// The fields for the time spent with each status.
    pub(super) fn times(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.status_seconds
            .iter()
            .filter_map(|(status, spent)| Some((status.time_field()?, spent.to_string())))
    }
}

impl Progress {
    pub(super) fn new(lease: Lease, snapshot: &JobSnapshot<'_>, limits: StepLimits) -> Self {
        let children = snapshot.children();
        // What waits for children goes on waiting for them, whatever happens.
        let resting = if children.is_empty() {
            Status::New.to_string()
        } else {
            snapshot.status()
        };
        Self {
            lease,
            attempts: snapshot.number(field::ATTEMPTS).unwrap_or(0),
            own: OwnLimits::of(snapshot),
            children,
            resting,
            claimed: Instant::now(),
            begun: snapshot.number(field::BEGUN),
            limits,
            clock: Mutex::new(Clock::new(snapshot.number(field::PROGRESS))),
        }
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn status(&self) -> Status {
        self.clock().status
    }

    /// How often the job has failed with a transient error.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// What metrics call the step that the job is in; nothing before the first.
    pub(crate) fn stage(&self) -> Option<&'static str> {
        self.clock().step.map(Step::stage)
    }

    /// How many attempts the job has, if it does not say itself.
    pub(crate) fn max_attempts(&self, usual: u64) -> u64 {
        self.own.attempts.unwrap_or(usual)
    }

    /// How many consumers may die of the job, if it does not say itself.
    pub(crate) fn max_crashes(&self, usual: u64) -> u64 {
        self.own.crashes.unwrap_or(usual)
    }

    /// The limit of an attempt that the job brings along.
    pub(crate) fn own_timeout(&self) -> Option<Duration> {
        self.own.attempt
    }

    /// The bytes that the job says it takes.
    pub(super) fn least_memory(&self) -> u64 {
        self.own.memory.unwrap_or(0)
    }

    /// The time that counts against the limit of the whole attempt begins.
    pub(crate) fn begin_attempt(&self) {
        if let Some(limit) = self.own.attempt {
            self.lease.limit_attempt(limit);
        }
    }

    /// The limit that a job which is overdue has broken: that of its step, or of the whole attempt.
    pub(crate) fn overdue_limit(&self) -> Duration {
        let step = self.clock().step.and_then(|step| self.limits.of(step));
        let limits = [step, self.own.attempt].into_iter().flatten();
        limits.min().unwrap_or_default()
    }

    /// Seconds spent in the steps that have ended, by what metrics call them.
    pub(crate) fn stage_seconds(&self) -> BTreeMap<&'static str, f64> {
        self.clock().stage_seconds.clone()
    }

    /// Pixels of the images decoded for the job.
    pub(crate) fn pixels(&self) -> u64 {
        self.clock().pixels
    }

    /// What became of the work on the job, if it has failed.
    pub(crate) fn failure(&self) -> Option<ErrorClass> {
        self.clock().failure
    }

    /// Time since the job was claimed.
    pub(crate) fn age(&self) -> Duration {
        self.claimed.elapsed()
    }

    /// Time since the job was claimed first, what its children took included.
    pub(super) fn total_time(&self) -> Duration {
        let begun = self.begun.unwrap_or_else(millis_since_1970);
        Duration::from_millis(millis_since_1970().saturating_sub(begun)).max(self.age())
    }

    /// A step begins, with a time limit of its own, even if it is the same again.
    pub(super) fn begin(&self, step: Step) {
        let mut clock = self.clock();
        clock.begin_step(step);
        self.lease.set_deadline(self.limits.of(step));
        let Some(status) = step.status().filter(|status| *status != clock.status) else {
            return;
        };
        clock.change_status(status);
        let mut fields = vec![(field::STATUS, status.to_string())];
        if status == Status::Started {
            let consumer = self.lease.consumer().to_owned();
            fields.push((field::IDENTITY_STARTED, consumer));
        }
        fields.extend(clock.times());
        drop(clock);
        self.write(fields);
    }

    /// The consumer has ended its work, in whatever way.
    pub(crate) fn end_work(&self) {
        let mut clock = self.clock();
        clock.end_step();
        clock.span = Span::none();
        self.lease.set_deadline(None);
    }

    /// So much of the work is done, in per cent; what was told before is never taken back.
    pub(super) fn advance(&self, percent: u64) {
        let mut clock = self.clock();
        if clock.done.is_none_or(|done| done < percent) {
            clock.done = Some(percent);
            drop(clock);
            self.write([(field::PROGRESS, percent.to_string())]);
        }
    }

    pub(super) fn count_pixels(&self, pixels: u64) {
        self.clock().pixels += pixels;
    }

    /// Writes fields that tell the times of the children in place of the job's own.
    pub(super) fn tell_of_children(&self, fields: Vec<(&'static str, String)>) {
        self.clock().tells_of_children = true;
        self.write(fields);
    }

    /// Writes fields soon, with the stamps of every write.
    pub(super) fn write(&self, fields: impl IntoIterator<Item = (&'static str, String)>) {
        let fields = fields.into_iter();
        self.write_named(fields.map(|(name, value)| (name.into(), value)).collect());
    }

    /// The same for fields with names of a consumer's own.
    pub(super) fn write_named(&self, mut fields: Fields) {
        fields.push((field::UPDATED_AT.into(), timestamp()));
        let consumer = self.lease.consumer().to_owned();
        fields.push((field::UPDATED_BY.into(), consumer));
        self.lease.update_fields(fields);
    }

    pub(super) fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
