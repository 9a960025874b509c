//! Tells others what this process is: type, version, memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::consumer::Consumer;
use crate::memory::MemoryBudget;
use crate::queue::{Queue, WorkerCard};

/// How often it is looked whether the consumer can work.
const LOOK: Duration = Duration::from_secs(1);

/// Writes the card of this process now and then, and when it can or cannot work any more, for as long as it is polled. Nothing
/// depends on it but what commands show.
pub(super) async fn show(
    queue: Queue,
    card: WorkerCard,
    memory: MemoryBudget,
    consumer: Arc<dyn Consumer>,
) {
    loop {
        let (obstacle, budget) = (consumer.obstacle(), memory.usage().budget_bytes);
        let usage = (resident_bytes(), budget);
        if let Err(error) = queue.show_card(&card, usage, obstacle.as_deref()).await {
            debug!(error = %error, "could not write what this consumer is");
        }
        let next = Instant::now() + WorkerCard::INTERVAL;
        while Instant::now() < next && consumer.obstacle() == obstacle {
            sleep(LOOK).await;
        }
    }
}

/// The memory that this process takes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}
