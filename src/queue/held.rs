//! The jobs that this process holds, in one place: their tokens, their deadlines, and what is yet to be written to them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::metrics::LastTime;
use crate::wire::JobKey;

/// Time between two writes of progress to one job.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

/// Fields of a hash and their values.
pub type Fields = Vec<(Cow<'static, str>, String)>;

/// All leases of this process.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<JobKey, Arc<Held>>>,
    /// Tokens of the jobs that slots have abandoned last.
    abandoned: Mutex<HashMap<usize, String>>,
    /// Notified when there is something to be written.
    pub(super) changed: Notify,
    /// Since when there has been a lease without a break.
    pub(super) busy_since: LastTime,
    /// When a lease ended last.
    pub(super) freed: LastTime,
}

/// A job that is held.
pub(super) struct Held {
    pub(super) key: JobKey,
    pub(super) token: String,
    pub(super) slot: usize,
    pub(super) crashes: u64,
    pub(super) lost: CancellationToken,
    pub(super) overdue: CancellationToken,
    state: Mutex<State>,
}

pub(super) struct State {
    is_renewed: bool,
    /// When the step that the job is in has taken too long.
    pub(super) deadline: Option<Instant>,
    /// For how many reasons the deadline moves on with the time.
    pub(super) pauses: u32,
    pub(super) unwritten: Fields,
    written: Instant,
}

/// As long as this value exists, time does not count against the deadline of the job.
pub struct DeadlinePause(pub(super) Arc<Held>);

/// For which jobs the time since the last look at deadlines does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    /// Those whose deadline is paused.
    Some,
    /// All.
    All,
}

impl Leases {
    pub(super) fn insert(&self, lease: Arc<Held>) {
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
    pub(super) fn remove(&self, lease: &Arc<Held>) {
        if let Entry::Occupied(entry) = self.held().entry(lease.key.clone())
            && Arc::ptr_eq(entry.get(), lease)
        {
            entry.remove();
        }
        self.freed.touch();
    }

    pub(super) fn abandon(&self, lease: &Arc<Held>) {
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
    pub(super) async fn due_writes(&self) -> Vec<(Arc<Held>, Fields)> {
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

    pub(super) fn held(&self) -> MutexGuard<'_, HashMap<JobKey, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(super) fn new(key: JobKey, token: String, slot: usize, crashes: u64) -> Self {
        let state = State {
            is_renewed: true,
            deadline: None,
            pauses: 0,
            unwritten: Vec::new(),
            written: Instant::now(),
        };
        Self {
            key,
            token,
            slot,
            crashes,
            lost: CancellationToken::new(),
            overdue: CancellationToken::new(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn enforce_deadline(&self, passed: Duration, paused: Paused) {
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DeadlinePause {
    fn drop(&mut self) {
        self.0.state().pauses -= 1;
    }
}
