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
        let queue = worker.queue.clone();
        let writer = async move { queue.write_fields().await };
        let _writer = AbortOnDropHandle::new(tokio::spawn(writer));
        let reclaimer = reclaimer::run(worker.queue.clone());
        let _reclaimer = AbortOnDropHandle::new(tokio::spawn(reclaimer));
        let shown = card::show(
            worker.queue.clone(),
            worker.card.clone(),
            worker.memory.clone(),
        );
        let _shown = AbortOnDropHandle::new(tokio::spawn(shown));
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
        let grace = worker.policy.grace;
        let grace_s = grace.as_secs_f64();
        info!(grace_s, "stopping: no new jobs, running ones may finish");
        if tokio::time::timeout(grace, slots.wait()).await.is_err() {
            deadline.cancel();
            if tokio::time::timeout(LAST_CALL, slots.wait()).await.is_err() {
                warn!(
                    "redis does not answer: running jobs were not returned, others take them when their lease ends"
                );
            }
        }
        supervisor.stop();
        Ok(())
    }
}
