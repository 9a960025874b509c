//! The composition root: the configuration becomes clients, clients a consumer, the consumer a worker.

use std::sync::Arc;

use prometheus_client::registry::Registry as MetricRegistry;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::configuration::Configuration;
use crate::consumer::Clients;
use crate::http::{Observed, Server};
use crate::kubernetes::deletion_cost;
use crate::queue::{Queue, Reclaimed, WorkerCard};
use crate::serving;
use crate::storage::Storage;
use crate::traces::Traces;
use crate::worker::{Abandoned, Bounds, Worker, WorkerMetrics};

/// Consumes jobs until `stop`. Peers may come and go meanwhile.
pub(crate) async fn consume(
    configuration: Configuration,
    bounds: Bounds,
    traces: Traces,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let queue = Queue::new(configuration.queue);
    let metadata = Some(Arc::new(queue.metadata_store()) as _);
    let clients = Clients {
        storage: Storage::open(&configuration.storage)?,
        serving: serving::Client::new(configuration.serving, metadata),
        memory: configuration.memory,
    };
    let (kind, consumer) = (configuration.kind, (configuration.build)(&clients));
    report_start(kind, &queue);
    let metrics = WorkerMetrics::default();
    let observed = observed(&queue, &clients, &metrics, &stop);
    let registry = registry(kind, &observed, &metrics);
    let served = Server::new(&observed, registry).serve(configuration.http);
    let published = deletion_cost::publish(configuration.deletion_cost, queue.clone());
    let worker = Worker {
        card: WorkerCard::new(kind),
        queue,
        consumer: Arc::from(consumer),
        serving: clients.serving,
        memory: clients.memory,
        policy: configuration.policy,
        metrics,
        traces,
        abandoned: Abandoned::default(),
        bounds,
        isolation: RwLock::default(),
    };
    let ended = tokio::select! {
        worked = work(worker, stop) => worked,
        served = served => served,
        published = published => published,
    };
    clients.storage.close().await;
    info!("stopped");
    ended
}

/// What the HTTP server sees of the process.
fn observed(
    queue: &Queue,
    clients: &Clients,
    metrics: &WorkerMetrics,
    stop: &CancellationToken,
) -> Observed {
    Observed {
        queue: queue.clone(),
        storage: clients.storage.clone(),
        serving: clients.serving.clone(),
        memory: clients.memory.clone(),
        health: metrics.health.clone(),
        stop: stop.clone(),
    }
}

/// Consumes until `stop`, beginning with what an earlier process has left.
async fn work(worker: Worker, stop: CancellationToken) -> anyhow::Result<()> {
    let queue = &worker.queue;
    match stop.run_until_cancelled(queue.recover()).await {
        Some(Ok(found)) => report_leftovers(&found),
        Some(Err(error)) => return Err(error.into()),
        None => return Ok(()),
    }
    let asked = stop.run_until_cancelled(queue.warnings()).await;
    for warning in asked.unwrap_or_default() {
        warn!("{warning}");
    }
    worker.run(stop).await
}

/// The counters of all parts, under one prefix.
fn registry(kind: &'static str, observed: &Observed, metrics: &WorkerMetrics) -> MetricRegistry {
    let mut all = MetricRegistry::with_prefix("redis_consumer");
    observed.queue.register_server(&mut all);
    observed.serving.register(&mut all);
    observed.storage.register(&mut all);
    let labels = [
        ("queue".into(), observed.queue.name().to_owned().into()),
        ("type".into(), kind.into()),
    ];
    let jobs = all.sub_registry_with_labels(labels.into_iter());
    observed.queue.register_jobs(jobs);
    metrics.register(jobs);
    all
}

fn report_start(kind: &'static str, queue: &Queue) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        consumer = kind,
        queue = queue.name(),
        name = queue.consumer(),
        slots = queue.slots(),
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
