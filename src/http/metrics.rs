//! The page `/metrics`: what others have registered, and gauges that are set at each scrape.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::observed::Observed;
use crate::queue::{Queue, QueueStats};
use crate::wire;

/// Timeout for asking Redis at a scrape.
const REDIS_TIMEOUT: Duration = Duration::from_secs(1);

/// All metrics, and the gauges that are set at each scrape.
pub(super) struct Metrics {
    observed: Observed,
    registry: Registry,
    gauges: Gauges,
}

#[derive(Default)]
struct Gauges {
    jobs: Family<InState, Gauge>,
    oldest: Family<InState, Seconds>,
    paused: Family<OfQueue, Gauge>,
    slots: Family<InState, Gauge>,
    memory_budget: Gauge,
    memory_inflight: Gauge,
    last_fetch: Seconds,
    last_beat: Seconds,
    redis_up: Gauge,
    model_server_up: Family<OfModel, Gauge>,
    shutting_down: Gauge,
}

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    queue: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfQueue {
    queue: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
    version: i64,
}

impl Metrics {
    /// Adds the gauges to what others have registered.
    pub(super) fn new(observed: Observed, mut registry: Registry) -> Self {
        let build = Info::new([
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", option_env!("COMMIT").unwrap_or("")),
        ]);
        registry.register("build", "The program", build);
        let gauges = Gauges::default();
        gauges.register_queue(&mut registry);
        gauges.register_process(&mut registry);
        gauges.register_peers(&mut registry);
        Self {
            observed,
            registry,
            gauges,
        }
    }

    /// All metrics as text, the gauges as they are now.
    pub(super) async fn text(&self) -> String {
        let asked = tokio::time::timeout(REDIS_TIMEOUT, self.observed.queues.stats()).await;
        self.set_queues(asked.ok().and_then(Result::ok));
        self.set_process();
        self.set_model_servers();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn set_queues(&self, stats: Option<Vec<QueueStats>>) {
        let Gauges {
            jobs,
            oldest,
            paused,
            ..
        } = &self.gauges;
        self.gauges.redis_up.set(stats.is_some().into());
        let Some(stats) = stats else {
            // What is unknown is left out, or else a chart would go on showing what was.
            jobs.clear();
            oldest.clear();
            paused.clear();
            return;
        };
        for (queue, stats) in self.observed.queues.iter().zip(stats) {
            self.set_queue(queue, &stats);
        }
    }

    fn set_queue(&self, queue: &Queue, stats: &QueueStats) {
        let Gauges { jobs, oldest, .. } = &self.gauges;
        let counts = [
            ("waiting", stats.waiting),
            ("in_flight", stats.in_flight),
            ("delayed", stats.delayed),
            ("parked", stats.parked),
            ("failed", stats.failed),
            ("dead", stats.dead),
        ];
        for (state, count) in counts {
            jobs.get_or_create(&InState::of(queue, state))
                .set(count as i64);
        }
        let paused = self.gauges.paused.get_or_create(&OfQueue::of(queue));
        paused.set(stats.is_paused.into());
        let submitted = stats.submitted.as_deref();
        let age = submitted.and_then(wire::age_of).unwrap_or_default();
        oldest
            .get_or_create(&InState::of(queue, "waiting"))
            .set(age.as_secs_f64());
    }

    fn set_process(&self) {
        let (observed, gauges) = (&self.observed, &self.gauges);
        let queues = &observed.queues;
        let free = queues.first().slots().saturating_sub(queues.busy_slots());
        for queue in queues.iter() {
            for (state, count) in [("busy", queue.busy_slots()), ("free", free)] {
                let slots = gauges.slots.get_or_create(&InState::of(queue, state));
                slots.set(count as i64);
            }
        }
        let memory = observed.memory.usage();
        gauges.memory_budget.set(memory.budget_bytes as i64);
        gauges.memory_inflight.set(memory.reserved_bytes as i64);
        let last_claim = queues.last_claim();
        gauges.last_fetch.set(last_claim.unix_seconds());
        gauges
            .last_beat
            .set(observed.health.heartbeat.unix_seconds());
        gauges
            .shutting_down
            .set(observed.stop.is_cancelled().into());
    }

    fn set_model_servers(&self) {
        let serving = &self.observed.serving;
        for model in serving.known_models() {
            let of_model = OfModel {
                model: model.name,
                version: model.version,
            };
            self.gauges
                .model_server_up
                .get_or_create(&of_model)
                .set((!serving.is_down()).into());
        }
    }
}

impl OfQueue {
    fn of(queue: &Queue) -> Self {
        let queue = queue.name().to_owned();
        Self { queue }
    }
}

impl InState {
    fn of(queue: &Queue, state: &'static str) -> Self {
        let queue = queue.name().to_owned();
        Self { queue, state }
    }
}

impl Gauges {
    fn register_queue(&self, all: &mut Registry) {
        all.register(
            "queue_jobs",
            "Jobs of the queue; every consumer of it reports the same number: use max",
            self.jobs.clone(),
        );
        all.register(
            "oldest_job_age_seconds",
            "Time since the next job to be claimed was submitted",
            self.oldest.clone(),
        );
        all.register(
            "queue_paused",
            "Whether an operator has paused the queue",
            self.paused.clone(),
        );
        all.register("redis_up", "Whether Redis answers", self.redis_up.clone());
        all.register(
            "last_fetch_timestamp_seconds",
            "When Redis last answered a claim",
            self.last_fetch.clone(),
        );
    }

    fn register_process(&self, all: &mut Registry) {
        all.register(
            "slots",
            "Jobs that this process can run at the same time",
            self.slots.clone(),
        );
        all.register(
            "memory_budget_bytes",
            "Memory for all running jobs together; 0 is unlimited",
            self.memory_budget.clone(),
        );
        all.register(
            "memory_inflight_bytes",
            "Memory that running jobs have reserved",
            self.memory_inflight.clone(),
        );
        all.register(
            "last_beat_timestamp_seconds",
            "When running jobs were last checked",
            self.last_beat.clone(),
        );
        all.register(
            "shutting_down",
            "Whether the process is shutting down",
            self.shutting_down.clone(),
        );
    }

    fn register_peers(&self, all: &mut Registry) {
        all.register(
            "model_server_up",
            "Whether the model's server answered the last call",
            self.model_server_up.clone(),
        );
    }
}
