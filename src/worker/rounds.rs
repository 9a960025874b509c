//! What every consumer looks for now and then on behalf of all: jobs whose consumer is gone, and children that are final.
//!
//! In a task of its own, so that leases and time limits never wait for it. A round waits for no Redis that is away: the next one
//! begins where it would have.

use tracing::{info, warn};

use crate::queue::{Queue, Recovered};

/// Goes round for as long as it is polled.
pub(super) async fn go_round(queue: Queue) {
    let pause = queue.settings().lease / 3;
    tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
    loop {
        round(&queue).await;
        tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    }
}

async fn round(queue: &Queue) {
    match queue.sweep().await {
        Ok(woken) => woken
            .iter()
            .for_each(|key| info!(job.key = %key, "the job's children are final: it goes on")),
        Err(error) => warn!(error = %error, "could not look for children that are final"),
    }
    for found in [queue.rescue().await, queue.rescue_strays().await] {
        match found {
            Ok(found) => report(&found),
            Err(error) => warn!(error = %error, "could not look for jobs whose consumer is gone"),
        }
    }
}

fn report(found: &Recovered) {
    for job in &found.restored {
        info!(job.key = %job.key, cause = job.cause, crashes = job.crashes, "put back a job whose consumer is gone");
    }
    for key in &found.dropped {
        info!(job.key = %key, "dropped an entry that is final, gone or held elsewhere");
    }
}
