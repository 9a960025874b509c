//! The composition root: the configuration becomes clients, clients a consumer, the consumer a worker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry as MetricRegistry;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::configuration::Configuration;
use crate::consumer::Clients;
use crate::monitor::deletion_cost;
use crate::monitor::{Monitor, Watched};
use crate::queue::{MetadataStore, Queue, Recovered};
use crate::serving::{self, MetadataCache, ModelId};
use crate::storage::Storage;
use crate::traces::Traces;
use crate::worker::{Worker, WorkerMetrics};

/// Consumes jobs until `stop`. Peers may come and go meanwhile.
pub(crate) async fn consume(
    configuration: Configuration,
    traces: Traces,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Configuration {
        kind,
        build,
        monitor,
        policy,
        deletion_cost,
        queue,
        storage,
        serving,
        memory,
        ..
    } = configuration;
    let queue = Queue::new(queue);
    let metadata = Arc::new(SharedMetadata(queue.metadata_store()));
    let clients = Clients {
        storage: Storage::open(&storage)?,
        serving: serving::Client::new(serving, Some(metadata)),
        memory,
    };
    let consumer = Arc::from(build(&clients));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        consumer = kind,
        queue = queue.name(),
        name = queue.consumer(),
        slots = queue.slots(),
        "started"
    );
    let Clients {
        storage,
        serving,
        memory,
    } = clients;
    let metrics = WorkerMetrics::default();
    let (signs, watched_until) = (metrics.signs.clone(), stop.clone());
    let watched = Watched {
        queue: queue.clone(),
        storage: storage.clone(),
        serving: serving.clone(),
        memory: memory.clone(),
        signs,
        stop: watched_until,
    };
    let telling = deletion_cost::tell(
        deletion_cost,
        queue.consumer().to_owned(),
        watched.signs.clone(),
    );
    let registry = registry(kind, &watched, &metrics);
    let served = Monitor::new(&watched, registry).serve(monitor);
    let quarantine = RwLock::default();
    let worker = Worker {
        queue,
        consumer,
        serving,
        memory,
        policy,
        metrics,
        traces,
        quarantine,
    };
    let ended = tokio::select! {
        worked = work(worker, stop) => worked,
        served = served => served,
        told = telling => told,
    };
    storage.close().await;
    info!("stopped");
    ended
}

/// Consumes until `stop`, beginning with what an earlier process has left.
async fn work(worker: Worker, stop: CancellationToken) -> anyhow::Result<()> {
    let queue = &worker.queue;
    match stop.run_until_cancelled(queue.recover()).await {
        Some(Ok(found)) => report_leftovers(&found),
        Some(Err(error)) => return Err(error.into()),
        None => return Ok(()),
    }
    let asked = stop.run_until_cancelled(queue.risks()).await;
    asked
        .transpose()?
        .unwrap_or_default()
        .iter()
        .for_each(|risk| warn!("{risk}"));
    worker.run(stop).await
}

/// The counters of all parts, under one prefix.
fn registry(kind: &'static str, watched: &Watched, metrics: &WorkerMetrics) -> MetricRegistry {
    let mut all = MetricRegistry::with_prefix("redis_consumer");
    watched.queue.register_server(&mut all);
    watched.serving.register(&mut all);
    watched.storage.register(&mut all);
    let labels = [
        ("queue".into(), watched.queue.name().to_owned().into()),
        ("type".into(), kind.into()),
    ];
    let jobs = all.sub_registry_with_labels(labels.into_iter());
    watched.queue.register_jobs(jobs);
    metrics.register(jobs);
    all
}

fn report_leftovers(found: &Recovered) {
    for job in &found.restored {
        warn!(
            job.key = %job.key,
            crashes = job.crashes,
            "an earlier process of this name ended with this job, perhaps for its memory: the job is put back"
        );
    }
    for key in &found.dropped {
        info!(job.key = %key, "dropped a leftover that is final, gone or held elsewhere");
    }
}

/// The metadata cache in Redis, as the model server's client knows it.
struct SharedMetadata(MetadataStore);

#[async_trait]
impl MetadataCache for SharedMetadata {
    async fn get(&self, model: &ModelId) -> Option<String> {
        self.0.get(&model.to_string()).await
    }

    async fn put(&self, model: &ModelId, json: &str, lifetime: Duration) {
        self.0.put(&model.to_string(), json, lifetime).await;
    }
}
