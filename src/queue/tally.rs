//! How many jobs have ended here since the last heartbeat, which takes the numbers to Redis: written with each job they would
//! cost as much as the end of the job itself.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::ScriptInvocation;

use super::outcome::Settled;
use crate::wire::JobKey;

/// Counts that are yet to be written.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Ended>);

/// Jobs that are done of which a queue remembers the keys, for those who ask how long its stages take.
pub(super) const REMEMBERED: usize = 50;

/// Jobs that have ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub(super) done: u64,
    pub(super) failed: u64,
    /// The last of those that are done, the latest at the end.
    pub(super) recent: VecDeque<Vec<u8>>,
}

impl Ended {
    /// Adds them to the arguments of a script.
    pub(super) fn tell(&self, call: &mut ScriptInvocation<'_>) {
        call.arg(self.done)
            .arg(self.failed)
            .arg(REMEMBERED)
            .arg(self.recent.len());
        self.recent.iter().for_each(|job| _ = call.arg(job));
    }

    fn forget_old(&mut self) {
        let old = self.recent.len().saturating_sub(REMEMBERED);
        self.recent.drain(..old);
    }
}

impl Tally {
    /// Counts a job, by what metrics say of it.
    pub(super) fn count(&self, job: &JobKey, result: &str, settled: Settled) {
        let mut ended = self.lock();
        match (settled, result) {
            (Settled::Committed, "done") => {
                ended.done += 1;
                ended.recent.push_back(job.0.clone());
                ended.forget_old();
            }
            (Settled::Committed, "failed" | "dead") => ended.failed += 1,
            _ => {}
        }
    }

    /// Counts what could not be written once more.
    pub(super) fn put_back(&self, older: Ended) {
        let mut ended = self.lock();
        ended.done += older.done;
        ended.failed += older.failed;
        let newer = std::mem::replace(&mut ended.recent, older.recent);
        ended.recent.extend(newer);
        ended.forget_old();
    }

    /// What has been counted since the last call.
    pub(super) fn take(&self) -> Ended {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_comes_before_what_is_newer_and_the_oldest_are_forgotten() {
        let tally = Tally::default();
        let count = |name: &str| {
            let job = JobKey(name.as_bytes().to_vec());
            tally.count(&job, "done", Settled::Committed);
        };
        (0..REMEMBERED).for_each(|number| count(&format!("old {number}")));
        let lost = tally.take();
        count("new");
        tally.put_back(lost);
        let ended = tally.take();
        assert_eq!(ended.done, REMEMBERED as u64 + 1);
        assert_eq!(ended.recent.len(), REMEMBERED);
        assert_eq!(ended.recent[0], b"old 1");
        assert_eq!(ended.recent[REMEMBERED - 1], b"new");
    }
}
