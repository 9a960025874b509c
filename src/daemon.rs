//! The composition root: settings become clients, clients a consumer, the consumer a worker.

use std::sync::Arc;

use prometheus_client::registry::Registry as MetricRegistry;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tracing::{Level, info, warn};

use crate::cli::LogSettings;
use crate::consumer::{Build, Clients, Registry};
use crate::memory::Memory;
use crate::monitor::deletion_cost::{self, DeletionCostSettings};
use crate::monitor::{Monitor, MonitorSettings, Watched};
use crate::queue::{Queue, QueueSettings, Recovered};
use crate::serving::{self, ServingSettings};
use crate::settings::{Entry, Env, Origin, Problems, Reader};
use crate::storage::{Storage, StorageSettings};
use crate::traces::{self, TraceSettings, Traces};
use crate::worker::{Policy, Worker, WorkerMetrics};

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
    pub(crate) build: Build,
    pub(crate) queue: QueueSettings,
    pub(crate) storage: StorageSettings,
    pub(crate) serving: ServingSettings,
    memory: Memory,
    policy: Policy,
    monitor: MonitorSettings,
    deletion_cost: DeletionCostSettings,
    traces: TraceSettings,
}

impl Configured {
    /// From now on logs and traces go where they belong. Wants a runtime.
    pub(crate) fn start_logs_and_traces(&self) -> anyhow::Result<Traces> {
        let (queue, consumer) = (self.queue.queue.clone(), self.queue.consumer.clone());
        let traces = self.traces.start(traces::Client {
            queue,
            consumer,
            kind: self.kind,
        })?;
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
    let memory = Memory::load(&mut reader);
    let policy = Policy::load(&mut reader);
    let monitor = MonitorSettings::load(&mut reader);
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
        monitor,
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
        monitor,
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

type Chosen = (&'static str, fn(&mut Reader<'_>) -> Build, &'static str);

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
