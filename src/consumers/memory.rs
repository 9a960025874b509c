//! Memory for a job: what it waits for, and what becomes of a first guess.

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

/// What `fetch` gets, as soon as there is memory for all of the work on it: how much that is `fetch` tells too, beside the
/// `guess` that is reserved before.
///
/// A job that says what it takes gets no less.
///
/// If others hold what is missing, everything is let go, to be fetched again when there is enough: a job that waits takes
/// nothing.
pub(super) async fn fetch_within<T, F>(
    job: &Job,
    clients: &Clients,
    guess: u64,
    fetch: impl Fn() -> F,
) -> anyhow::Result<(T, Reservation)>
where
    F: Future<Output = anyhow::Result<(u64, T)>>,
{
    let least = job.least_memory();
    let mut wanted = guess.max(least);
    loop {
        let mut memory = reserve(job, clients, wanted).await?;
        let (needed, found) = fetch().await?;
        let needed = needed.max(least);
        if memory.grow(needed)? {
            return Ok((found, memory));
        }
        info!(needed_bytes = needed, "waiting for memory");
        wanted = needed;
    }
}
