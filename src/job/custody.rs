//! What the worker keeps of a job while a consumer has it: where it stands, and the right to settle it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Span, info, info_span};

use super::{BEGUN, Children, Output, Record, Stage, Status, TRACE, seconds, timestamp};
use crate::failure::Class;
use crate::queue::{self, Claim, Due, JobKey, Queue, Settled, millis};
use crate::traces;

/// A stage that is left sooner than this was none: traces show the next in its place.
const AT_ONCE: Duration = Duration::from_micros(100);

/// Spans of stages that a job has in traces; an archive of thousands of images changes its stage with each of them.
const SPANS: usize = 100;

/// A job waits for something that is nobody's fault, such as memory that others use.
pub struct Waiting(Arc<Custody>);

impl Waiting {
    pub(super) fn begin(custody: &Arc<Custody>) -> Self {
        custody.progress().waiting += 1;
        Self(Arc::clone(custody))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.progress().waiting -= 1;
    }
}

/// What the worker keeps of a job while a consumer has it: where it stands, and the right to settle it.
pub(crate) struct Custody {
    pub(super) queue: Queue,
    pub(super) claim: Claim,
    attempts: u64,
    pub(super) children: Vec<JobKey>,
    /// The status that the job goes back to when it is tried again.
    resting: String,
    progress: Mutex<Progress>,
    claimed: Instant,
    /// When it was taken first, in milliseconds since 1970, if it has waited for its children since.
    begun: Option<u64>,
}

/// Where a job stands and since when.
struct Progress {
    status: Status,
    entered: Instant,
    seconds: BTreeMap<Status, f64>,
    /// Whether the record tells the times of the job's children in place of its own.
    tells_of_children: bool,
    pixels: u64,
    stage: Option<Stage>,
    stage_entered: Instant,
    stage_seconds: BTreeMap<Stage, f64>,
    /// Time in this stage that does not count.
    excused: Duration,
    waiting: u32,
    /// How much of the work is done, in per cent, as far as it was ever told.
    done: Option<u64>,
    /// That of the stage, in traces; nothing happens inside it.
    span: Span,
    spans_left: usize,
    /// What became of the work, if it has failed.
    failure: Option<Class>,
}

impl Progress {
    fn new(done: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            status: Status::New,
            entered: now,
            seconds: BTreeMap::new(),
            tells_of_children: false,
            pixels: 0,
            stage: None,
            stage_entered: now,
            stage_seconds: BTreeMap::new(),
            excused: Duration::ZERO,
            waiting: 0,
            done,
            span: Span::none(),
            spans_left: SPANS,
            failure: None,
        }
    }

    fn begin_stage(&mut self, stage: Option<Stage>) {
        let spent = self.close_stage();
        self.stage = stage;
        self.excused = Duration::ZERO;
        let Some(stage) = stage else {
            return self.span = Span::none();
        };
        if spent.is_some_and(|spent| spent < AT_ONCE) {
            self.span.record("otel.name", stage.as_str());
            return;
        }
        self.span = Span::none();
        if self.spans_left > 0 {
            self.spans_left -= 1;
            self.span = info_span!(target: traces::TARGET, "stage", otel.name = stage.as_str());
        }
    }

    /// Counts the time of the stage so far, and tells it.
    fn close_stage(&mut self) -> Option<Duration> {
        let spent = self.stage_entered.elapsed();
        self.stage_entered = Instant::now();
        *self.stage_seconds.entry(self.stage?).or_default() += spent.as_secs_f64();
        Some(spent)
    }

    fn close_status(&mut self) {
        let spent = self.entered.elapsed().as_secs_f64();
        if self.status.time_field().is_some() {
            *self.seconds.entry(self.status).or_default() += spent;
            info!(stage = %self.status, duration_s = spent, "stage ended");
        }
        self.entered = Instant::now();
    }

    fn times(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.seconds
            .iter()
            .filter_map(|(status, spent)| Some((status.time_field()?, seconds(*spent))))
    }
}

impl Custody {
    pub(super) fn new(queue: Queue, claim: Claim, record: &Record) -> Self {
        let children = record.children();
        // What waits for children goes on waiting for them, whatever happens.
        let resting = if children.is_empty() {
            Status::New.to_string()
        } else {
            record.status()
        };
        let done = record.text("progress").and_then(|text| text.parse().ok());
        let (attempts, progress) = (
            record.number("rc_attempts"),
            Mutex::new(Progress::new(done)),
        );
        let begun = record.text(BEGUN).and_then(|text| text.parse().ok());
        Self {
            queue,
            claim,
            attempts,
            children,
            resting,
            progress,
            claimed: Instant::now(),
            begun,
        }
    }

    /// A stage begins that has no status of its own.
    pub(super) fn begin(&self, stage: Stage) {
        self.progress().begin_stage(Some(stage));
    }

    /// The consumer has ended its work, in whatever way.
    pub(crate) fn end_work(&self) {
        let mut progress = self.progress();
        progress.close_stage();
        progress.span = Span::none();
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(crate) fn status(&self) -> Status {
        self.progress().status
    }

    /// How often the job has failed in a way that may pass.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Seconds spent in the stages that have ended.
    pub(crate) fn stage_seconds(&self) -> Vec<(Stage, f64)> {
        self.progress()
            .stage_seconds
            .iter()
            .map(|(stage, spent)| (*stage, *spent))
            .collect()
    }

    /// Pixels of the images decoded for the job.
    pub(crate) fn pixels(&self) -> u64 {
        self.progress().pixels
    }

    pub(super) fn decoded(&self, pixels: u64) {
        self.progress().pixels += pixels;
    }

    /// What became of the work on the job, if it has failed.
    pub(crate) fn failure(&self) -> Option<Class> {
        self.progress().failure
    }

    /// Time since the job was claimed.
    pub(crate) fn age(&self) -> Duration {
        self.claimed.elapsed()
    }

    /// The stage that the job is in and the time that counts against its limit.
    pub(crate) fn stage(&self) -> Option<(Stage, Duration)> {
        let progress = self.progress();
        Some((
            progress.stage?,
            progress
                .stage_entered
                .elapsed()
                .saturating_sub(progress.excused),
        ))
    }

    /// This much time of the stage does not count.
    pub(crate) fn excuse(&self, time: Duration) {
        self.progress().excused += time;
    }

    /// Whether the job waits for something that is nobody's fault.
    pub(crate) fn is_waiting(&self) -> bool {
        self.progress().waiting > 0
    }

    pub(crate) fn enter(&self, status: Status) {
        let mut progress = self.progress();
        progress.close_status();
        progress.begin_stage(Stage::of(status));
        progress.status = status;
        let mut fields = vec![("status", status.to_string())];
        if status == Status::Started {
            fields.push(("identity_started", self.queue.consumer().to_owned()));
        }
        fields.extend(progress.times());
        drop(progress);
        self.write(fields);
    }

    /// So much of the work is done, in per cent; what was told before is never taken back.
    pub(super) fn advance(&self, percent: u64) {
        let mut progress = self.progress();
        if progress.done.is_none_or(|done| done < percent) {
            progress.done = Some(percent);
            drop(progress);
            self.write(vec![("progress", percent.to_string())]);
        }
    }

    /// Ends the job with a result.
    pub(crate) async fn finish(&self, output: &Output) -> Result<Settled, queue::Error> {
        let result = vec![
            ("output_file_name", output.key.clone()),
            ("output_url", output.url.clone()),
        ];
        self.settle(Status::Done, result, false).await
    }

    /// Ends the job without a result. One that is `dead` is given up though nothing is known to be wrong with it.
    pub(crate) async fn fail(
        &self,
        reason: &str,
        class: Class,
        dead: bool,
    ) -> Result<Settled, queue::Error> {
        self.progress().failure = Some(class);
        self.settle(
            Status::Failed,
            vec![
                ("reason", reason.to_owned()),
                ("error_class", class.to_string()),
            ],
            dead,
        )
        .await
    }

    /// Has the job tried again later. What failed counts as one more attempt or, if the consumer died, one more death.
    pub(crate) async fn retry(
        &self,
        reason: &str,
        class: Class,
        after: Duration,
    ) -> Result<Settled, queue::Error> {
        self.progress().failure = Some(class);
        let counted = match class {
            Class::Crash => ("rc_crashes", self.claim.crashes + 1),
            _ => ("rc_attempts", self.attempts + 1),
        };
        let fields = [
            ("status", self.resting.clone()),
            (counted.0, counted.1.to_string()),
            (
                "rc_last_error",
                format!("{class}: {}", reason.lines().last().unwrap_or_default()),
            ),
            ("updated_at", timestamp()),
            ("updated_by", self.queue.consumer().to_owned()),
        ];
        self.queue.delay(&self.claim, Due::In(after), &fields).await
    }

    /// Puts the job off until a moment in milliseconds since 1970; [`Settled::Due`] if that has passed.
    pub(crate) async fn postpone(&self, until: u64) -> Result<Settled, queue::Error> {
        self.queue.delay(&self.claim, Due::At(until), &[]).await
    }

    /// Hands the job back for another consumer.
    pub(crate) async fn release(&self) -> Result<Settled, queue::Error> {
        self.queue.release(&self.claim).await
    }

    /// Puts the job aside until its children are final.
    pub(crate) async fn park(&self, children: &Children) -> Result<Settled, queue::Error> {
        let begun = self
            .begun
            .unwrap_or_else(|| millis_since_1970().saturating_sub(millis(self.age())));
        self.write(vec![(BEGUN, begun.to_string())]);
        self.queue.park(&self.claim, &children.wait()).await
    }

    /// Lets the children of the job go, if it has any: they expire, and those that nobody has begun end.
    pub(crate) async fn disown_children(&self, lifetime: Duration) -> Result<(), queue::Error> {
        self.queue
            .disown(&self.claim, &self.children, lifetime)
            .await
    }

    /// Leaves the job to its fate: its lease is no longer renewed.
    pub(crate) fn abandon(&self) {
        self.queue.abandon(&self.claim);
    }

    async fn settle(
        &self,
        status: Status,
        mut fields: Vec<(&'static str, String)>,
        dead: bool,
    ) -> Result<Settled, queue::Error> {
        let now = timestamp();
        fields.extend([
            ("finished_at", now.clone()),
            ("updated_at", now),
            ("updated_by", self.queue.consumer().to_owned()),
            ("total_jobs", self.children.len().max(1).to_string()),
        ]);
        fields.extend(
            traces::context()
                .remove("traceparent")
                .map(|context| (TRACE, context)),
        );
        {
            let mut progress = self.progress();
            progress.close_status();
            progress.status = status;
            if !progress.tells_of_children {
                fields.push(("total_time", seconds(self.total_time().as_secs_f64())));
            }
            fields.extend(progress.times());
        }
        self.queue
            .finish(&self.claim, status.as_str(), &fields, dead)
            .await
    }

    /// Time since the job was first claimed, what its children took included.
    fn total_time(&self) -> Duration {
        let waited = self
            .begun
            .map(|begun| Duration::from_millis(millis_since_1970().saturating_sub(begun)));
        waited.unwrap_or_default().max(self.age())
    }

    /// Writes fields that tell the times of the children in place of the job's own.
    pub(super) fn tell_of_children(&self, fields: Vec<(&'static str, String)>) {
        self.progress().tells_of_children = true;
        self.write(fields);
    }

    pub(super) fn write(&self, mut fields: Vec<(&'static str, String)>) {
        fields.push(("updated_at", timestamp()));
        fields.push(("updated_by", self.queue.consumer().to_owned()));
        self.queue.set(&self.claim, fields);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis_since_1970() -> u64 {
    jiff::Timestamp::now().as_millisecond().unsigned_abs()
}
