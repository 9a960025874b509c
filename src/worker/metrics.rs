//! What the worker counts, and the signs by which others see that it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::failure::Class;
use crate::job::{Custody, Status};
use crate::metrics::{Counters, Histograms, LastTime, work_seconds};

/// Counters of the worker; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct WorkerMetrics {
    pub(crate) signs: Signs,
    failures: Counters<Failed>,
    retries: Counters<Failed>,
    poison_pills: Counter,
    pixels: Counter,
    durations: Histograms<Ended>,
    stages: Histograms<InStage>,
    queue_wait: Histogram,
}

/// By what others see that the worker works; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signs {
    /// When the watch over running jobs went round last.
    pub(crate) beat: LastTime,
    started: Arc<AtomicBool>,
    busy: Arc<AtomicUsize>,
    busy_since: LastTime,
    /// When a slot was last let go.
    pub(crate) freed: LastTime,
}

/// A slot is busy until the value is dropped.
pub(super) struct Busy(Signs);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    stage: &'static str,
    reason: &'static str,
}

impl Failed {
    /// A failure in the stage that the job is in; `check` before the first.
    fn new(custody: &Custody, class: Class) -> Self {
        Self {
            stage: custody.stage().map_or("check", |(stage, _)| stage.as_str()),
            reason: class.as_str(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InStage {
    stage: &'static str,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self {
            signs: Signs::default(),
            failures: Counters::default(),
            retries: Counters::default(),
            poison_pills: Counter::default(),
            pixels: Counter::default(),
            durations: Histograms::new_with_constructor(work_seconds),
            stages: Histograms::new_with_constructor(work_seconds),
            queue_wait: work_seconds(),
        }
    }
}

impl WorkerMetrics {
    /// Adds the counters to a registry that has the labels of queue and type.
    pub(crate) fn register(&self, jobs: &mut Registry) {
        jobs.register(
            "job_failures",
            "Jobs that failed for good",
            self.failures.clone(),
        );
        jobs.register(
            "retries",
            "Jobs that failed and are tried again",
            self.retries.clone(),
        );
        jobs.register(
            "poison_pills",
            "Jobs given up because consumers died with them",
            self.poison_pills.clone(),
        );
        jobs.register(
            "pixels",
            "Pixels of all channels and frames of decoded images",
            self.pixels.clone(),
        );
        jobs.register(
            "job_duration_seconds",
            "Time from claim to end",
            self.durations.clone(),
        );
        jobs.register(
            "stage_duration_seconds",
            "Time of one stage of a job",
            self.stages.clone(),
        );
        jobs.register(
            "queue_wait_seconds",
            "Time from submission to claim",
            self.queue_wait.clone(),
        );
    }

    pub(super) fn waited(&self, time: Duration) {
        self.queue_wait.observe(time.as_secs_f64());
    }

    pub(super) fn poisoned(&self) {
        self.poison_pills.inc();
    }

    pub(super) fn failed(&self, custody: &Custody, class: Class) {
        self.failures
            .get_or_create(&Failed::new(custody, class))
            .inc();
    }

    pub(super) fn retried(&self, custody: &Custody, class: Class) {
        self.retries
            .get_or_create(&Failed::new(custody, class))
            .inc();
    }

    /// A job is over, at least for this process; the last step took `commit`.
    pub(super) fn ended(&self, custody: &Custody, commit: Duration) {
        let result = match custody.status() {
            Status::Done => "done",
            Status::Failed => "failed",
            _ => "put_back",
        };
        self.durations
            .get_or_create(&Ended { result })
            .observe(custody.age().as_secs_f64());
        let commit = ("commit", commit.as_secs_f64());
        let stages = custody
            .stage_seconds()
            .into_iter()
            .map(|(stage, seconds)| (stage.as_str(), seconds));
        for (stage, seconds) in stages.chain([commit]) {
            self.stages
                .get_or_create(&InStage { stage })
                .observe(seconds);
        }
        self.pixels.inc_by(custody.pixels());
    }
}

impl Signs {
    /// The worker begins to claim jobs.
    pub(super) fn start(&self) {
        self.beat.touch();
        self.started.store(true, Ordering::Relaxed);
    }

    /// Whether the worker has begun.
    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn take_slot(&self) -> Busy {
        if self.busy.fetch_add(1, Ordering::Relaxed) == 0 {
            self.busy_since.touch();
        }
        Busy(self.clone())
    }

    /// How long there has been a job without a break, if there is one.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        if self.busy() > 0 {
            self.busy_since.age()
        } else {
            None
        }
    }

    /// How many slots have a job.
    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.freed.touch();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
