//! When a worker ends by itself: after so many jobs, or when there has been nothing to do for so long. For batch jobs of
//! Kubernetes and for the command line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::Worker;

/// How often a worker looks whether there is anything to do.
const LOOK: Duration = Duration::from_millis(200);

/// When a worker ends by itself.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    /// Jobs that it claims at most.
    jobs: Option<u64>,
    /// Time without a job after which it ends.
    idle: Option<Duration>,
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

impl Worker {
    /// Waits until all slots have ended, as each does when all jobs are claimed that may be; and has them end when there has
    /// been nothing to do for long enough. Without bounds that is never.
    pub(super) async fn until_bound(&self, enough: &CancellationToken, slots: &TaskTracker) {
        tokio::select! {
            () = slots.wait() => {}
            () = self.until_idle() => {
                info!("there has been nothing to do for a while: ending");
                enough.cancel();
                slots.wait().await;
            }
        }
    }

    async fn until_idle(&self) {
        let Some(idle) = self.bounds.idle else {
            return std::future::pending().await;
        };
        let mut busy = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            if self.queue.busy_slots() > 0 {
                busy = Instant::now();
            } else if busy.elapsed() >= idle && self.has_nothing().await {
                return;
            }
        }
    }

    /// Whether nothing waits in the queue, now or later. What cannot be asked may be something.
    async fn has_nothing(&self) -> bool {
        let stats = self.queue.stats().await;
        stats.is_ok_and(|stats| stats.waiting + stats.delayed + stats.in_flight == 0)
    }
}
