//! Tells others what this process is: type, version, memory.

use tracing::debug;

use crate::memory::MemoryBudget;
use crate::queue::{Queue, WorkerCard};

/// Writes the card of this process now and then, for as long as it is polled. Nothing depends on it but what commands show.
pub(super) async fn show(queue: Queue, card: WorkerCard, memory: MemoryBudget) {
    loop {
        let budget = memory.usage().budget_bytes;
        if let Err(error) = queue.show_card(&card, resident_bytes(), budget).await {
            debug!(error = %error, "could not write what this consumer is");
        }
        tokio::time::sleep(WorkerCard::INTERVAL).await;
    }
}

/// The memory that this process takes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
}
