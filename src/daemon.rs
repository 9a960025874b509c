//! The composition root: settings become clients, clients a consumer, the consumer a worker.

use std::sync::Arc;

use prometheus_client::registry::Registry as MetricRegistry;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tracing::{Level, info, warn};

use crate::cli::LogSettings;
use crate::consumer::{Clients, Factory, Registry};
use crate::http::{HttpSettings, Observed, Server};
use crate::kubernetes::deletion_cost::{self, DeletionCostSettings};
use crate::memory::MemoryBudget;
use crate::queue::{Queue, QueueSettings, Reclaimed};
use crate::serving::{self, ServingSettings};
use crate::settings::{Entry, Env, Origin, Problems, Reader};
use crate::storage::{Storage, StorageSettings};
use crate::traces::{TraceSettings, Traces, WorkerIdentity};
use crate::worker::{RetryPolicy, Worker, WorkerMetrics};

/// Variables of long-gone versions that change nothing today.
const FORGOTTEN: [&str; 8] = [
    "HASH_PREFIX",
    "CUTS",
    "DP_HOST",
    "DP_PORT",
    "STATUS",
    "MODEL_NAME",
    "MODEL_VERSION",
    "POSTPROCESS_FUNCTION",
];

/// Everything read from the environment and found right.
pub(crate) struct Configured {
    pub(crate) entries: Vec<Entry>,
    pub(crate) warnings: Vec<String>,
    pub(crate) log: LogSettings,
    pub(crate) kind: &'static str,
    pub(crate) build: Factory,
    pub(crate) queue: QueueSettings,
    pub(crate) storage: StorageSettings,
    pub(crate) serving: ServingSettings,
    memory: MemoryBudget,
    policy: RetryPolicy,
    http: HttpSettings,
    deletion_cost: DeletionCostSettings,
    traces: TraceSettings,
}

impl Configured {
    /// From now on logs and traces go where they belong. Wants a runtime.
    pub(crate) fn start_logs_and_traces(&self) -> anyhow::Result<Traces> {
        let (queue, consumer) = (self.queue.queue.clone(), self.queue.consumer.clone());
        let worker = WorkerIdentity {
            queue,
            consumer,
            kind: self.kind,
        };
        let traces = Traces::start(&self.traces, worker)?;
        self.log.start(&traces);
        self.warnings.iter().for_each(|warning| warn!("{warning}"));
        Ok(traces)
    }
}

/// Reads and checks every setting; nothing is connected yet.
pub(crate) fn configure(registry: &Registry, env: &Env) -> Result<Configured, Problems> {
    let mut reader = Reader::new(env);
    let (kind, build, suffix) = consumer(registry, &mut reader);
    let mut queue = QueueSettings::load(&mut reader);
    queue.queue.push_str(suffix);
    let storage = StorageSettings::load(&mut reader);
    let serving = ServingSettings::load(&mut reader);
    let build = build(&mut reader);
    let memory = MemoryBudget::load(&mut reader);
    let policy = RetryPolicy::load(&mut reader);
    let http = HttpSettings::load(&mut reader);
    let deletion_cost = DeletionCostSettings::load(&mut reader);
    let traces = TraceSettings::load(&mut reader);
    let log = log_settings(&mut reader);
    let forgotten: Vec<_> = FORGOTTEN
        .into_iter()
        .filter(|name| env.get(name).is_some())
        .collect();
    if !forgotten.is_empty() {
        reader.warn(format!(
            "without effect since version 0.5: {}",
            forgotten.join(", ")
        ));
    }
    let (entries, warnings) = reader.finish()?;
    Ok(Configured {
        entries,
        warnings,
        log,
        kind,
        build,
        queue,
        storage,
        serving,
        memory,
        policy,
        http,
        deletion_cost,
        traces,
    })
}

/// Consumes jobs until `stop`. Peers may come and go meanwhile.
pub(crate) async fn consume(
    configured: Configured,
    traces: Traces,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Configured {
        kind,
        build,
        http,
        policy,
        deletion_cost,
        ..
    } = configured;
    let queue = Queue::new(configured.queue);
    let metadata = Arc::new(queue.metadata_store());
    let clients = Clients {
        storage: Storage::open(&configured.storage)?,
        serving: serving::Client::new(configured.serving, Some(metadata)),
        memory: configured.memory,
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
    let observed = Observed {
        queue: queue.clone(),
        storage: storage.clone(),
        serving: serving.clone(),
        memory: memory.clone(),
        health: metrics.health.clone(),
        stop: stop.clone(),
    };
    let published = deletion_cost::publish(deletion_cost, queue.clone());
    let registry = registry(kind, &observed, &metrics);
    let served = Server::new(&observed, registry).serve(http);
    let isolation = RwLock::default();
    let worker = Worker {
        queue,
        consumer,
        serving,
        memory,
        policy,
        metrics,
        traces,
        isolation,
    };
    let ended = tokio::select! {
        worked = work(worker, stop) => worked,
        served = served => served,
        published = published => published,
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
    let asked = stop.run_until_cancelled(queue.warnings()).await;
    asked
        .transpose()?
        .unwrap_or_default()
        .iter()
        .for_each(|warning| warn!("{warning}"));
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

type Chosen = (&'static str, fn(&mut Reader<'_>) -> Factory, &'static str);

fn consumer(registry: &Registry, reader: &mut Reader<'_>) -> Chosen {
    let name = reader.text(
        "CONSUMER_TYPE",
        "image",
        "kind of job this process works; see `redis-consumer consumers`",
    );
    if let Some(kind) = registry.find(&name) {
        return (kind.name, kind.configure, kind.queue_suffix);
    }
    let known: Vec<_> = registry
        .kinds()
        .iter()
        .flat_map(|kind| kind.aliases.iter().chain([&kind.name]))
        .copied()
        .collect();
    reader.problem(
        "CONSUMER_TYPE",
        format!(
            "`{name}` is not known: expected one of {}",
            known.join(", ")
        ),
    );
    let any = registry.kinds()[0];
    (any.name, any.configure, any.queue_suffix)
}

/// Reads `LOG_LEVEL` and `LOG_FORMAT`.
pub(crate) fn log_settings(reader: &mut Reader<'_>) -> LogSettings {
    let env = reader.env();
    let (variable, word) = match (env.get("LOG_LEVEL"), env.contains("DEBUG")) {
        (Some(word), _) => (Some("LOG_LEVEL"), word.to_uppercase()),
        (None, true) => {
            let debug = Reader::new(env).flag("DEBUG", false, "");
            (
                Some("DEBUG"),
                if debug { "DEBUG" } else { "INFO" }.to_owned(),
            )
        }
        (None, false) => (None, "DEBUG".to_owned()),
    };
    let level = match word.as_str() {
        "CRITICAL" | "ERROR" => Level::ERROR,
        "WARN" | "WARNING" => Level::WARN,
        "INFO" => Level::INFO,
        _ => Level::DEBUG,
    };
    let origin = variable.map_or(Origin::Default, |name| Origin::Variable(name.to_owned()));
    let doc = "how much is logged: ERROR, WARN, INFO or DEBUG";
    reader.derived(Entry {
        name: "LOG_LEVEL",
        value: level.to_string(),
        origin,
        doc,
    });
    let format = reader.text("LOG_FORMAT", "human", "form of log lines: human or json");
    if !["human", "json"].contains(&format.as_str()) {
        reader.problem(
            "LOG_FORMAT",
            format!("`{format}` cannot be used: expected human or json"),
        );
    }
    LogSettings {
        level,
        json: format == "json",
    }
}
