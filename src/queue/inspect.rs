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

/// Lengths of the list and the sets, and the entry that is next.
type Counts = (u64, u64, u64, u64, u64, Option<Vec<u8>>);

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
        let counts: RedisResult<Counts> = link.pipeline(&pipeline).await;
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
        let operation = "ask for the state of the server";
        let info: RedisResult<InfoDict> = self.inner.commands.persist_command(operation, &redis::cmd("INFO")).await;
        Ok(info.map(|info| self.state(&info).risks()).unwrap_or_default())
    }

    /// What kind of server it is. Asks once.
    pub(crate) async fn server_state(&self) -> Result<ServerState, Error> {
        let info: RedisResult<InfoDict> = self.inner.commands.command(&redis::cmd("INFO")).await;
        let operation = "tell about itself";
        info.map(|info| self.state(&info)).map_err(|cause| Error { operation, cause })
    }

    /// Runs a script that does nothing, once: the right to do so may be missing.
    pub(crate) async fn try_scripts(&self) -> Result<(), Error> {
        let mut call = super::SET.key(self.auxiliary("check"));
        call.arg("nobody").arg("field").arg("value");
        let operation = "run a script";
        let answer: RedisResult<u8> = self.inner.commands.attempt(operation, &call).await;
        answer.map(drop).map_err(|cause| Error { operation, cause })
    }

    fn state(&self, info: &InfoDict) -> ServerState {
        ServerState {
            address: self.inner.metrics.link.master(),
            version: info.get("redis_version").unwrap_or_default(),
            role: info.get("role").unwrap_or_default(),
            eviction: info.get("maxmemory_policy").unwrap_or_default(),
            has_log: info.get::<u8>("aof_enabled") != Some(0),
        }
    }
}

/// What a Redis says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerState {
    /// `host:port` of the one that is used.
    pub(crate) address: String,
    pub(crate) version: String,
    /// `master` or `slave`.
    pub(crate) role: String,
    /// What it does when memory runs short.
    eviction: String,
    /// Whether it keeps an append-only file, as far as it says.
    has_log: bool,
}

impl ServerState {
    /// What puts jobs at risk.
    pub(crate) fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        let policy = &self.eviction;
        if !policy.is_empty() && policy != "noeviction" {
            risks.push(format!(
                "maxmemory-policy of Redis is `{policy}`: when memory runs short it throws keys away, jobs and results among \
                 them; set it to `noeviction`"
            ));
        }
        if !self.has_log {
            risks.push(
                "Redis keeps no append-only file: when it restarts, jobs since its last snapshot are gone".to_owned(),
            );
        }
        risks
    }
}
