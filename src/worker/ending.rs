//! How a worker ends by itself.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::Worker;

/// How often a worker looks whether there is anything to do.
const LOOK: Duration = Duration::from_millis(200);

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
            if self.queues.busy_slots() > 0 {
                busy = Instant::now();
            } else if busy.elapsed() >= idle && self.has_nothing().await {
                if !self.gets_more().await {
                    return;
                }
                // Plans are long to be read every time.
                busy = Instant::now();
            }
        }
    }

    /// Whether nothing waits in any queue, now or later. What cannot be asked may be something.
    async fn has_nothing(&self) -> bool {
        let stats = self.queues.stats().await;
        stats.is_ok_and(|stats| {
            let left = stats
                .iter()
                .map(|stats| stats.waiting + stats.delayed + stats.in_flight);
            left.sum::<u64>() == 0
        })
    }

    /// Whether a batch has items for one of the queues, now or later. What cannot be asked may have some.
    async fn gets_more(&self) -> bool {
        for part in self.parts() {
            if part.feed.has_more().await.unwrap_or(true) {
                return true;
            }
        }
        false
    }
}
