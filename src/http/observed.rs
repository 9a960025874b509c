//! The parts of the process that metrics and probes look at.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::consumer::Consumer;
use crate::memory::MemoryBudget;
use crate::queue::Queues;
use crate::serving;
use crate::storage::Storage;
use crate::worker::Health;

/// Handles to what is observed. Clones share it.
#[derive(Clone)]
pub(crate) struct Observed {
    pub(crate) queues: Queues,
    pub(crate) storage: Storage,
    pub(crate) serving: serving::Client,
    pub(crate) memory: MemoryBudget,
    pub(crate) health: Health,
    pub(crate) consumer: Arc<dyn Consumer>,
    /// Cancelled when the process is shutting down.
    pub(crate) stop: CancellationToken,
}
