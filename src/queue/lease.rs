//! What this process holds: the right to work a job, and the verbs that end it.
//!
//! A lease is taken by a claim and renewed by heartbeats. Its token fences every write, so that a consumer which lost the job
//! can neither finish nor overwrite it.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use redis::{Script, ScriptInvocation};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span, warn};

use super::client::Queue;
use super::error::Error;
use super::held::{DeadlinePause, Fields, Held, Paused};
use super::outcome::{RunAt, Settled};
use crate::metrics::LastTime;
use crate::traces;
use crate::wire::{JobKey, Status, field, millis};

/// How long jobs that have failed are remembered, and how many.
const FAILED_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
const FAILED_LIMIT: usize = 10_000;

static UPDATE_FIELDS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/update_fields.lua")));
static ACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/children.lua"),
        include_str!("scripts/batch.lua"),
        include_str!("scripts/ack.lua")
    ))
});
static NACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/release_lease.lua"),
        include_str!("scripts/nack.lua")
    ))
});
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/release_lease.lua"),
        include_str!("scripts/release.lua")
    ))
});

/// A final status, and whether it was the end of a job with which nothing is known to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    Failed,
    DeadLettered,
    /// An operator wanted it, so it is not among the failures.
    Cancelled,
}

/// The right to work a job until it is settled or lost. Clones are the same lease.
#[derive(Clone)]
pub struct Lease {
    pub(super) queue: Queue,
    held: Arc<Held>,
}

impl Lease {
    pub(super) fn new(queue: Queue, key: JobKey, token: String, slot: usize, crashes: u64) -> Self {
        let held = Arc::new(Held::new(key, token, slot, crashes));
        queue.inner.leases.insert(Arc::clone(&held));
        Self { queue, held }
    }

    /// A lease that nobody gave and nobody renews, to try a consumer on. What it is told to write is not written.
    #[cfg(feature = "testing")]
    pub(crate) fn detached(queue: Queue, key: JobKey) -> Self {
        Self::new(queue, key, "detached".to_owned(), 0, 0)
    }

    /// The key of the job's hash.
    pub fn key(&self) -> &JobKey {
        &self.held.key
    }

    /// The name of the queue that the job was taken from.
    pub fn queue_name(&self) -> &str {
        self.queue.name()
    }

    /// The name under which this process works.
    pub fn consumer(&self) -> &str {
        self.queue.consumer()
    }

    /// The right to write to the job, as its hash has it while nobody else does.
    pub fn token(&self) -> &str {
        &self.held.token
    }

    /// The slot that holds the job.
    pub fn slot(&self) -> usize {
        self.held.slot
    }

    /// How many consumers have died while they worked this job.
    pub fn crashes(&self) -> u64 {
        self.held.crashes
    }

    /// Cancelled as soon as the job is known to be somebody else's.
    pub fn lost(&self) -> &CancellationToken {
        &self.held.lost
    }

    /// Cancelled when the deadline has passed. The lease is no longer renewed then.
    pub(crate) fn overdue(&self) -> &CancellationToken {
        &self.held.overdue
    }

    /// Cancelled when an operator wants the job to end.
    pub(crate) fn cancelled(&self) -> &CancellationToken {
        &self.held.cancelled
    }

    /// Who wants the job to end, and why; empty unless it is [cancelled](Self::cancelled).
    pub(crate) fn cancelled_by(&self) -> &str {
        self.held.cancelled_by.get().map_or("", String::as_str)
    }

    /// The whole attempt has this long.
    pub(crate) fn limit_attempt(&self, limit: Duration) {
        self.held.state().attempt_deadline = Some(Instant::now() + limit);
    }

    /// From now on the job has this long; nothing is no limit.
    pub(crate) fn set_deadline(&self, limit: Option<Duration>) {
        self.held.state().deadline = limit.map(|limit| Instant::now() + limit);
    }

    /// Time does not count against the deadline until the value is dropped.
    pub(crate) fn pause_deadline(&self) -> DeadlinePause {
        self.held.state().pauses += 1;
        DeadlinePause(Arc::clone(&self.held))
    }

    /// Writes fields soon: together with others of the same job, twice a second at most. The newest value of a field wins.
    ///
    /// If the job turns out to be somebody else's then, the lease is lost.
    pub fn update_fields(&self, fields: Fields) {
        let mut state = self.held.state();
        state
            .unwritten
            .retain(|(name, _)| fields.iter().all(|(newer, _)| newer != name));
        state.unwritten.extend(fields);
        self.queue.inner.leases.changed.notify_one();
    }

    /// Commits `done` and the final fields. Like all verbs here it may be repeated after an error.
    pub async fn ack(&self, fields: &[(&str, String)]) -> Result<Settled, Error> {
        self.finish(Ending::Done, fields).await
    }

    /// Commits `failed` and the final fields.
    pub async fn fail(&self, fields: &[(&str, String)]) -> Result<Settled, Error> {
        self.finish(Ending::Failed, fields).await
    }

    /// Commits `failed` for a job that is given up though nothing is known to be wrong with it; operators find it in a list.
    pub async fn dead_letter(&self, fields: &[(&str, String)]) -> Result<Settled, Error> {
        self.finish(Ending::DeadLettered, fields).await
    }

    /// Commits `failed` for a job that an operator wanted to end.
    pub(crate) async fn end_cancelled(&self, fields: &[(&str, String)]) -> Result<Settled, Error> {
        self.finish(Ending::Cancelled, fields).await
    }

    /// Returns the job until a later time, writing some fields.
    pub async fn nack(&self, run_at: RunAt, fields: &[(&str, String)]) -> Result<Settled, Error> {
        let mut call = self.settling(&NACK);
        let result = match run_at {
            RunAt::After(time) => {
                call.arg("in").arg(millis(time));
                "retried"
            }
            RunAt::Time(time) => {
                call.arg("at").arg(time);
                "postponed"
            }
        };
        push_fields(&mut call, fields);
        self.settle("nack", result, &call).await
    }

    /// Returns the job to the front of the queue, with nothing counted against it.
    pub async fn release(&self) -> Result<Settled, Error> {
        let mut call = self.settling(&RELEASE);
        call.key(self.queue.name());
        self.settle("release", "released", &call).await
    }

    /// Stops renewing the lease: if this consumer does not come back, another one takes the job.
    ///
    /// If the slot's next claim meets it first, that counts as a crash.
    pub(crate) fn abandon(&self) {
        self.queue.inner.leases.abandon(&self.held);
    }

    /// Writes what [`Self::update_fields`] was given and is not written yet. False if the job is no longer held.
    pub(super) async fn flush(&self) -> Result<bool, Error> {
        self.queue.flush(&self.held).await
    }

    async fn finish(&self, ending: Ending, fields: &[(&str, String)]) -> Result<Settled, Error> {
        let (status, result) = match ending {
            Ending::Done => (Status::Done, "done"),
            Ending::Failed => (Status::Failed, "failed"),
            Ending::DeadLettered => (Status::Failed, "dead"),
            Ending::Cancelled => (Status::Failed, "cancelled"),
        };
        let keys = &self.queue.inner.keys;
        let remembered = match ending {
            Ending::Done | Ending::Cancelled => vec![],
            Ending::Failed => vec![keys.failed()],
            Ending::DeadLettered => vec![keys.failed(), keys.dead()],
        };
        let unwritten = self.held.state().unwritten.clone();
        let mut call = self.settling(&ACK);
        remembered.iter().for_each(|set| _ = call.key(set));
        call.arg(millis(FAILED_AGE))
            .arg(FAILED_LIMIT)
            .arg(status.as_str());
        push_fields(
            &mut call,
            unwritten.iter().filter(|(name, _)| name != field::STATUS),
        );
        push_fields(&mut call, fields);
        self.settle("ack", result, &call).await
    }

    /// The beginning of every call that settles: job, processing list, leases, delayed jobs; token.
    pub(super) fn settling<'s>(&self, script: &'s Script) -> ScriptInvocation<'s> {
        let keys = &self.queue.inner.keys;
        let mut call = script.key(&self.held.key.0);
        call.key(self.queue.processing_list(self.held.slot))
            .key(keys.leases())
            .key(keys.delayed())
            .arg(&self.held.token);
        call
    }

    /// Ends the lease by a script; `result` is what metrics say of the job then.
    pub(super) async fn settle(
        &self,
        operation: &'static str,
        result: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<Settled, Error> {
        let (host, port) = self.queue.server_address().unzip();
        let span = info_span!(
            target: traces::TARGET,
            "settle",
            otel.name = format!("settle {}", self.queue.name()),
            otel.kind = "client",
            messaging.system = "redis",
            messaging.operation.r#type = "settle",
            messaging.operation.name = messaging_operation(result),
            server.address = host,
            server.port = port,
        );
        let answer: String = self.queue.script(operation, call).instrument(span).await?;
        let settled = match answer.as_str() {
            "OK" => Settled::Committed,
            "UNTOLD" => {
                warn!(job.key = %self.held.key, "redis refused to tell the job's parent that it has ended; a sweep will");
                Settled::Committed
            }
            "GONE" => Settled::Gone,
            "MOVED" => Settled::Moved,
            "DUE" => return Ok(Settled::AlreadyDue),
            _ => Settled::Lost,
        };
        self.queue.inner.metrics.settled(result, settled);
        let tally = &self.queue.inner.tally;
        tally.count(&self.held.key, result, settled);
        let leases = &self.queue.inner.leases;
        if settled == Settled::Committed {
            leases.emptied(&self.held);
        }
        leases.remove(&self.held);
        Ok(settled)
    }
}

impl Queue {
    /// Writes what [`Lease::update_fields`] was given, for as long as it is polled.
    pub(crate) async fn write_fields(&self) {
        loop {
            for held in self.inner.leases.due_writes().await {
                match self.flush(&held).await {
                    Ok(true) => {}
                    Ok(false) => self.lose(&held),
                    Err(error) => {
                        held.not_written();
                        warn!(job.key = %held.key, error = %error, "could not update the fields of a job");
                    }
                }
            }
        }
    }

    /// How many jobs this process holds.
    pub(crate) fn busy_slots(&self) -> usize {
        self.inner.leases.held().len()
    }

    /// How long this process has held a job without a break, if it holds one.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        let leases = &self.inner.leases;
        let is_busy = !leases.held().is_empty();
        is_busy.then(|| leases.busy_since.age()).flatten()
    }

    /// When a lease of this process ended last.
    pub(crate) fn last_freed(&self) -> &LastTime {
        &self.inner.leases.freed
    }

    /// Ends the jobs whose deadline has passed. `passed` is the time since the last look: it does not count for jobs whose
    /// deadline is paused, nor for any while `all_paused`.
    pub(crate) fn enforce_deadlines(&self, passed: Duration, paused: Paused) {
        for held in self.inner.leases.held().values() {
            held.enforce_deadline(passed, paused);
        }
    }

    /// Tells whoever works a job that it is somebody else's now. One that has ended meanwhile has not been lost.
    pub(super) fn lose(&self, held: &Arc<Held>) {
        if self.inner.leases.holds(held) && !held.lost.is_cancelled() {
            warn!(job.key = %held.key, "the job is no longer ours; its result will be dropped");
            held.lost.cancel();
            self.inner.metrics.lost();
        }
    }

    async fn flush(&self, held: &Held) -> Result<bool, Error> {
        let fields = held.state().unwritten.clone();
        if fields.is_empty() {
            return Ok(true);
        }
        let mut call = UPDATE_FIELDS.key(&held.key.0);
        call.arg(&held.token);
        push_fields(&mut call, &fields);
        let is_held = self.script::<u8>("update_fields", &call).await? == 1;
        held.written(&fields);
        Ok(is_held)
    }
}

fn push_fields<'f, N: AsRef<str> + 'f>(
    call: &mut ScriptInvocation<'_>,
    fields: impl IntoIterator<Item = &'f (N, String)>,
) {
    for (name, value) in fields {
        call.arg(name.as_ref()).arg(value);
    }
}

/// What traces call it when a lease ends with this result.
fn messaging_operation(result: &str) -> &'static str {
    match result {
        "retried" | "postponed" => "retry",
        "released" => "release",
        "dead" => "dead_letter",
        _ => "ack",
    }
}
