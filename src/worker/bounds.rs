//! When a worker ends by itself: after so many jobs, or when there has been nothing to do for so long. For batch jobs of
//! Kubernetes and for the command line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When a worker ends by itself.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// Jobs that it claims at most.
    jobs: Option<u64>,
    /// Time without a job after which it ends.
    pub(super) idle: Option<Duration>,
    claimed: AtomicU64,
}

impl Bounds {
    /// After so many jobs, and after this long without one.
    pub(crate) fn new(jobs: Option<u64>, idle: Option<Duration>) -> Self {
        Self {
            jobs,
            idle,
            claimed: AtomicU64::new(0),
        }
    }

    /// Whether one more job may be claimed, which counts as claimed then.
    pub(super) fn take_one(&self) -> bool {
        let Some(jobs) = self.jobs else {
            return true;
        };
        let one_more = |claimed| (claimed < jobs).then_some(claimed + 1);
        let order = Ordering::Relaxed;
        self.claimed.fetch_update(order, order, one_more).is_ok()
    }

    /// There was no job: it does not count.
    pub(super) fn give_back(&self) {
        if self.jobs.is_some() {
            self.claimed.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
