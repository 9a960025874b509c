//! What every consumer looks for now and then on behalf of all: expired leases, and children that are final.
//!
//! In a task of its own, so that leases and time limits never wait for it. A round does not wait for a Redis that is away: the
//! next one begins where it would have.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::queue::{self, Queue, Reclaimed};

/// Rounds from one sweep to the next …
const SWEEP_EVERY: u64 = 2;
/// … and from one question whose turn it is to look through all keys to the next. Idle consumers should ask little.
const ORPHANS_EVERY: u64 = 5;

/// Time between two steps of 200 jobs while a purged queue is removed.
const TRASH_PAUSE: Duration = Duration::from_millis(200);

/// Goes round for as long as it is polled.
pub(super) async fn run(queue: Queue) {
    let pause = queue.settings().reclaim_interval();
    // Not before the others have had time for a heartbeat, should all have started together.
    let first = queue.settings().beat_interval() + pause.mul_f64(fastrand::f64());
    tokio::time::sleep(first).await;
    for round in 0.. {
        if round % SWEEP_EVERY == 0 {
            sweep(&queue).await;
        }
        report(queue.reclaim_expired().await);
        if round % ORPHANS_EVERY == ORPHANS_EVERY - 1 {
            empty_trash(&queue).await;
        }
        if round % ORPHANS_EVERY == 0 {
            report(queue.reclaim_orphans().await);
        }
        tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    }
}

async fn sweep(queue: &Queue) {
    match queue.sweep().await {
        Ok(woken) => {
            for key in woken {
                info!(job.key = %key, "all children finished; resuming the job");
            }
        }
        Err(error) => warn!(error = %error, "could not look for finished children"),
    }
}

/// Removes queues that were purged a day ago, as fast as that goes without being in the way.
async fn empty_trash(queue: &Queue) {
    loop {
        match queue.empty_trash().await {
            Ok(0) => return,
            Ok(_) => tokio::time::sleep(TRASH_PAUSE).await,
            Err(error) => {
                return debug!(error = %error, "could not remove what was purged a day ago");
            }
        }
    }
}

fn report(found: Result<Reclaimed, queue::Error>) {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            return warn!(error = %error, "could not look for jobs whose consumer has died");
        }
    };
    for job in &found.requeued {
        info!(job.key = %job.key, cause = job.cause, crashes = job.crashes, "requeued a job whose consumer has died");
    }
    for key in &found.dropped {
        info!(job.key = %key, "dropped an entry that is final, gone or held elsewhere");
    }
}
