//! How many jobs have ended here since the last heartbeat, which takes the numbers to Redis: written with each job they would
//! cost as much as the end of the job itself.

use std::sync::{Mutex, PoisonError};

use super::outcome::Settled;

/// Counts that are yet to be written.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Ended>);

/// Jobs that have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) done: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// Counts a job, by what metrics say of it.
    pub(super) fn count(&self, result: &str, settled: Settled) {
        let (done, failed) = match (settled, result) {
            (Settled::Committed, "done") => (1, 0),
            (Settled::Committed, "failed" | "dead") => (0, 1),
            _ => return,
        };
        self.add(Ended { done, failed });
    }

    pub(super) fn add(&self, more: Ended) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.done += more.done;
        ended.failed += more.failed;
    }

    /// What has been counted since the last call.
    pub(super) fn take(&self) -> Ended {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
