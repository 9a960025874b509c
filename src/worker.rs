//! Slots and their loop: claim, check, consume, settle; the heartbeat; the end.
//!
//! Everything that is the same for every job is here and in `job.rs`, so that consumers are recipes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures::FutureExt as _;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::consumer::{Consumer, Outcome};
use crate::job::{Job, JobLost, Status};
use crate::queue::{self, BEAT, Queue, Settled};
use crate::reason::{self, Panicked};

/// Pause after an error that waiting does not cure, so that it does not fill the log.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// Works jobs off a queue until it is told to stop.
pub(crate) struct Worker {
    pub(crate) queue: Queue,
    pub(crate) consumer: Arc<dyn Consumer>,
    /// How long running jobs may go on after `stop`.
    pub(crate) grace: Duration,
}

impl Worker {
    /// Runs until `stop` is cancelled and every slot has finished its job or handed it back.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let heart = tokio::spawn(beat(self.queue.clone()));
        let slots = TaskTracker::new();
        let deadline = CancellationToken::new();
        let worker = Arc::new(self);
        for slot in 0..worker.queue.slots() {
            slots.spawn(Arc::clone(&worker).slot(slot, stop.clone(), deadline.clone()));
        }
        slots.close();
        stop.cancelled().await;
        info!(grace_s = worker.grace.as_secs_f64(), "stopping: no new jobs, running ones may finish");
        if tokio::time::timeout(worker.grace, slots.wait()).await.is_err() {
            deadline.cancel();
            slots.wait().await;
        }
        heart.abort();
    }

    async fn slot(self: Arc<Self>, slot: usize, stop: CancellationToken, deadline: CancellationToken) {
        while !stop.is_cancelled() {
            // Never raced against `stop`: a cancelled claim could lose a job that Redis has already moved.
            match self.queue.claim(slot, &stop).await {
                Ok(Some((claim, fields))) => {
                    let span = info_span!("job", job.key = %claim.key, queue = self.queue.name(), slot);
                    let job = Job::new(self.queue.clone(), claim, fields);
                    self.work(job, &deadline).instrument(span).await;
                }
                Ok(None) => {}
                Err(error) => {
                    error!(error = %error, "cannot claim jobs; trying again");
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_ERROR)).await;
                }
            }
        }
    }

    async fn work(&self, mut job: Job, deadline: &CancellationToken) {
        let lost = job.claim().lost.clone();
        info!(crashes = job.claim().crashes, "claimed a job");
        let end = tokio::select! {
            end = self.attempt(&mut job) => Some(end),
            () = lost.cancelled() => Some(Err(JobLost.into())),
            () = deadline.cancelled() => None,
        };
        let settled = match end {
            Some(Ok(Outcome::Done(output))) => job.finish(&output).await,
            Some(Err(error)) if error.is::<JobLost>() => job.release().await,
            Some(Err(error)) => {
                let reason = reason::text(&error, job.status());
                warn!(stage = %job.status(), error = format!("{error:#}"), "the job failed");
                job.fail(reason).await
            }
            None => {
                info!("the grace period is over: handing the job back");
                job.release().await
            }
        };
        report(&job, settled);
    }

    async fn attempt(&self, job: &mut Job) -> anyhow::Result<Outcome> {
        self.consumer.check(job)?;
        job.enter(Status::Started).await?;
        let consumed = AssertUnwindSafe(self.consumer.consume(job)).catch_unwind().await;
        consumed.unwrap_or_else(|panic| Err(Panicked(panic_message(panic.as_ref())).into()))
    }
}

async fn beat(queue: Queue) {
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = queue.beat().await {
            warn!(error = %error, "could not renew the leases of running jobs");
        }
    }
}

fn report(job: &Job, settled: Result<Settled, queue::Error>) {
    match settled {
        Ok(Settled::Committed) => info!(status = %job.status(), "the job is settled"),
        Ok(Settled::Gone) => warn!("the job's hash has vanished (expired or deleted): its result is dropped"),
        Ok(Settled::Moved | Settled::Lost) => warn!("the job went to another consumer: its result is dropped"),
        Err(error) => error!(error = %error, "could not settle the job; a later start under this name recovers it"),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| anyhow!("no message").to_string())
}
