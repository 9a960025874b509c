//! Slots and their loop: claim, check, consume, settle; the watch over them; the end.
//!
//! Everything that is the same for every job is here and in `job`, so that consumers are recipes.

mod heart;
mod metrics;
mod policy;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{Instrument as _, Span, error, info, info_span, warn};

use self::heart::{Heart, Watch};
pub(crate) use self::metrics::{Signs, WorkerMetrics};
pub(crate) use self::policy::Policy;
use crate::consumer::{Consumer, Outcome};
use crate::failure::Class;
use crate::job::{self, Custody, Job, Status};
use crate::memory::Memory;
use crate::queue::{self, Claim, Queue, RawFields, Settled};
use crate::reason::{self, Panicked, Poison, StageDeadline};
use crate::serving;
use crate::traces::{self, Message, Traces};

/// Pause after an error that waiting does not cure, so that it does not fill the log.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// A job during which this many consumers have died is worked alone: others in the process should not die with it.
const SUSPECT: u64 = 2;

/// Works jobs off a queue until it is told to stop.
pub(crate) struct Worker {
    pub(crate) queue: Queue,
    pub(crate) consumer: Arc<dyn Consumer>,
    /// No job is claimed while the model server is known to be away …
    pub(crate) serving: serving::Client,
    /// … or jobs wait for memory.
    pub(crate) memory: Memory,
    pub(crate) policy: Policy,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) traces: Traces,
    /// Read by ordinary jobs, written by suspects.
    pub(crate) quarantine: RwLock<()>,
}

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

/// Why the worker stops caring for a job.
enum End {
    Consumed(anyhow::Result<Outcome>),
    /// It is somebody else's.
    Lost,
    /// A stage took too long.
    Overdue(StageDeadline),
    /// The grace period is over.
    Stopped,
}

impl Worker {
    /// Runs until `stop` is cancelled and every slot has finished its job or handed it back.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let worker = Arc::new(self);
        let heart = Heart::start(
            worker.queue.clone(),
            worker.serving.clone(),
            worker.policy.limits,
            worker.metrics.signs.clone(),
        )?;
        let queue = worker.queue.clone();
        let _writer =
            AbortOnDropHandle::new(tokio::spawn(async move { queue.write_fields().await }));
        let slots = TaskTracker::new();
        let deadline = CancellationToken::new();
        for slot in 0..worker.queue.slots() {
            slots.spawn(Arc::clone(&worker).slot(
                slot,
                heart.watch(),
                stop.clone(),
                deadline.clone(),
            ));
        }
        slots.close();
        worker.metrics.signs.start();
        stop.cancelled().await;
        let grace = worker.policy.grace;
        info!(
            grace_s = grace.as_secs_f64(),
            "stopping: no new jobs, running ones may finish"
        );
        if tokio::time::timeout(grace, slots.wait()).await.is_err() {
            deadline.cancel();
            slots.wait().await;
        }
        heart.stop();
        Ok(())
    }

    async fn slot(
        self: Arc<Self>,
        slot: usize,
        watch: Watch,
        stop: CancellationToken,
        deadline: CancellationToken,
    ) {
        while stop
            .run_until_cancelled(self.peers_are_there())
            .await
            .is_some()
        {
            let asked = SystemTime::now();
            // Never raced against `stop`: a cancelled claim could lose a job that Redis has already moved.
            match self.queue.claim(slot, &stop).await {
                Ok(Some((claim, fields))) => {
                    let log =
                        info_span!("job", job.key = %claim.key, queue = self.queue.name(), slot);
                    let spans = Spans {
                        log,
                        trace: self.traced(&claim, &fields, slot, asked),
                    };
                    let _busy = self.metrics.signs.take_slot();
                    if let Some(waited) = fields
                        .get(job::CREATED_AT.as_bytes())
                        .and_then(|at| job::age_of(at))
                    {
                        self.metrics.waited(waited);
                    }
                    let job = Job::new(self.queue.clone(), claim, fields);
                    spans
                        .around(self.work(job, &spans, &watch, &deadline))
                        .await;
                }
                Ok(None) => {}
                Err(error) => {
                    error!(error = %error, "cannot claim jobs; trying again");
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE_AFTER_ERROR))
                        .await;
                }
            }
        }
    }

    /// The span of a job's whole time here, for traces.
    fn traced(&self, claim: &Claim, fields: &RawFields, slot: usize, asked: SystemTime) -> Span {
        let (key, server) = (claim.key.to_string(), self.queue.server_address());
        let name = format!("process {}", self.queue.name());
        let span =
            info_span!(target: traces::TARGET, "process", otel.name = name, otel.kind = "consumer");
        let context = job::trace_context(fields);
        let message = Message {
            key: &key,
            slot,
            server: &server,
            context: &context,
        };
        self.traces.begin(&span, message, asked);
        span
    }

    /// Waits until jobs can be worked: the model server is not known to be down, and no job waits for memory.
    async fn peers_are_there(&self) {
        self.serving.until_up().await;
        self.memory.is_free().await;
    }

    async fn work(&self, job: Job, spans: &Spans, watch: &Watch, deadline: &CancellationToken) {
        let custody = job.custody();
        let (crashes, attempts) = (custody.claim().crashes, custody.attempts());
        info!(crashes, attempts, "claimed a job");
        if crashes >= self.policy.max_crashes {
            let error = Poison { crashes }.into();
            warn!("the job has brought down {crashes} consumers: it is given up");
            self.metrics.poisoned();
            self.metrics.failed(&custody, Class::Crash);
            let reason = reason::text(&error, Status::Started);
            if let Err(error) = custody.disown_children(self.policy.child_lifetime).await {
                return report(&custody, Err(error));
            }
            return report(&custody, custody.fail(reason, Class::Crash, true).await);
        }
        match job.not_before() {
            Ok(None) => {}
            Ok(Some(moment)) => match custody.postpone(moment).await {
                Ok(Settled::Due) => {}
                Ok(Settled::Committed) => {
                    return info!(until_ms = moment, "the job's time has not come");
                }
                settled => return report(&custody, settled),
            },
            Err(error) => return report(&custody, self.settle_failure(&custody, &error).await),
        }
        let watched = watch.begin(Arc::clone(&custody));
        let end = tokio::select! {
            consumed = self.consume(job, spans) => End::Consumed(consumed),
            () = custody.claim().lost.cancelled() => End::Lost,
            overdue = watched.overdue() => End::Overdue(overdue),
            () = deadline.cancelled() => End::Stopped,
        };
        custody.end_work();
        let began = Instant::now();
        let settled = match end {
            End::Consumed(Ok(Outcome::Done(output))) => {
                match custody.disown_children(self.policy.child_lifetime).await {
                    Ok(()) => custody.finish(&output).await,
                    Err(error) => Err(error),
                }
            }
            End::Consumed(Ok(Outcome::Wait(children))) => {
                let parked = custody.park(&children).await;
                self.ended(&custody, began.elapsed());
                return match parked {
                    Ok(Settled::Committed) => info!("the job waits for others that it has created"),
                    parked => report(&custody, parked),
                };
            }
            End::Consumed(Err(error)) => self.settle_failure(&custody, &error).await,
            End::Overdue(overdue) => self.settle_failure(&custody, &overdue.into()).await,
            End::Lost => custody.release().await,
            End::Stopped => {
                info!("the grace period is over: handing the job back");
                custody.release().await
            }
        };
        self.ended(&custody, began.elapsed());
        report(&custody, settled);
    }

    /// Counts a job that was let go of; the last step took `commit`.
    fn ended(&self, custody: &Custody, commit: Duration) {
        self.metrics.ended(custody, commit);
        self.traces
            .measure(custody.age(), custody.failure().map(Class::as_str), commit);
    }

    /// Lets the consumer work in a task of its own, so that even one that never yields holds up nothing but itself.
    async fn consume(&self, job: Job, spans: &Spans) -> anyhow::Result<Outcome> {
        let _shared;
        let _alone;
        if job.custody().claim().crashes < SUSPECT {
            _shared = self.quarantine.read().await;
        } else {
            info!("worked alone, as consumers have died with this job");
            _alone = self.quarantine.write().await;
        }
        let consumer = Arc::clone(&self.consumer);
        let task = async move {
            consumer.check(&job)?;
            consumer.consume(&job).await
        };
        let task = AbortOnDropHandle::new(tokio::spawn(spans.around(task)));
        task.await.unwrap_or_else(|end| match end.try_into_panic() {
            Ok(panic) => Err(Panicked(panic_message(panic.as_ref())).into()),
            // Only a runtime that is shutting down cancels tasks, and then nobody waits for the outcome.
            Err(end) => Err(end.into()),
        })
    }

    /// Has the job tried again if that may help and is not spent, else fails it.
    async fn settle_failure(
        &self,
        custody: &Custody,
        error: &anyhow::Error,
    ) -> Result<Settled, queue::Error> {
        let class = reason::class(error);
        let reason = reason::text(error, custody.status());
        let (count, most) = match class {
            Class::Crash => (custody.claim().crashes + 1, self.policy.max_crashes),
            _ => (custody.attempts() + 1, self.policy.max_attempts),
        };
        let text = format!("{error:#}");
        if class.is_passing() && count < most {
            let after = self.policy.pause(class, count);
            self.metrics.retried(custody, class);
            traces::failed(class.as_str(), &reason);
            warn!(stage = %custody.status(), %class, error = text, after_s = after.as_secs_f64(), "the job is tried again later");
            return custody.retry(&reason, class, after).await;
        }
        warn!(stage = %custody.status(), %class, error = text, "the job failed");
        self.metrics.failed(custody, class);
        traces::failed(class.as_str(), &reason);
        custody.disown_children(self.policy.child_lifetime).await?;
        custody.fail(reason, class, class.is_passing()).await
    }
}

fn report(custody: &Custody, settled: Result<Settled, queue::Error>) {
    match settled {
        Ok(Settled::Committed | Settled::Due) => {
            info!(status = %custody.status(), "the job is settled")
        }
        Ok(Settled::Gone) => {
            warn!("the job's hash has vanished (expired or deleted): its result is dropped")
        }
        Ok(Settled::Moved | Settled::Lost) => {
            warn!("the job went to another consumer: its result is dropped")
        }
        Err(error) => {
            custody.abandon();
            error!(error = %error, "could not settle the job; it is tried again when its lease has ended");
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
