//! Works jobs off a queue. Everything that is the same for every job is here and in `job`, so that consumers are recipes.

mod abandoned;
mod bounds;
mod card;
mod ending;
mod metrics;
mod reclaimer;
mod retry_policy;
mod slot;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

pub(crate) use self::abandoned::Abandoned;
pub(crate) use self::bounds::Bounds;
pub(crate) use self::metrics::{Health, WorkerMetrics};
pub(crate) use self::retry_policy::RetryPolicy;
use self::supervisor::Supervisor;
use crate::consumer::Consumer;
use crate::memory::MemoryBudget;
use crate::queue::{Queue, WorkerCard};
use crate::serving;
use crate::traces::Traces;

/// After the grace period: time for Redis to take the jobs back. One that is away is not waited for, as leases end by themselves.
const LAST_CALL: Duration = Duration::from_secs(3);

/// Works jobs off a queue until it is told to stop.
pub(crate) struct Worker {
    pub(crate) queue: Queue,
    pub(crate) consumer: Arc<dyn Consumer>,
    /// What commands show of this process.
    pub(crate) card: WorkerCard,
    /// No job is claimed while the model server is known to be down …
    pub(crate) serving: serving::Client,
    /// … or jobs wait for memory.
    pub(crate) memory: MemoryBudget,
    pub(crate) policy: RetryPolicy,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) traces: Traces,
    /// … or what was computed of jobs that are over has not ended.
    pub(crate) abandoned: Abandoned,
    /// When it ends by itself.
    pub(crate) bounds: Bounds,
    /// Read by ordinary jobs, written by those that are worked alone.
    pub(crate) isolation: RwLock<()>,
}

impl Worker {
    /// Runs until `stop` is cancelled and every slot has finished its job or returned it.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let worker = Arc::new(self);
        let (queue, serving) = (worker.queue.clone(), worker.serving.clone());
        let supervisor = Supervisor::start(queue, serving, worker.metrics.health.clone())?;
        let _beside = worker.work_beside_slots();
        let slots = TaskTracker::new();
        let deadline = CancellationToken::new();
        // No slot claims any more, but those that work may take their time.
        let enough = stop.child_token();
        for slot in 0..worker.queue.slots() {
            slots.spawn(Arc::clone(&worker).run_slot(slot, enough.clone(), deadline.clone()));
        }
        slots.close();
        worker.metrics.health.start();
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

    /// What is done beside the jobs, for as long as the values are kept.
    fn work_beside_slots(&self) -> [AbortOnDropHandle<()>; 3] {
        let queue = self.queue.clone();
        let writer = tokio::spawn(async move { queue.write_fields().await });
        let reclaimer = tokio::spawn(reclaimer::run(self.queue.clone()));
        let (queue, card) = (self.queue.clone(), self.card.clone());
        let shown = tokio::spawn(card::show(queue, card, self.memory.clone()));
        [writer, reclaimer, shown].map(AbortOnDropHandle::new)
    }

    /// After the stop: running jobs may finish within the grace period, and are returned then.
    async fn wait_for_slots(&self, slots: &TaskTracker, deadline: &CancellationToken) {
        let grace = self.policy.grace;
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
