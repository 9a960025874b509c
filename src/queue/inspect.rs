//! The queue and its server, looked at: how much there is to do, whether Redis answers, what puts jobs at risk.

use std::time::Duration;

use prometheus_client::registry::Registry;
use redis::{InfoDict, RedisResult};

use super::connection::Link;
use super::metrics::LinkMetrics;
use super::{Error, Queue};
use crate::metrics::Moment;

/// How many jobs of a queue are where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// In the list.
    pub waiting: u64,
    /// Held by consumers that take leases.
    pub in_flight: u64,
    /// To come back after a while.
    pub delayed: u64,
    /// Waiting for their children.
    pub parked: u64,
    /// Given up, and not forgotten yet.
    pub dead: u64,
    /// When the job was submitted that is served next, as its hash has it.
    pub submitted: Option<Vec<u8>>,
}

impl Queue {
    /// Adds the counters of jobs to a registry that has the labels of queue and type.
    pub(crate) fn register_jobs(&self, jobs: &mut Registry) {
        self.inner.metrics.register(jobs);
    }

    /// Adds the counters of connections to Redis to a registry.
    pub(crate) fn register_server(&self, all: &mut Registry) {
        self.inner.metrics.link.register(all);
    }

    /// When Redis last answered a claim, with a job or without one.
    pub(crate) fn last_fetch(&self) -> &Moment {
        &self.inner.metrics.last_fetch
    }

    /// When Redis last answered anything.
    pub(crate) fn last_answer(&self) -> &Moment {
        &self.inner.metrics.link.last_answer
    }

    /// Counts the jobs of the queue, once and in constant time.
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        self.backlog_over(&self.inner.commands).await
    }

    /// The same on a connection of its own, which tells whether it is Redis or our connections that do not answer.
    pub(crate) async fn backlog_afresh(&self, limit: Duration) -> Result<Backlog, Error> {
        let link = Link::new(&self.inner.settings.server, limit, LinkMetrics::default());
        self.backlog_over(&link).await
    }

    async fn backlog_over(&self, link: &Link) -> Result<Backlog, Error> {
        let mut pipeline = redis::pipe();
        pipeline.llen(self.name());
        for set in ["lease", "delayed", "parked", "dead"] {
            pipeline.zcard(self.auxiliary(set));
        }
        pipeline.lindex(self.name(), -1);
        let counts: RedisResult<(u64, u64, u64, u64, u64, Option<Vec<u8>>)> = link.pipeline(&pipeline).await;
        let operation = "count the jobs";
        let (waiting, in_flight, delayed, parked, dead, next) = counts.map_err(|cause| Error { operation, cause })?;
        let submitted = match next {
            // A key of another type is no job.
            Some(next) => link.command(&redis::Cmd::hget(next, crate::job::CREATED_AT)).await.unwrap_or(None),
            None => None,
        };
        Ok(Backlog { waiting, in_flight, delayed, parked, dead, submitted })
    }

    /// What an operator should know about the server: whether it may throw jobs away, and whether a restart loses them.
    ///
    /// Nothing is said of a server that does not let itself be asked. Waits until Redis answers.
    pub async fn risks(&self) -> Result<Vec<String>, Error> {
        let mut risks = Vec::new();
        let Ok(memory) = self.info("memory").await else { return Ok(risks) };
        let policy: String = memory.get("maxmemory_policy").unwrap_or_default();
        if !policy.is_empty() && policy != "noeviction" {
            risks.push(format!(
                "maxmemory-policy of Redis is `{policy}`: when memory runs short it throws keys away, jobs and results among \
                 them; set it to `noeviction`"
            ));
        }
        let Ok(persistence) = self.info("persistence").await else { return Ok(risks) };
        if persistence.get::<u8>("aof_enabled") == Some(0) {
            risks.push(
                "Redis keeps no append-only file: when it restarts, jobs since its last snapshot are gone".to_owned(),
            );
        }
        Ok(risks)
    }

    async fn info(&self, section: &str) -> Result<InfoDict, Error> {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        self.command("ask for the state of the server", &info).await
    }
}
