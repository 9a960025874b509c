//! Computations of jobs that were given up: they cannot be ended, and take processors and memory from every other job.
//!
//! Until they have ended no slot claims: a job that is worked beside them would fail for its time limits, while another process
//! may have room for it. If that lasts, `/livez` says so, and Kubernetes restarts the pod.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::compute::Computations;

/// How many jobs have left computations behind. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Abandoned(Arc<watch::Sender<usize>>);

impl Abandoned {
    /// The job of these computations is over: none begins any more, and those that run are waited for.
    pub(super) fn add(&self, computations: Computations) {
        computations.abandon();
        if !computations.are_running() {
            return;
        }
        self.0.send_modify(|jobs| *jobs += 1);
        warn!(
            "the job was given up while it was being computed; claiming no new jobs until that has ended"
        );
        let jobs = Arc::clone(&self.0);
        tokio::spawn(async move {
            computations.until_ended().await;
            jobs.send_modify(|jobs| *jobs -= 1);
            info!("the computation of a job that was given up has ended");
        });
    }

    /// Waits until all computations of jobs that are over have ended.
    pub(super) async fn until_none(&self) {
        // Fails only if there is no sender, and we are one.
        let _ = self.0.subscribe().wait_for(|jobs| *jobs == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::compute;

    #[tokio::test]
    async fn nobody_claims_while_a_job_that_is_over_is_still_computed() {
        let abandoned = Abandoned::default();
        abandoned.add(Computations::default());
        abandoned.until_none().await;

        let computations = Computations::default();
        let (end, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let job = tokio::spawn(computations.of(compute::run(move || {
            let _ = begun.send(());
            wait.recv()
        })));
        let has_begun = tokio::task::spawn_blocking(move || has_begun.recv());
        has_begun.await.expect("it ends").expect("it has begun");
        job.abort();
        abandoned.add(computations);
        let none = tokio::time::timeout(Duration::from_millis(50), abandoned.until_none());
        assert!(none.await.is_err(), "it is still computed");
        end.send(()).expect("it waits");
        abandoned.until_none().await;
    }
}
