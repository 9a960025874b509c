//! The jobs that this process holds, and the fields that are yet to be written to them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Claim, JobKey};

/// Time between two writes to one job.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

pub(super) type Fields = Vec<(&'static str, String)>;

/// All jobs that are held.
#[derive(Default)]
pub(super) struct HeldJobs {
    jobs: Mutex<HashMap<JobKey, Held>>,
    /// Tokens of the jobs that slots have given up last.
    given_up: Mutex<HashMap<usize, String>>,
    changed: Notify,
}

struct Held {
    token: String,
    slot: usize,
    lost: CancellationToken,
    unwritten: Fields,
    written: Instant,
}

impl HeldJobs {
    /// Takes note of a fresh claim.
    pub(super) fn insert(&self, claim: &Claim) {
        let (token, slot, lost) = (claim.token.clone(), claim.slot, claim.lost.clone());
        let held = Held {
            token,
            slot,
            lost,
            unwritten: Vec::new(),
            written: Instant::now(),
        };
        self.jobs().insert(claim.key.clone(), held);
    }

    /// The job is left to its fate.
    pub(super) fn give_up(&self, claim: &Claim) {
        self.given_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(claim.slot, claim.token.clone());
        self.forget(claim);
    }

    /// The token of the job that a slot has given up last; empty if there was none.
    pub(super) fn given_up(&self, slot: usize) -> String {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.get(&slot).cloned().unwrap_or_default()
    }

    /// The job is settled.
    pub(super) fn forget(&self, claim: &Claim) {
        let mut jobs = self.jobs();
        if jobs
            .get(&claim.key)
            .is_some_and(|held| held.token == claim.token)
        {
            jobs.remove(&claim.key);
        }
    }

    /// Tells whoever works the job that it is somebody else's now; false if that is known or the job is not held.
    pub(super) fn lose(&self, key: &JobKey, token: &str) -> bool {
        let jobs = self.jobs();
        let held = jobs
            .get(key)
            .filter(|held| held.token == token && !held.lost.is_cancelled());
        if let Some(held) = held {
            warn!(job.key = %key, "the job is no longer ours; its result will be dropped");
            held.lost.cancel();
        }
        held.is_some()
    }

    /// Token and slot of every job.
    pub(super) fn tokens(&self) -> HashMap<JobKey, (String, usize)> {
        self.jobs()
            .iter()
            .map(|(key, held)| (key.clone(), (held.token.clone(), held.slot)))
            .collect()
    }

    /// Keeps fields to be written together; the newest value of a field wins.
    pub(super) fn write_later(&self, claim: &Claim, fields: Fields) {
        let mut jobs = self.jobs();
        let Some(held) = jobs
            .get_mut(&claim.key)
            .filter(|held| held.token == claim.token)
        else {
            return;
        };
        held.unwritten
            .retain(|(name, _)| fields.iter().all(|(newer, _)| newer != name));
        held.unwritten.extend(fields);
        self.changed.notify_one();
    }

    /// The fields of a job that were kept and not yet written.
    pub(super) fn unwritten(&self, claim: &Claim) -> Fields {
        let jobs = self.jobs();
        let held = jobs
            .get(&claim.key)
            .filter(|held| held.token == claim.token);
        held.map(|held| held.unwritten.clone()).unwrap_or_default()
    }

    /// These fields are written: what has been kept since stays.
    pub(super) fn written(&self, claim: &Claim, fields: &Fields) {
        let mut jobs = self.jobs();
        let Some(held) = jobs
            .get_mut(&claim.key)
            .filter(|held| held.token == claim.token)
        else {
            return;
        };
        held.unwritten.retain(|field| !fields.contains(field));
    }

    /// Waits until fields may be written, and takes them.
    pub(super) async fn due_writes(&self) -> Vec<(JobKey, String, Fields)> {
        loop {
            let now = Instant::now();
            let mut next = None::<Instant>;
            let mut due = Vec::new();
            for (key, held) in self
                .jobs()
                .iter_mut()
                .filter(|(_, held)| !held.unwritten.is_empty())
            {
                let from = held.written + WRITE_INTERVAL;
                if from <= now {
                    held.written = now;
                    due.push((
                        key.clone(),
                        held.token.clone(),
                        std::mem::take(&mut held.unwritten),
                    ));
                } else {
                    next = Some(next.map_or(from, |next| next.min(from)));
                }
            }
            if !due.is_empty() {
                return due;
            }
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => self.changed.notified().await,
            }
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobKey, Held>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
