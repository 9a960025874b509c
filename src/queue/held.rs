//! The jobs that this process holds, in one place: their tokens, their deadlines, and what is yet to be written to them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::metrics::LastTime;
use crate::wire::JobKey;

/// Time between two writes of progress to one job.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);
/// The same after a write that Redis has refused.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// Fields of a hash and their values.
pub type Fields = Vec<(Cow<'static, str>, String)>;

/// All leases of this process.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<JobKey, Arc<Held>>>,
    /// What is known of the processing lists of slots.
    lists: Mutex<HashMap<usize, SlotList>>,
    /// Notified when there is something to be written.
    pub(super) changed: Notify,
    /// Since when there has been a lease without a break.
    pub(super) busy_since: LastTime,
    /// When a lease ended last.
    pub(super) freed: LastTime,
}

/// What is known of the processing list of a slot between two jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum SlotList {
    /// It may have an entry.
    #[default]
    Unknown,
    /// The job was settled, and nothing has asked for another since.
    Empty,
    /// It has the entry of the job with this token, which the slot had to abandon.
    Abandoned(String),
}

/// A job that is held.
pub(super) struct Held {
    pub(super) key: JobKey,
    pub(super) token: String,
    pub(super) slot: usize,
    pub(super) crashes: u64,
    pub(super) lost: CancellationToken,
    /// Cancelled when the deadline has passed. Should the slot be beyond reach, another consumer takes the job when the lease,
    /// which is no longer renewed, expires.
    pub(super) overdue: CancellationToken,
    /// Cancelled when an operator wants the job to end.
    pub(super) cancelled: CancellationToken,
    /// Who that was, and why.
    pub(super) cancelled_by: OnceLock<String>,
    state: Mutex<State>,
}

pub(super) struct State {
    /// When the step that the job is in has taken too long.
    pub(super) deadline: Option<Instant>,
    /// When the whole attempt has.
    pub(super) attempt_deadline: Option<Instant>,
    /// For how many reasons the deadline moves on with the time.
    pub(super) pauses: u32,
    /// What is not known to be written: the end of the job takes it along.
    pub(super) unwritten: Fields,
    /// When fields may be written next.
    writable_from: Instant,
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
        let list = SlotList::Abandoned(lease.token.clone());
        self.lists().insert(lease.slot, list);
        self.remove(lease);
    }

    /// The job is settled, and its entry gone.
    pub(super) fn emptied(&self, lease: &Arc<Held>) {
        self.lists().insert(lease.slot, SlotList::Empty);
    }

    /// What a claim finds in the list of a slot. Once Redis is asked for an entry, that is not known any more.
    pub(super) fn take_list(&self, slot: usize) -> SlotList {
        let mut lists = self.lists();
        match lists.get(&slot) {
            // Until the next job is settled, as the answer may be lost.
            Some(abandoned @ SlotList::Abandoned(_)) => abandoned.clone(),
            _ => lists.remove(&slot).unwrap_or_default(),
        }
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<usize, SlotList>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All leases that are renewed, by the key of their job.
    pub(super) fn renewed(&self) -> HashMap<JobKey, Arc<Held>> {
        let held = self.held();
        let renewed = held.iter().filter(|(_, held)| !held.overdue.is_cancelled());
        renewed
            .map(|(key, held)| (key.clone(), Arc::clone(held)))
            .collect()
    }

    /// Waits until fields may be written, and tells of which jobs.
    pub(super) async fn due_writes(&self) -> Vec<Arc<Held>> {
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

    /// The jobs whose fields may be written now, and when those of the next one may.
    fn take_due_writes(&self) -> (Vec<Arc<Held>>, Option<Instant>) {
        let now = Instant::now();
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for held in self.held().values() {
            let mut state = held.state();
            if state.unwritten.is_empty() {
                continue;
            }
            let from = state.writable_from;
            if from <= now {
                state.writable_from = now + WRITE_INTERVAL;
                due.push(Arc::clone(held));
            } else {
                next = Some(next.map_or(from, |next| next.min(from)));
            }
        }
        (due, next)
    }

    /// Whether this very lease has not ended.
    pub(super) fn holds(&self, lease: &Arc<Held>) -> bool {
        let held = self.held();
        held.get(&lease.key)
            .is_some_and(|now| Arc::ptr_eq(now, lease))
    }

    pub(super) fn held(&self) -> MutexGuard<'_, HashMap<JobKey, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(super) fn new(key: JobKey, token: String, slot: usize, crashes: u64) -> Self {
        let state = State {
            deadline: None,
            attempt_deadline: None,
            pauses: 0,
            unwritten: Vec::new(),
            writable_from: Instant::now() + WRITE_INTERVAL,
        };
        Self {
            key,
            token,
            slot,
            crashes,
            lost: CancellationToken::new(),
            overdue: CancellationToken::new(),
            cancelled: CancellationToken::new(),
            cancelled_by: OnceLock::new(),
            state: Mutex::new(state),
        }
    }

    /// These fields are written.
    pub(super) fn written(&self, fields: &Fields) {
        let mut state = self.state();
        state.unwritten.retain(|field| !fields.contains(field));
    }

    /// Redis has refused to write fields.
    pub(super) fn not_written(&self) {
        self.state().writable_from = Instant::now() + PAUSE_AFTER_ERROR;
    }

    pub(super) fn enforce_deadline(&self, passed: Duration, paused: Paused) {
        let mut state = self.state();
        let is_paused = paused == Paused::All || state.pauses > 0;
        let State {
            deadline,
            attempt_deadline,
            ..
        } = &mut *state;
        for deadline in [deadline, attempt_deadline].into_iter().flatten() {
            if is_paused {
                *deadline += passed;
            } else if *deadline <= Instant::now() {
                self.overdue.cancel();
            }
        }
    }

    /// An operator wants the job to end.
    pub(super) fn cancel(&self, by: String) {
        let _ = self.cancelled_by.set(by);
        self.cancelled.cancel();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(token: &str) -> Arc<Held> {
        let key = JobKey(b"predict:a.png:0".to_vec());
        Arc::new(Held::new(key, token.to_owned(), 0, 0))
    }

    fn field(name: &'static str, value: &str) -> (Cow<'static, str>, String) {
        (name.into(), value.to_owned())
    }

    #[test]
    fn fields_stay_with_the_lease_until_they_are_written() {
        let (leases, lease) = (Leases::default(), lease("a"));
        leases.insert(Arc::clone(&lease));
        lease.state().unwritten = vec![field("scale", "1"), field("progress", "10")];
        let (due, next) = leases.take_due_writes();
        assert!(due.is_empty() && next.is_some(), "twice a second at most");

        lease.state().writable_from = Instant::now();
        let (due, _) = leases.take_due_writes();
        assert_eq!(due.len(), 1);
        let sent = lease.state().unwritten.clone();
        assert_eq!(sent.len(), 2, "a job that ends meanwhile still has them");

        lease.state().unwritten[1] = field("progress", "20");
        lease.written(&sent);
        assert_eq!(lease.state().unwritten, [field("progress", "20")]);
    }

    #[test]
    fn only_the_lease_of_now_holds_a_job() {
        let (leases, first, second) = (Leases::default(), lease("a"), lease("b"));
        leases.insert(Arc::clone(&first));
        assert!(leases.holds(&first));
        leases.insert(Arc::clone(&second));
        assert!(!leases.holds(&first) && first.lost.is_cancelled());
        leases.remove(&first);
        assert!(leases.holds(&second));
        leases.remove(&second);
        assert!(!leases.holds(&second));
    }

    #[test]
    fn a_list_is_known_to_be_empty_for_one_claim() {
        let (leases, lease) = (Leases::default(), lease("a"));
        assert_eq!(leases.take_list(0), SlotList::Unknown, "of an earlier life");
        leases.emptied(&lease);
        assert_eq!(leases.take_list(0), SlotList::Empty);
        assert_eq!(leases.take_list(0), SlotList::Unknown);
        leases.abandon(&lease);
        let abandoned = SlotList::Abandoned("a".to_owned());
        assert_eq!(leases.take_list(0), abandoned);
        assert_eq!(
            leases.take_list(0),
            abandoned,
            "the first answer may be lost"
        );
        leases.emptied(&lease);
        assert_eq!(leases.take_list(0), SlotList::Empty);
    }

    #[test]
    fn a_job_whose_deadline_has_passed_is_no_longer_renewed() {
        let (leases, lease) = (Leases::default(), lease("a"));
        leases.insert(Arc::clone(&lease));
        lease.state().deadline = Some(Instant::now());
        lease.enforce_deadline(Duration::from_secs(5), Paused::All);
        assert_eq!(leases.renewed().len(), 1);
        lease.state().deadline = Some(Instant::now());
        lease.enforce_deadline(Duration::ZERO, Paused::Some);
        assert!(lease.overdue.is_cancelled());
        assert_eq!(leases.renewed().len(), 0);
    }
}
