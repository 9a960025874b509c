//! What is measured when somebody looks: the backlog, slots, memory, peers.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::Watched;
use crate::job;
use crate::queue::Backlog;

/// Longest time that a look at Redis may take.
const LOOK: Duration = Duration::from_secs(1);

/// All metrics, and the gauges that are set before each look.
pub(super) struct Gauges {
    watched: Watched,
    registry: Registry,
    jobs: Family<InState, Gauge>,
    oldest: Family<InState, Seconds>,
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
struct OfModel {
    model: String,
    version: i64,
}

impl Gauges {
    /// Adds the gauges to what the others have registered.
    pub(super) fn new(watched: Watched, mut registry: Registry) -> Self {
        let build = Info::new([
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", option_env!("COMMIT").unwrap_or("")),
        ]);
        registry.register("build", "The program", build);
        let gauges = Self {
            watched,
            jobs: Family::default(),
            oldest: Family::default(),
            slots: Family::default(),
            memory_budget: Gauge::default(),
            memory_inflight: Gauge::default(),
            last_fetch: Seconds::default(),
            last_beat: Seconds::default(),
            redis_up: Gauge::default(),
            model_server_up: Family::default(),
            shutting_down: Gauge::default(),
            registry: Registry::default(),
        };
        let all = &mut registry;
        all.register(
            "queue_jobs",
            "Jobs of the queue, as every consumer of it sees them: use max",
            gauges.jobs.clone(),
        );
        all.register(
            "oldest_job_age_seconds",
            "Time since the job was submitted that is served next",
            gauges.oldest.clone(),
        );
        all.register(
            "slots",
            "Jobs that this process can work at the same time",
            gauges.slots.clone(),
        );
        all.register(
            "memory_budget_bytes",
            "Memory for all jobs at once; 0 is no bound",
            gauges.memory_budget.clone(),
        );
        all.register(
            "memory_inflight_bytes",
            "What of it running jobs have set aside",
            gauges.memory_inflight.clone(),
        );
        all.register(
            "last_fetch_timestamp_seconds",
            "When Redis last answered a claim",
            gauges.last_fetch.clone(),
        );
        all.register(
            "last_beat_timestamp_seconds",
            "When the watch over jobs last went round",
            gauges.last_beat.clone(),
        );
        all.register("redis_up", "Whether Redis answers", gauges.redis_up.clone());
        all.register(
            "model_server_up",
            "Whether the server of the model answered last",
            gauges.model_server_up.clone(),
        );
        all.register(
            "shutting_down",
            "Whether the process is to end",
            gauges.shutting_down.clone(),
        );
        Self { registry, ..gauges }
    }

    /// All metrics as text, the gauges as they are now.
    pub(super) async fn text(&self) -> String {
        let backlog = tokio::time::timeout(LOOK, self.watched.queue.backlog()).await;
        self.set(backlog.ok().and_then(Result::ok));
        let mut text = String::new();
        // A string takes all that is written.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn set(&self, backlog: Option<Backlog>) {
        let Watched {
            queue,
            serving,
            memory,
            signs,
            stop,
            ..
        } = &self.watched;
        let state = |state| InState {
            queue: queue.name().to_owned(),
            state,
        };
        self.redis_up.set(backlog.is_some().into());
        match backlog {
            // What is not known is left out, lest a chart shows what was.
            None => {
                self.jobs.clear();
                self.oldest.clear();
            }
            Some(backlog) => {
                let Backlog {
                    waiting,
                    in_flight,
                    delayed,
                    parked,
                    dead,
                    submitted,
                } = backlog;
                let counts = [
                    ("waiting", waiting),
                    ("in_flight", in_flight),
                    ("delayed", delayed),
                    ("parked", parked),
                    ("dead", dead),
                ];
                for (name, count) in counts {
                    self.jobs.get_or_create(&state(name)).set(count as i64);
                }
                let age = submitted
                    .and_then(|submitted| job::age_of(&submitted))
                    .unwrap_or_default();
                self.oldest
                    .get_or_create(&state("waiting"))
                    .set(age.as_secs_f64());
            }
        }
        let (slots, busy) = (queue.slots() as i64, signs.busy() as i64);
        self.slots.get_or_create(&state("busy")).set(busy);
        self.slots
            .get_or_create(&state("free"))
            .set((slots - busy).max(0));
        let (budget, inflight) = memory.usage();
        self.memory_budget.set(budget as i64);
        self.memory_inflight.set(inflight as i64);
        self.last_fetch.set(queue.last_fetch().unix_seconds());
        self.last_beat.set(signs.beat.unix_seconds());
        for model in serving.known_models() {
            let of = OfModel {
                model: model.name,
                version: model.version,
            };
            self.model_server_up
                .get_or_create(&of)
                .set((!serving.is_down()).into());
        }
        self.shutting_down.set(stop.is_cancelled().into());
    }
}
