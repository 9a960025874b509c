//! Memory for a job whose file tells how much that is: a first guess, and what becomes of it.

use tracing::info;

use crate::consumer::Clients;
use crate::job::Job;
use crate::memory::Reservation;

/// Bytes of an input, as a first guess; nothing where memory is not limited.
pub(super) async fn size(clients: &Clients, reference: &str) -> anyhow::Result<u64> {
    if clients.memory.is_limited() {
        Ok(clients.storage.size(reference).await?)
    } else {
        Ok(0)
    }
}

/// Waits for memory, which does not count against the job's time limit.
pub(super) async fn reserve(
    job: &Job,
    clients: &Clients,
    bytes: u64,
) -> anyhow::Result<Reservation> {
    let _waiting = job.pause_deadline();
    Ok(clients.memory.reserve(bytes).await?)
}

/// Says that a job lets everything go to wait for so much memory.
pub(super) fn waits_for(bytes: u64) -> u64 {
    info!(needed_bytes = bytes, "waiting for memory");
    bytes
}
