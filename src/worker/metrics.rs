//! What the worker counts, and the signs by which others see that it works.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::error_class::ErrorClass;
use crate::job::{Progress, Status};
use crate::metrics::{Counters, Histograms, LastTime, work_seconds};

/// Counters of the worker; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct WorkerMetrics {
    failures: Counters<Failed>,
    retries: Counters<Failed>,
    poison_pills: Counter,
    pixels: Counter,
    durations: Histograms<Ended>,
    stages: Histograms<InStage>,
    queue_wait: Histogram,
}

/// Signs by which others see that the worker works; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// When the supervisor went round last.
    pub(crate) heartbeat: LastTime,
    /// When the worker began to claim jobs.
    pub(crate) started: LastTime,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    stage: &'static str,
    reason: &'static str,
}

impl Failed {
    /// A failure in the stage that the job is in; `check` before the first.
    fn new(progress: &Progress, class: ErrorClass) -> Self {
        Self {
            stage: progress.stage().unwrap_or("check"),
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
            "Time from submission to the first claim",
            self.queue_wait.clone(),
        );
    }

    pub(super) fn waited(&self, time: Duration) {
        self.queue_wait.observe(time.as_secs_f64());
    }

    pub(super) fn poisoned(&self) {
        self.poison_pills.inc();
    }

    pub(super) fn failed(&self, progress: &Progress, class: ErrorClass) {
        self.failures
            .get_or_create(&Failed::new(progress, class))
            .inc();
    }

    pub(super) fn retried(&self, progress: &Progress, class: ErrorClass) {
        self.retries
            .get_or_create(&Failed::new(progress, class))
            .inc();
    }

    /// A job is over, at least for this process; the last step took `commit`.
    pub(super) fn ended(&self, progress: &Progress, commit: Duration) {
        let result = match progress.status() {
            Status::Done => "done",
            Status::Failed => "failed",
            _ => "requeued",
        };
        self.durations
            .get_or_create(&Ended { result })
            .observe(progress.age().as_secs_f64());
        let commit = ("commit", commit.as_secs_f64());
        for (stage, seconds) in progress.stage_seconds().into_iter().chain([commit]) {
            self.stages
                .get_or_create(&InStage { stage })
                .observe(seconds);
        }
        self.pixels.inc_by(progress.pixels());
    }
}

impl Health {
    /// The worker begins to claim jobs.
    pub(super) fn start(&self) {
        self.heartbeat.touch();
        self.started.touch();
    }

    /// Whether the worker has begun.
    pub(crate) fn has_started(&self) -> bool {
        self.started.age().is_some()
    }
}
