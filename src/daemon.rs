//! The composition root: the configuration becomes clients, clients a consumer, the consumer a worker.

use std::sync::Arc;

use prometheus_client::registry::Registry as MetricRegistry;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::batch::QueueFeed;
use crate::configuration::Configuration;
use crate::consumer::{Clients, Consumer};
use crate::http::{HttpSettings, Observed, Server};
use crate::kubernetes::deletion_cost;
use crate::queue::{JobKey, NotClaimed, Queue, Queues, Reclaimed, WorkerCard};
use crate::storage::Storage;
use crate::traces::Traces;
use crate::wire::field;
use crate::worker::{Abandoned, Bounds, Health, QueueWorker, RetryPolicy, Worker, WorkerMetrics};

/// What is consumed.
pub(crate) enum Work {
    /// The jobs of the queues, until the worker ends by itself.
    Queues(Bounds),
    /// One job.
    Job(JobKey),
}

/// How it has ended.
pub(crate) enum End {
    /// There is nothing more to do, or it was told to stop.
    Stopped,
    /// The one job is done.
    Done,
    /// It has failed.
    Failed,
    /// It is to be tried again, waits for children, or went to another consumer.
    NotFinal,
    /// It could not be claimed, for this reason.
    NotClaimed(NotClaimed),
}

/// The parts of which a process is made.
struct Parts {
    queues: Queues,
    clients: Clients,
    kind: &'static str,
    consumer: Arc<dyn Consumer>,
    policy: RetryPolicy,
    traces: Traces,
    health: Health,
}

/// Consumes jobs until `stop`. Peers may come and go meanwhile.
pub(crate) async fn consume(
    configuration: Configuration,
    work: Work,
    traces: Traces,
    stop: CancellationToken,
) -> anyhow::Result<End> {
    let queues = Queues::new(configuration.queue, &configuration.other_queues);
    let storage = Storage::open(&configuration.storage)?;
    let cache = Arc::new(queues.first().metadata_store());
    let (serving, memory) = (configuration.serving, configuration.memory);
    let clients = Clients::new(storage, serving, memory, Some(cache));
    let parts = Parts {
        consumer: Arc::from((configuration.build)(&clients)),
        queues,
        clients,
        kind: configuration.kind,
        policy: configuration.policy,
        traces,
        health: Health::default(),
    };
    report_start(parts.kind, &parts.queues);
    let ended = match work {
        Work::Job(key) => parts.consume_one(&key, stop).await,
        Work::Queues(bounds) => {
            let published =
                deletion_cost::publish(configuration.deletion_cost, parts.queues.clone());
            let consumed = parts.consume_queues(bounds, configuration.http, stop);
            tokio::select! {
                consumed = consumed => consumed.map(|()| End::Stopped),
                published = published => published.map(|()| End::Stopped),
            }
        }
    };
    parts.clients.storage.close().await;
    info!("stopped");
    ended
}

impl Parts {
    fn worker(&self, bounds: Bounds) -> Worker {
        let (abandoned, isolation) = Default::default();
        let part = |queue: &Queue| QueueWorker {
            card: WorkerCard::new(self.kind),
            queue: queue.clone(),
            consumer: Arc::clone(&self.consumer),
            serving: self.clients.serving.clone(),
            feed: QueueFeed::new(queue.clone(), Some(self.clients.storage.clone())),
            memory: self.clients.memory.clone(),
            policy: self.policy,
            metrics: WorkerMetrics::default(),
            traces: self.traces.of_queue(queue.name()),
            abandoned: Abandoned::clone(&abandoned),
            isolation: Arc::clone(&isolation),
        };
        Worker::new(self.queues.clone(), part, bounds, self.health.clone())
    }

    /// Works one job, and tells what became of it.
    async fn consume_one(&self, key: &JobKey, stop: CancellationToken) -> anyhow::Result<End> {
        let worked = self.worker(Bounds::default()).run_job(key, stop).await?;
        if let Err(why) = worked {
            return Ok(End::NotClaimed(why));
        }
        let fields = self.queues.first().fields(key).await?;
        let status = fields.get(field::STATUS.as_bytes()).map(Vec::as_slice);
        Ok(match status {
            Some(b"done") => End::Done,
            Some(b"failed") => End::Failed,
            _ => End::NotFinal,
        })
    }

    /// Works the jobs of the queues, and tells others of it.
    async fn consume_queues(
        &self,
        bounds: Bounds,
        http: HttpSettings,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let worker = self.worker(bounds);
        let observed = Observed {
            queues: self.queues.clone(),
            storage: self.clients.storage.clone(),
            serving: self.clients.serving.clone(),
            memory: self.clients.memory.clone(),
            health: self.health.clone(),
            consumer: Arc::clone(&self.consumer),
            stop: stop.clone(),
        };
        let registry = registry(self.kind, &observed, &worker);
        tokio::select! {
            worked = run(&self.queues, worker, stop) => worked,
            served = Server::new(&observed, registry).serve(http) => served,
        }
    }
}

/// Consumes until `stop`, beginning with what an earlier process has left.
async fn run(queues: &Queues, worker: Worker, stop: CancellationToken) -> anyhow::Result<()> {
    for queue in queues.iter() {
        match stop.run_until_cancelled(queue.recover()).await {
            Some(Ok(found)) => report_leftovers(&found),
            Some(Err(error)) => return Err(error.into()),
            None => return Ok(()),
        }
    }
    let asked = stop.run_until_cancelled(queues.first().warnings()).await;
    for warning in asked.unwrap_or_default() {
        warn!("{warning}");
    }
    worker.run(stop).await
}

/// The counters of all parts, under one prefix.
fn registry(kind: &'static str, observed: &Observed, worker: &Worker) -> MetricRegistry {
    let mut all = MetricRegistry::with_prefix("redis_consumer");
    observed.queues.first().register_server(&mut all);
    observed.serving.register(&mut all);
    observed.storage.register(&mut all);
    for part in worker.parts() {
        let labels = [
            ("queue".into(), part.queue.name().to_owned().into()),
            ("type".into(), kind.into()),
        ];
        let jobs = all.sub_registry_with_labels(labels.into_iter());
        part.queue.register_jobs(jobs);
        part.metrics.register(jobs);
    }
    all
}

fn report_start(kind: &'static str, queues: &Queues) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        consumer = kind,
        queue = queues.names(),
        name = queues.first().consumer(),
        slots = queues.first().slots(),
        "started"
    );
}

fn report_leftovers(found: &Reclaimed) {
    for job in &found.requeued {
        warn!(
            job.key = %job.key,
            crashes = job.crashes,
            "an earlier process of this name died with this job, perhaps for its memory: requeued it"
        );
    }
    for key in &found.dropped {
        info!(job.key = %key, "dropped a leftover that is final, gone or held elsewhere");
    }
}
