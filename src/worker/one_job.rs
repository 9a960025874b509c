//! A worker of one certain job.

use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Worker;
use crate::queue::{JobKey, NotClaimed};

impl Worker {
    /// Claims a job of the first queue, works it, and settles it; after `stop` it may finish within the grace period, and is
    /// returned then.
    pub(crate) async fn run_job(
        self,
        key: &JobKey,
        stop: CancellationToken,
    ) -> anyhow::Result<Result<(), NotClaimed>> {
        let part = Arc::clone(&self.parts[0]);
        let asked = SystemTime::now();
        let claimed = match part.queue.claim_job(0, key).await? {
            Ok(claimed) => claimed,
            Err(why) => return Ok(Err(why)),
        };
        let supervisor = self.supervise()?;
        let _beside = part.work_beside_slots();
        let (slots, deadline) = (TaskTracker::new(), CancellationToken::new());
        let ended = deadline.clone();
        slots.spawn(async move { part.work_claimed(claimed, asked, &ended).await });
        slots.close();
        if stop.run_until_cancelled(slots.wait()).await.is_none() {
            self.wait_for_slots(&slots, &deadline).await;
        }
        supervisor.stop();
        Ok(Ok(()))
    }
}
