//! One slot: it claims a job, has the consumer work it, and settles it; then the next.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument as _, Span, error, info, info_span, warn};

use super::{QueueWorker, Worker};
use crate::backoff::{Backoff, Jitter};
use crate::compute::Computations;
use crate::consumer::Outcome;
use crate::descriptors;
use crate::error_class::{ErrorClass, error_of};
use crate::error_report::{self, Panicked, PoisonPill, StageDeadline};
use crate::job::{self, Children, Job, Progress, Settlement};
use crate::queue::{self, Lease, Settled};
use crate::traces::{self, JobSpan};
use crate::wire::{self, RawFields, Status, field};

/// Pause after an error that waiting does not cure, so that it does not fill the log.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);
/// How often a job is settled that Redis refuses to have settled, and the pauses between.
const SETTLE_ATTEMPTS: u32 = 4;
const SETTLE_BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    cap: Duration::from_secs(8),
    jitter: Jitter::Half,
};
/// A job during which this many consumers have died is worked alone: others in the process should not die with it.
const ISOLATE_FROM: u64 = 2;

/// The spans of a job: one for log lines and, inside it, one for traces.
struct Spans {
    log: Span,
    trace: Span,
}

impl Spans {
    /// Runs inside both; what is spawned knows only the inner one of itself.
    fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.instrument(self.trace.clone())
            .instrument(self.log.clone())
    }
}

/// How an attempt at a job ended.
enum AttemptEnd {
    Consumed(anyhow::Result<Outcome>),
    /// It is somebody else's.
    Lost,
    /// A step took too long.
    Overdue,
    /// An operator wants it to end.
    Cancelled,
    /// The grace period is over.
    Stopped,
}

impl Worker {
    /// Works one job after the other until `stop`; `deadline` is the end of the grace period.
    pub(super) async fn run_slot(
        self: Arc<Self>,
        slot: usize,
        stop: CancellationToken,
        deadline: CancellationToken,
    ) {
        let until_ready = || self.parts[0].until_ready();
        while stop.run_until_cancelled(until_ready()).await.is_some() {
            if !self.bounds.take_one() {
                return;
            }
            let asked = SystemTime::now();
            // Never raced against `stop`: a cancelled claim could lose a job that Redis has already moved.
            match self.queues.claim(slot, &stop).await {
                Ok(Some(claimed)) => {
                    self.part(&claimed.0)
                        .work_claimed(claimed, asked, &deadline)
                        .await
                }
                Ok(None) => self.bounds.give_back(),
                Err(error) => {
                    self.bounds.give_back();
                    error!(error = %error, "cannot claim jobs; trying again");
                    let pause = tokio::time::sleep(PAUSE_AFTER_ERROR);
                    stop.run_until_cancelled(pause).await;
                }
            }
        }
    }

    /// What works the jobs of the queue that this one was taken from.
    fn part(&self, lease: &Lease) -> Arc<QueueWorker> {
        let queue = lease.queue_name();
        let part = self.parts.iter().find(|part| part.queue.name() == queue);
        Arc::clone(part.unwrap_or(&self.parts[0]))
    }
}

impl QueueWorker {
    /// Works one job that was claimed, and settles it.
    pub(super) async fn work_claimed(
        &self,
        (lease, fields): (Lease, RawFields),
        asked: SystemTime,
        deadline: &CancellationToken,
    ) {
        let spans = self.spans(&lease, &fields, asked);
        self.observe_wait(&fields);
        let job = Job::new(lease, fields, self.policy.limits);
        spans.around(self.work(job, &spans, deadline)).await;
    }

    /// Waits until jobs can be worked: the model server is not known to be down, no job waits for memory, files can be
    /// opened, and no computation of a job that was given up takes what others need.
    async fn until_ready(&self) {
        self.consumer.until_ready().await;
        self.serving.until_up().await;
        self.memory.until_free().await;
        self.abandoned.until_none().await;
        descriptors::until_free().await;
    }

    /// Counts how long a job has waited for its first claim; what comes between claims is not the queue's doing.
    fn observe_wait(&self, fields: &RawFields) {
        let is_first = fields
            .get(field::CLAIMS.as_bytes())
            .is_some_and(|claims| claims == b"1");
        let created_at = fields.get(field::CREATED_AT.as_bytes());
        if is_first && let Some(waited) = created_at.and_then(|at| wire::age_of(at)) {
            self.metrics.waited(waited);
        }
    }

    /// The spans of a job's whole time here.
    fn spans(&self, lease: &Lease, fields: &RawFields, asked: SystemTime) -> Spans {
        let (queue, slot) = (self.queue.name(), lease.slot());
        let log = info_span!("job", job.key = %lease.key(), queue, slot);
        let (key, server) = (lease.key().to_string(), self.queue.server_address());
        let name = format!("process {queue}");
        let trace =
            info_span!(target: traces::TARGET, "process", otel.name = name, otel.kind = "consumer");
        let context = job::trace_context(fields);
        let job = JobSpan {
            key: &key,
            slot,
            server: &server,
            context: &context,
        };
        self.traces.begin(&trace, job, asked);
        Spans { log, trace }
    }

    async fn work(&self, job: Job, spans: &Spans, deadline: &CancellationToken) {
        let progress = job.progress();
        let (crashes, attempts) = (progress.lease().crashes(), progress.attempts());
        info!(crashes, attempts, "claimed a job");
        if let Some(settlement) = self.before_work(&job) {
            match self.settle(&progress, &settlement, deadline).await {
                Ok(Settled::AlreadyDue) => {}
                settled => return report(&progress, &settlement, settled),
            }
        }
        let end = self.attempt(job, spans, deadline).await;
        progress.end_work();
        let settlement = self.settlement(&progress, end);
        let began = Instant::now();
        let settled = self.settle(&progress, &settlement, deadline).await;
        self.ended(&progress, began.elapsed());
        report(&progress, &settlement, settled);
    }

    /// What is to become of a job that is not worked now; nothing for most.
    fn before_work(&self, job: &Job) -> Option<Settlement> {
        let progress = job.progress();
        let crashes = progress.lease().crashes();
        if crashes >= progress.max_crashes(self.policy.max_crashes) {
            warn!("giving up the job: {crashes} consumers died while processing it");
            self.metrics.poisoned();
            self.metrics.failed(&progress, ErrorClass::Crash);
            let reason = error_report::text(&PoisonPill { crashes }.into(), Status::Started);
            let class = ErrorClass::Crash;
            return Some(Settlement::DeadLetter { reason, class });
        }
        if job.tries_children_again() {
            return Some(Settlement::Wait(Children::again(job)));
        }
        match job.not_before() {
            Ok(time) => time.map(Settlement::Reschedule),
            Err(error) => Some(self.failure(&progress, &error)),
        }
    }

    /// Lets the consumer work until it has ended, or must not go on.
    async fn attempt(&self, job: Job, spans: &Spans, deadline: &CancellationToken) -> AttemptEnd {
        let lease = job.progress().lease().clone();
        let computations = Computations::default();
        let end = tokio::select! {
            consumed = self.consume(job, spans, &computations) => AttemptEnd::Consumed(consumed),
            () = lease.lost().cancelled() => AttemptEnd::Lost,
            () = lease.overdue().cancelled() => AttemptEnd::Overdue,
            () = lease.cancelled().cancelled() => AttemptEnd::Cancelled,
            () = deadline.cancelled() => AttemptEnd::Stopped,
        };
        self.abandoned.add(computations);
        end
    }

    /// Lets the consumer work in a task of its own, so that even one that never yields holds up nothing but itself.
    async fn consume(
        &self,
        job: Job,
        spans: &Spans,
        computations: &Computations,
    ) -> anyhow::Result<Outcome> {
        let _shared;
        let _alone;
        if job.progress().lease().crashes() < ISOLATE_FROM {
            _shared = self.isolation.read().await;
        } else {
            info!("running the job alone, because consumers died while processing it");
            _alone = self.isolation.write().await;
        }
        job.progress().begin_attempt();
        let consumer = Arc::clone(&self.consumer);
        let key = job.progress().lease().key().to_string();
        let work = async move {
            consumer.check(&job)?;
            consumer.consume(&job).await
        };
        let task = AbortOnDropHandle::new(tokio::spawn(
            computations.of(spans.around(traces::of_job(key, work))),
        ));
        task.await.unwrap_or_else(|end| match end.try_into_panic() {
            Ok(panic) => Err(Panicked(panic_message(panic.as_ref())).into()),
            // Only a runtime that is shutting down cancels tasks, and then nobody waits for the outcome.
            Err(end) => Err(end.into()),
        })
    }

    fn settlement(&self, progress: &Progress, end: AttemptEnd) -> Settlement {
        match end {
            AttemptEnd::Consumed(Ok(Outcome::Done(output))) => Settlement::Done(output),
            AttemptEnd::Consumed(Ok(Outcome::Wait(children))) => Settlement::Wait(children),
            AttemptEnd::Consumed(Ok(Outcome::Release)) => {
                info!("no job can be worked now: returning the job to the queue");
                Settlement::Release
            }
            AttemptEnd::Consumed(Err(error)) => self.failure(progress, &error),
            AttemptEnd::Overdue => {
                let limit = progress.overdue_limit();
                let stage = progress.status();
                self.failure(progress, &StageDeadline { stage, limit }.into())
            }
            AttemptEnd::Cancelled => {
                let by = progress.lease().cancelled_by().to_owned();
                self.failure(progress, &error_report::Cancelled(by).into())
            }
            AttemptEnd::Lost => Settlement::Release,
            AttemptEnd::Stopped if is_half_done_for_good(progress) => {
                let text = "its consumer was stopped while it was worked, and it must not be worked twice (rc_crashes_max is 1)";
                self.failure(progress, &error_of(ErrorClass::Crash, text.to_owned()))
            }
            AttemptEnd::Stopped => {
                info!("the grace period is over: returning the job to the queue");
                Settlement::Release
            }
        }
    }

    /// Has the job retried if that may help and not all attempts are spent, else fails it.
    fn failure(&self, progress: &Progress, error: &anyhow::Error) -> Settlement {
        let class = error_report::class(error);
        let reason = error_report::text(error, progress.status());
        let (count, most) = match class {
            ErrorClass::Crash => (
                progress.lease().crashes() + 1,
                progress.max_crashes(self.policy.max_crashes),
            ),
            _ => (
                progress.attempts() + 1,
                progress.max_attempts(self.policy.max_attempts),
            ),
        };
        traces::failed(class.as_str(), &reason);
        let (stage, text) = (progress.status(), format!("{error:#}"));
        if class.is_transient() && count < most {
            let after = self.policy.delay(class, count);
            let after_s = after.as_secs_f64();
            self.metrics.retried(progress, class);
            warn!(%stage, %class, error = text, after_s, "the job failed; retrying it later");
            return Settlement::Retry {
                reason,
                class,
                after,
            };
        }
        warn!(%stage, %class, error = text, "the job failed");
        self.metrics.failed(progress, class);
        if class.is_transient() {
            Settlement::DeadLetter { reason, class }
        } else {
            Settlement::Fail { reason, class }
        }
    }

    /// Settles a job. What Redis refuses is tried a few times more, with the work that was done; waiting for a Redis that is
    /// away has no end.
    async fn settle(
        &self,
        progress: &Progress,
        settlement: &Settlement,
        deadline: &CancellationToken,
    ) -> Result<Settled, queue::Error> {
        for retries in 0..SETTLE_ATTEMPTS - 1 {
            match self.try_to_settle(progress, settlement).await {
                Err(error) if !deadline.is_cancelled() => {
                    warn!(error = %error, "redis refuses to settle the job; trying again");
                    let pause = tokio::time::sleep(SETTLE_BACKOFF.delay(retries));
                    deadline.run_until_cancelled(pause).await;
                }
                settled => return settled,
            }
        }
        self.try_to_settle(progress, settlement).await
    }

    async fn try_to_settle(
        &self,
        progress: &Progress,
        settlement: &Settlement,
    ) -> Result<Settled, queue::Error> {
        let is_end = matches!(
            settlement,
            Settlement::Done(_) | Settlement::Fail { .. } | Settlement::DeadLetter { .. }
        );
        // Children that stay are better than a job that does not end.
        if is_end && let Err(error) = progress.expire_children(self.policy.child_lifetime).await {
            warn!(error = %error, "could not set the expiry of the job's children");
        }
        progress.settle(settlement).await
    }

    /// Counts a job whose lease has ended; the last step took `commit`.
    fn ended(&self, progress: &Progress, commit: Duration) {
        self.metrics.ended(progress, commit);
        let failure = progress.failure().map(ErrorClass::as_str);
        self.traces.measure(progress.age(), failure, commit);
    }
}

/// Whether the work has begun on a job of which no second attempt may be made after a death: to stop it midway is none better.
fn is_half_done_for_good(progress: &Progress) -> bool {
    progress.max_crashes(u64::MAX) == 1 && progress.status() >= Status::Predicting
}

fn report(progress: &Progress, settlement: &Settlement, settled: Result<Settled, queue::Error>) {
    match settled {
        Ok(Settled::Committed | Settled::AlreadyDue) => match settlement {
            Settlement::Wait(_) => info!("the job waits for the children that it has created"),
            Settlement::Reschedule(until_ms) => info!(until_ms, "the job is scheduled for later"),
            _ => info!(status = %progress.status(), "the job is settled"),
        },
        Ok(Settled::Gone) => {
            warn!("the job's hash has vanished (expired or deleted): its result is dropped");
        }
        Ok(Settled::Moved | Settled::Lost) => {
            warn!("the job went to another consumer: its result is dropped");
        }
        Err(error) => {
            progress.lease().abandon();
            error!(error = %error, "could not settle the job: that counts as a crash");
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
