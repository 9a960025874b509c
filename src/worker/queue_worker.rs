//! What works the jobs of one queue.

use std::sync::Arc;

use tokio::sync::RwLock;
use tokio_util::task::AbortOnDropHandle;

use super::abandoned::Abandoned;
use super::metrics::WorkerMetrics;
use super::retry_policy::RetryPolicy;
use super::{card, reclaimer};
use crate::batch::QueueFeed;
use crate::consumer::Consumer;
use crate::memory::MemoryBudget;
use crate::queue::{Queue, WorkerCard};
use crate::serving;
use crate::traces::Traces;

/// What works the jobs of one queue. Those of one process share all but the queue, its metrics and its traces.
pub(crate) struct QueueWorker {
    pub(crate) queue: Queue,
    pub(crate) consumer: Arc<dyn Consumer>,
    /// What commands show of this process.
    pub(crate) card: WorkerCard,
    /// No job is claimed while the model server is known to be down …
    pub(crate) serving: serving::Client,
    /// … or jobs wait for memory.
    pub(crate) memory: MemoryBudget,
    /// … or what was computed of jobs that are over has not ended.
    pub(crate) abandoned: Abandoned,
    pub(crate) policy: RetryPolicy,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) traces: Traces,
    pub(crate) feed: QueueFeed,
    /// Read by ordinary jobs, written by those that are worked alone.
    pub(crate) isolation: Arc<RwLock<()>>,
}

impl QueueWorker {
    /// What is done beside the jobs, for as long as the values are kept.
    pub(super) fn work_beside_slots(&self) -> [AbortOnDropHandle<()>; 4] {
        let queue = self.queue.clone();
        let writer = tokio::spawn(async move { queue.write_fields().await });
        let reclaimer = tokio::spawn(reclaimer::run(self.queue.clone()));
        let (queue, card) = (self.queue.clone(), self.card.clone());
        let shown = tokio::spawn(card::show(
            queue,
            card,
            self.memory.clone(),
            Arc::clone(&self.consumer),
        ));
        let feeder = tokio::spawn(self.feed.clone().run());
        [writer, reclaimer, shown, feeder].map(AbortOnDropHandle::new)
    }
}
