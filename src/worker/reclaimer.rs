//! What every consumer looks for now and then on behalf of all: expired leases, and children that are final.
//!
//! In a task of its own, so that leases and time limits never wait for it. A round does not wait for a Redis that is away: the
//! next one begins where it would have.

use tracing::{info, warn};

use crate::queue::{Queue, Reclaimed};

/// Goes round for as long as it is polled.
pub(super) async fn run(queue: Queue) {
    let pause = queue.settings().lease / 3;
    // Not before the others have had time for a heartbeat, should all have started together.
    let first = queue.settings().beat_interval() + pause.mul_f64(fastrand::f64());
    tokio::time::sleep(first).await;
    loop {
        round(&queue).await;
        tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    }
}

async fn round(queue: &Queue) {
    match queue.sweep().await {
        Ok(woken) => {
            for key in woken {
                info!(job.key = %key, "all children finished; resuming the job");
            }
        }
        Err(error) => warn!(error = %error, "could not look for finished children"),
    }
    for found in [queue.reclaim_expired().await, queue.reclaim_orphans().await] {
        match found {
            Ok(found) => report(&found),
            Err(error) => warn!(error = %error, "could not look for jobs whose consumer has died"),
        }
    }
}

fn report(found: &Reclaimed) {
    for job in &found.requeued {
        info!(job.key = %job.key, cause = job.cause, crashes = job.crashes, "requeued a job whose consumer has died");
    }
    for key in &found.dropped {
        info!(job.key = %key, "dropped an entry that is final, gone or held elsewhere");
    }
}
