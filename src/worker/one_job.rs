//! A worker of one certain job.

use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Worker;
use crate::queue::{JobClaim, JobKey, Lease};
use crate::wire::RawFields;

impl Worker {
    /// Claims a job of the first queue, works it, and settles it; after `stop` it may finish within the grace period, and is
    /// returned then. Without a claim, nothing is done.
    pub(crate) async fn run_job(
        self,
        key: &JobKey,
        stop: CancellationToken,
    ) -> anyhow::Result<JobClaim> {
        let part = &self.parts[0];
        let supervisor = self.supervise()?;
        let _beside = part.work_beside_slots();
        let asked = SystemTime::now();
        let claim = part.queue.claim_job(0, key).await?;
        if let JobClaim::Claimed(lease, fields) = &claim {
            let claimed = (Lease::clone(lease), RawFields::clone(fields));
            let deadline = CancellationToken::new();
            let work = part.work_claimed(claimed, asked, &deadline);
            tokio::pin!(work);
            tokio::select! {
                () = &mut work => {}
                () = stop.cancelled() => {
                    info!(grace_s = part.policy.grace.as_secs_f64(), "stopping: the job may finish");
                    if tokio::time::timeout(part.policy.grace, &mut work).await.is_err() {
                        deadline.cancel();
                        work.await;
                    }
                }
            }
        }
        supervisor.stop();
        Ok(claim)
    }
}
