//! The composition root: the configuration becomes clients, clients a consumer, the consumer a worker.

use std::sync::Arc;

use prometheus_client::registry::Registry as MetricRegistry;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::configuration::Configuration;
use crate::consumer::{Clients, Consumer};
use crate::http::{Observed, Server};
use crate::kubernetes::deletion_cost;
use crate::queue::{JobClaim, JobKey, Queue, Queues, Reclaimed, WorkerCard};
use crate::serving;
use crate::storage::Storage;
use crate::traces::Traces;
use crate::wire::field;
use crate::worker::{Abandoned, Bounds, Health, QueueWorker, Worker, WorkerMetrics};

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
    NotClaimed(&'static str),
}

/// Consumes jobs until `stop`. Peers may come and go meanwhile.
pub(crate) async fn consume(
    configuration: Configuration,
    work: Work,
    traces: Traces,
    stop: CancellationToken,
) -> anyhow::Result<End> {
    let queues = Queues::new(configuration.queue, &configuration.other_queues);
    let metadata = Some(Arc::new(queues.first().metadata_store()) as _);
    let clients = Clients {
        storage: Storage::open(&configuration.storage)?,
        serving: serving::Client::new(configuration.serving, metadata),
        memory: configuration.memory,
    };
    let (kind, consumer) = (configuration.kind, (configuration.build)(&clients));
    let consumer: Arc<dyn Consumer> = Arc::from(consumer);
    report_start(kind, &queues);
    let (health, abandoned, isolation) = Default::default();
    let observed = Observed {
        queues: queues.clone(),
        storage: clients.storage.clone(),
        serving: clients.serving.clone(),
        memory: clients.memory.clone(),
        health: Health::clone(&health),
        consumer: Arc::clone(&consumer),
        stop: stop.clone(),
    };
    let part = |queue: &Queue| QueueWorker {
        card: WorkerCard::new(kind),
        queue: queue.clone(),
        consumer: Arc::clone(&consumer),
        serving: clients.serving.clone(),
        memory: clients.memory.clone(),
        policy: configuration.policy,
        metrics: WorkerMetrics::default(),
        traces: traces.of_queue(queue.name()),
        abandoned: Abandoned::clone(&abandoned),
        isolation: Arc::clone(&isolation),
    };
    let ended = match work {
        Work::Job(key) => {
            let worker = Worker::new(queues.clone(), part, Bounds::default(), health);
            let claim = worker.run_job(&key, stop).await?;
            end_of(queues.first(), &key, &claim).await
        }
        Work::Queues(bounds) => {
            let worker = Worker::new(queues.clone(), part, bounds, health);
            let registry = registry(kind, &observed, &worker);
            let served = Server::new(&observed, registry).serve(configuration.http);
            let published = deletion_cost::publish(configuration.deletion_cost, queues.clone());
            let ended = tokio::select! {
                worked = consume_queues(&queues, worker, stop) => worked,
                served = served => served,
                published = published => published,
            };
            ended.map(|()| End::Stopped)
        }
    };
    clients.storage.close().await;
    info!("stopped");
    ended
}

/// Consumes until `stop`, beginning with what an earlier process has left.
async fn consume_queues(
    queues: &Queues,
    worker: Worker,
    stop: CancellationToken,
) -> anyhow::Result<()> {
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

/// What became of a job.
async fn end_of(queue: &Queue, key: &JobKey, claim: &JobClaim) -> anyhow::Result<End> {
    if let Some(why) = claim.obstacle() {
        return Ok(End::NotClaimed(why));
    }
    let fields = queue.fields(key).await?;
    let status = fields.get(field::STATUS.as_bytes()).map(Vec::as_slice);
    Ok(match status {
        Some(b"done") => End::Done,
        Some(b"failed") => End::Failed,
        _ => End::NotFinal,
    })
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
