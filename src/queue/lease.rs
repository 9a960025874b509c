//! What this process holds: the right to work a job, and the verbs that end it.
//!
//! A lease is taken by a claim and renewed by heartbeats. Its token fences every write, so that a consumer which lost the job
//! can neither finish nor overwrite it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Script, ScriptInvocation};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span, warn};

use super::client::Queue;
use super::error::Error;
use crate::metrics::LastTime;
use crate::traces;
use crate::wire::{JobKey, Status, field, millis};

/// Time between two writes of progress to one job.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);
/// How long jobs that were given up are remembered, and how many.
const DEAD_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
const DEAD_LIMIT: usize = 10_000;

pub(super) static UPDATE_FIELDS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/update_fields.lua")));
static ACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/children.lua"),
        include_str!("scripts/ack.lua")
    ))
});
static NACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/release_lease.lua"),
        include_str!("scripts/nack.lua")
    ))
});
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/release_lease.lua"),
        include_str!("scripts/release.lua")
    ))
});

/// Fields of a hash and their values.
pub type Fields = Vec<(Cow<'static, str>, String)>;

/// What became of an attempt to settle a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The write took place.
    Committed,
    /// The hash has vanished (expired or deleted); the entry was dropped.
    Gone,
    /// The entry had been taken out of our list, or the job finished by others; nothing was written.
    Moved,
    /// Another consumer has claimed the job; nothing was written.
    Lost,
    /// The time to wait for has passed: the job is still held.
    AlreadyDue,
}

/// When a job that is returned is to be worked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAt {
    /// After this long, as an attempt at it has failed.
    After(Duration),
    /// At this time, in milliseconds since 1970 by the clock of Redis, as the job asks for it.
    Time(u64),
}

/// A final status, and whether it was the end of a job with which nothing is known to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    Failed,
    DeadLettered,
}

/// The right to work a job until it is settled or lost. Clones are the same lease.
#[derive(Clone)]
pub struct Lease {
    pub(super) queue: Queue,
    held: Arc<Held>,
}

/// All leases of this process.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<JobKey, Arc<Held>>>,
    /// Tokens of the jobs that slots have abandoned last.
    abandoned: Mutex<HashMap<usize, String>>,
    /// Notified when there is something to be written.
    changed: Notify,
    /// Since when there has been a lease without a break.
    busy_since: LastTime,
    /// When a lease ended last.
    freed: LastTime,
}

/// A job that is held.
pub(super) struct Held {
    pub(super) key: JobKey,
    pub(super) token: String,
    pub(super) slot: usize,
    crashes: u64,
    lost: CancellationToken,
    overdue: CancellationToken,
    state: Mutex<State>,
}

struct State {
    is_renewed: bool,
    /// When the step that the job is in has taken too long.
    deadline: Option<Instant>,
    /// For how many reasons the deadline moves on with the time.
    pauses: u32,
    unwritten: Fields,
    written: Instant,
}

/// As long as this value exists, time does not count against the deadline of the job.
pub struct DeadlinePause(Arc<Held>);

impl Lease {
    pub(super) fn new(queue: Queue, key: JobKey, token: String, slot: usize, crashes: u64) -> Self {
        let state = State {
            is_renewed: true,
            deadline: None,
            pauses: 0,
            unwritten: Vec::new(),
            written: Instant::now(),
        };
        let held = Arc::new(Held {
            key,
            token,
            slot,
            crashes,
            lost: CancellationToken::new(),
            overdue: CancellationToken::new(),
            state: Mutex::new(state),
        });
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
        let fields = self.held.state().unwritten.clone();
        if fields.is_empty() {
            return Ok(true);
        }
        let is_held = self.queue.update_fields_of(&self.held, &fields).await?;
        let mut state = self.held.state();
        state.unwritten.retain(|field| !fields.contains(field));
        Ok(is_held)
    }

    async fn finish(&self, ending: Ending, fields: &[(&str, String)]) -> Result<Settled, Error> {
        let (status, result) = match ending {
            Ending::Done => (Status::Done, "done"),
            Ending::Failed => (Status::Failed, "failed"),
            Ending::DeadLettered => (Status::Failed, "dead"),
        };
        let unwritten = self.held.state().unwritten.clone();
        let mut call = self.settling(&ACK);
        call.key(self.queue.inner.keys.dead());
        call.arg(u8::from(ending == Ending::DeadLettered))
            .arg(millis(DEAD_AGE))
            .arg(DEAD_LIMIT)
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
            "GONE" => Settled::Gone,
            "MOVED" => Settled::Moved,
            "DUE" => return Ok(Settled::AlreadyDue),
            _ => Settled::Lost,
        };
        self.queue.inner.metrics.settled(result, settled);
        self.queue.inner.leases.remove(&self.held);
        Ok(settled)
    }
}

impl Queue {
    /// Writes what [`Lease::update_fields`] was given, for as long as it is polled.
    pub(crate) async fn write_fields(&self) {
        loop {
            for (held, fields) in self.inner.leases.due_writes().await {
                match self.update_fields_of(&held, &fields).await {
                    Ok(true) => {}
                    Ok(false) => self.lose(&held),
                    Err(error) => {
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

    /// Tells whoever works a job that it is somebody else's now.
    pub(super) fn lose(&self, held: &Held) {
        if !held.lost.is_cancelled() {
            warn!(job.key = %held.key, "the job is no longer ours; its result will be dropped");
            held.lost.cancel();
            self.inner.metrics.lost();
        }
    }

    async fn update_fields_of(&self, held: &Held, fields: &Fields) -> Result<bool, Error> {
        let mut call = UPDATE_FIELDS.key(&held.key.0);
        call.arg(&held.token);
        push_fields(&mut call, fields);
        Ok(self.script::<u8>("update_fields", &call).await? == 1)
    }
}

/// For which jobs the time since the last look at deadlines does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    /// Those whose deadline is paused.
    Some,
    /// All.
    All,
}

impl Leases {
    fn insert(&self, lease: Arc<Held>) {
        let mut held = self.held();
        if held.is_empty() {
            self.busy_since.touch();
        }
        // Another slot of ours had it, and its lease has expired since.
        if let Some(former) = held.insert(lease.key.clone(), lease) {
            former.lost.cancel();
        }
    }

    /// The job is settled.
    fn remove(&self, lease: &Arc<Held>) {
        if let Entry::Occupied(entry) = self.held().entry(lease.key.clone())
            && Arc::ptr_eq(entry.get(), lease)
        {
            entry.remove();
        }
        self.freed.touch();
    }

    fn abandon(&self, lease: &Arc<Held>) {
        let mut abandoned = self
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        abandoned.insert(lease.slot, lease.token.clone());
        self.remove(lease);
    }

    /// The token of the job that a slot has abandoned last; empty if there was none.
    pub(super) fn abandoned(&self, slot: usize) -> String {
        let abandoned = self
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        abandoned.get(&slot).cloned().unwrap_or_default()
    }

    /// All leases that are renewed, by the key of their job.
    pub(super) fn renewed(&self) -> HashMap<JobKey, Arc<Held>> {
        let held = self.held();
        let renewed = held.iter().filter(|(_, held)| held.state().is_renewed);
        renewed
            .map(|(key, held)| (key.clone(), Arc::clone(held)))
            .collect()
    }

    /// Waits until fields may be written, and takes them.
    async fn due_writes(&self) -> Vec<(Arc<Held>, Fields)> {
        loop {
            let (due, next) = self.take_due_writes();
            if !due.is_empty() {
                return due;
            }
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => self.changed.notified().await,
            }
        }
    }

    /// The fields that may be written now, and when the next ones may.
    fn take_due_writes(&self) -> (Vec<(Arc<Held>, Fields)>, Option<Instant>) {
        let now = Instant::now();
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for held in self.held().values() {
            let mut state = held.state();
            if state.unwritten.is_empty() {
                continue;
            }
            let from = state.written + WRITE_INTERVAL;
            if from <= now {
                state.written = now;
                due.push((Arc::clone(held), std::mem::take(&mut state.unwritten)));
            } else {
                next = Some(next.map_or(from, |next| next.min(from)));
            }
        }
        (due, next)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<JobKey, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn enforce_deadline(&self, passed: Duration, paused: Paused) {
        let mut state = self.state();
        let Some(deadline) = state.deadline else {
            return;
        };
        if paused == Paused::All || state.pauses > 0 {
            state.deadline = Some(deadline + passed);
        } else if deadline <= Instant::now() {
            // Should the slot be beyond reach, another consumer takes the job when the lease expires.
            state.is_renewed = false;
            self.overdue.cancel();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DeadlinePause {
    fn drop(&mut self) {
        self.0.state().pauses -= 1;
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
