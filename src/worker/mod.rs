//! Works jobs off queues. Everything that is the same for every job is here and in `job`, so that consumers are recipes.

mod abandoned;
mod bounds;
mod card;
mod ending;
mod metrics;
mod one_job;
mod queue_worker;
mod reclaimer;
mod retry_policy;
mod slot;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub(crate) use self::abandoned::Abandoned;
pub(crate) use self::bounds::Bounds;
pub(crate) use self::metrics::{Health, WorkerMetrics};
pub(crate) use self::queue_worker::QueueWorker;
pub(crate) use self::retry_policy::RetryPolicy;
use self::supervisor::Supervisor;
use crate::queue::{Queue, Queues};

/// After the grace period: time for Redis to take the jobs back. One that is away is not waited for, as leases end by themselves.
const LAST_CALL: Duration = Duration::from_secs(3);

/// Works jobs off queues until it is told to stop.
pub(crate) struct Worker {
    queues: Queues,
    /// One for each queue, in the same order.
    parts: Vec<Arc<QueueWorker>>,
    /// When it ends by itself.
    bounds: Bounds,
    health: Health,
}

impl Worker {
    /// A worker for these queues; `part` makes what works the jobs of one.
    pub(crate) fn new(
        queues: Queues,
        part: impl Fn(&Queue) -> QueueWorker,
        bounds: Bounds,
        health: Health,
    ) -> Self {
        Self {
            parts: queues.iter().map(|queue| Arc::new(part(queue))).collect(),
            queues,
            bounds,
            health,
        }
    }

    /// Runs until `stop` is cancelled and every slot has finished its job or returned it.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let worker = Arc::new(self);
        let supervisor = worker.supervise()?;
        let _beside: Vec<_> = worker
            .parts
            .iter()
            .flat_map(|part| part.work_beside_slots())
            .collect();
        let slots = TaskTracker::new();
        let deadline = CancellationToken::new();
        // No slot claims any more, but those that work may take their time.
        let enough = stop.child_token();
        for slot in 0..worker.queues.first().slots() {
            slots.spawn(Arc::clone(&worker).run_slot(slot, enough.clone(), deadline.clone()));
        }
        slots.close();
        worker.health.start();
        tokio::select! {
            () = stop.cancelled() => {}
            () = worker.until_bound(&enough, &slots) => {
                supervisor.stop();
                return Ok(());
            }
        }
        worker.wait_for_slots(&slots, &deadline).await;
        supervisor.stop();
        Ok(())
    }

    /// What works the jobs of each queue.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &QueueWorker> {
        self.parts.iter().map(Arc::as_ref)
    }

    fn supervise(&self) -> anyhow::Result<Supervisor> {
        let serving = self.parts[0].serving.clone();
        Supervisor::start(self.queues.clone(), serving, self.health.clone())
    }

    /// After the stop: running jobs may finish within the grace period, and are returned then.
    async fn wait_for_slots(&self, slots: &TaskTracker, deadline: &CancellationToken) {
        let grace = self.parts[0].policy.grace;
        let grace_s = grace.as_secs_f64();
        info!(grace_s, "stopping: no new jobs, running ones may finish");
        if tokio::time::timeout(grace, slots.wait()).await.is_ok() {
            return;
        }
        deadline.cancel();
        if tokio::time::timeout(LAST_CALL, slots.wait()).await.is_err() {
            warn!(
                "redis does not answer: running jobs were not returned, others take them when their lease ends"
            );
        }
    }
}
