//! What the queue counts.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use redis::{ErrorKind, RedisError};

use super::outcome::{Reclaimed, Settled};
use crate::metrics::{Counters, Histograms, LastTime, call_seconds};

/// Counters of a queue; clones share them.
#[derive(Clone, Debug)]
pub(super) struct QueueMetrics {
    pub(super) connection: ConnectionMetrics,
    /// When Redis last answered a claim, with a job or without one.
    pub(super) last_claim: LastTime,
    jobs: Counters<Ended>,
    rescued: Counters<Cause>,
    leases_lost: Counter,
    pickup: Histogram,
}

/// Counters of the connections to a Redis; clones share them.
#[derive(Clone, Debug)]
pub(super) struct ConnectionMetrics {
    errors: Counters<Kind>,
    reconnects: Counter,
    failovers: Counter,
    scripts: Histograms<Script>,
    /// The master that was connected to last.
    master: Arc<Mutex<Option<(String, u16)>>>,
    /// When Redis last answered anything.
    pub(super) last_answer: LastTime,
    /// When Redis last did not answer, or refused something.
    pub(super) last_failure: LastTime,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    cause: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Script {
    script: &'static str,
}

/// What alerts watch is there from the beginning: a counter that appears with its first event has no rate.
const CAUSES: [&str; 4] = ["lease", "worker", "restart", "unsettled"];
const RESULTS: [&str; 4] = ["done", "failed", "dead", "retried"];
const KINDS: [&str; 2] = ["connection", "timeout"];

impl Default for QueueMetrics {
    fn default() -> Self {
        let metrics = Self {
            connection: ConnectionMetrics::default(),
            last_claim: LastTime::default(),
            jobs: Counters::default(),
            rescued: Counters::default(),
            leases_lost: Counter::default(),
            pickup: call_seconds(),
        };
        CAUSES.iter().for_each(|&cause| {
            drop(metrics.rescued.get_or_create(&Cause {
                cause: cause.to_owned(),
            }))
        });
        RESULTS
            .iter()
            .for_each(|&result| drop(metrics.jobs.get_or_create(&Ended { result })));
        metrics
    }
}

impl Default for ConnectionMetrics {
    fn default() -> Self {
        let metrics = Self {
            errors: Counters::default(),
            reconnects: Counter::default(),
            failovers: Counter::default(),
            scripts: Histograms::new_with_constructor(call_seconds),
            master: Arc::default(),
            last_answer: LastTime::default(),
            last_failure: LastTime::default(),
        };
        KINDS
            .iter()
            .for_each(|&kind| drop(metrics.errors.get_or_create(&Kind { kind })));
        metrics
    }
}

impl QueueMetrics {
    /// Those of another queue over the same connections.
    pub(super) fn beside(other: &Self) -> Self {
        Self {
            connection: other.connection.clone(),
            ..Self::default()
        }
    }

    /// Adds the counters of jobs.
    pub(super) fn register(&self, jobs: &mut Registry) {
        jobs.register(
            "jobs",
            "Jobs whose lease this process has ended, and queue entries that were not jobs",
            self.jobs.clone(),
        );
        jobs.register(
            "rescued_jobs",
            "Jobs requeued whose consumer had died",
            self.rescued.clone(),
        );
        jobs.register(
            "leases_lost",
            "Jobs that went to another consumer while this one was processing them",
            self.leases_lost.clone(),
        );
        jobs.register(
            "pickup_seconds",
            "Time to claim a job that was there",
            self.pickup.clone(),
        );
    }

    pub(super) fn picked_up(&self, since: Instant) {
        self.pickup.observe(since.elapsed().as_secs_f64());
    }

    /// An entry was dropped, for a reason that the script gives.
    pub(super) fn dropped(&self, why: &str) {
        self.ended(if why.contains("already") {
            "duplicate"
        } else {
            "invalid"
        });
    }

    /// A lease ended, with this `result` unless the job was lost.
    pub(super) fn settled(&self, result: &'static str, settled: Settled) {
        match settled {
            Settled::Committed => self.ended(result),
            Settled::Gone => self.ended("invalid"),
            Settled::Moved | Settled::Lost => self.ended("lost_lease"),
            Settled::AlreadyDue => {}
        }
    }

    pub(super) fn lost(&self) {
        self.leases_lost.inc();
    }

    pub(super) fn reclaimed(&self, found: &Reclaimed) {
        for job in &found.requeued {
            self.rescued
                .get_or_create(&Cause {
                    cause: job.cause.clone(),
                })
                .inc();
        }
    }

    fn ended(&self, result: &'static str) {
        self.jobs.get_or_create(&Ended { result }).inc();
    }
}

impl ConnectionMetrics {
    pub(super) fn register(&self, all: &mut Registry) {
        all.register(
            "redis_errors",
            "Commands that Redis did not answer, or answered with an error",
            self.errors.clone(),
        );
        all.register(
            "redis_reconnects",
            "Connections to Redis after the first",
            self.reconnects.clone(),
        );
        all.register(
            "redis_failovers",
            "Times that another Redis had become the master",
            self.failovers.clone(),
        );
        all.register(
            "redis_script_duration_seconds",
            "Time of a script in Redis and of the way there",
            self.scripts.clone(),
        );
    }

    /// The connection is not the first one.
    pub(super) fn reconnected(&self) {
        self.reconnects.inc();
    }

    pub(super) fn answered(&self) {
        self.last_answer.touch();
    }

    pub(super) fn script(&self, script: &'static str, took: Duration) {
        self.scripts
            .get_or_create(&Script { script })
            .observe(took.as_secs_f64());
    }

    pub(super) fn failed(&self, error: &RedisError) {
        self.last_failure.touch();
        let kind = match error.kind() {
            _ if error.is_timeout() => "timeout",
            ErrorKind::Io => "connection",
            ErrorKind::AuthenticationFailed => "login",
            _ if error.is_connection_dropped() => "connection",
            _ if error.code().is_some() => "refused",
            _ => "other",
        };
        self.errors.get_or_create(&Kind { kind }).inc();
    }

    /// Host and port of the master that was connected to last.
    pub(super) fn master(&self) -> Option<(String, u16)> {
        self.master
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// There is a connection to this master.
    pub(super) fn connected(&self, master: (String, u16)) {
        let mut last = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        self.failovers
            .inc_by(last.as_ref().is_some_and(|last| *last != master).into());
        *last = Some(master);
    }
}
