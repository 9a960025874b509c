//! The handle on a queue: its connections, and what they are asked of jobs that nobody holds.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;
use redis::{FromRedisValue, RedisResult, ScriptInvocation};

use super::connection::{Connection, REPLY_LIMIT};
use super::error::Error;
use super::held::Leases;
use super::metrics::QueueMetrics;
use super::settings::QueueSettings;
use super::tally::Tally;
use crate::metrics::LastTime;
use crate::wire::{JobKey, Keys, RawFields};

/// The longest that a blocking wait stays inside Redis.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Jobs submitted in one round trip.
const SUBMIT_CHUNK: usize = 500;

/// A handle on the queue; clones share connections and the list of held jobs.
#[derive(Clone)]
pub struct Queue {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) settings: QueueSettings,
    pub(super) keys: Keys,
    pub(super) commands: Arc<Connection>,
    /// Waits inside Redis, which holds up whatever else is sent on it.
    pub(super) blocking: Connection,
    /// Belongs to the thread that renews leases.
    pub(super) heartbeat: Arc<Connection>,
    /// What all tokens of this process begin with, and how many there were.
    pub(super) boot: String,
    pub(super) claims: AtomicU64,
    pub(super) leases: Leases,
    pub(super) tally: Tally,
    /// What Redis said to the last claim, if it refused it.
    pub(super) refusal: Mutex<Option<String>>,
    /// Held by the slot that waits for a job.
    pub(super) idle_turn: tokio::sync::Mutex<()>,
    /// The last entry was waited for.
    pub(super) is_idle: AtomicBool,
    /// The server is older than Redis 6.2: idle slots wait with BRPOPLPUSH.
    pub(super) lacks_blmove: AtomicBool,
    pub(super) metrics: QueueMetrics,
}

impl Queue {
    /// A handle that connects when it is first used.
    pub fn new(settings: QueueSettings) -> Self {
        let metrics = QueueMetrics::default();
        let connection = |reply_limit| {
            let metrics = metrics.connection.clone();
            Arc::new(Connection::new(&settings.server, reply_limit, metrics))
        };
        let (commands, heartbeat) = (
            connection(REPLY_LIMIT),
            connection(settings.heartbeat_limit()),
        );
        Self::over(commands, heartbeat, settings, metrics)
    }

    /// A handle on another queue of the same Redis, with the same connections, but one of its own to wait on.
    pub(super) fn beside(&self, name: &str) -> Self {
        let Inner {
            settings, metrics, ..
        } = &*self.inner;
        let settings = QueueSettings {
            queue: name.to_owned(),
            ..settings.clone()
        };
        let (commands, heartbeat) = (&self.inner.commands, &self.inner.heartbeat);
        let metrics = QueueMetrics::beside(metrics);
        Self::over(
            Arc::clone(commands),
            Arc::clone(heartbeat),
            settings,
            metrics,
        )
    }

    fn over(
        commands: Arc<Connection>,
        heartbeat: Arc<Connection>,
        settings: QueueSettings,
        metrics: QueueMetrics,
    ) -> Self {
        let inner = Inner {
            keys: Keys::new(settings.queue.clone()),
            blocking: Connection::new(
                &settings.server,
                LONGEST_WAIT + REPLY_LIMIT,
                metrics.connection.clone(),
            ),
            commands,
            heartbeat,
            boot: format!("{:016x}", fastrand::u64(..)),
            claims: AtomicU64::new(0),
            leases: Leases::default(),
            tally: Tally::default(),
            refusal: Mutex::default(),
            idle_turn: tokio::sync::Mutex::new(()),
            is_idle: AtomicBool::new(false),
            lacks_blmove: AtomicBool::new(false),
            settings,
            metrics,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The name of the queue that is consumed.
    pub fn name(&self) -> &str {
        self.inner.keys.queue()
    }

    /// The name under which this process works.
    pub fn consumer(&self) -> &str {
        &self.inner.settings.consumer
    }

    /// How many jobs this process works at the same time.
    pub fn slots(&self) -> usize {
        self.inner.settings.slots
    }

    /// The settings in force.
    pub fn settings(&self) -> &QueueSettings {
        &self.inner.settings
    }

    /// Writes a new job and queues it, as the web frontend does: first the hash, then the left end of the list.
    pub async fn submit(&self, key: &JobKey, fields: &[(&str, String)]) -> Result<(), Error> {
        let hash = redis::Cmd::hset_multiple(&key.0, fields);
        let entry = redis::Cmd::lpush(self.name(), &key.0);
        self.command::<()>("write a job", &hash).await?;
        self.command::<()>("queue a job", &entry).await
    }

    /// Writes new jobs and queues them, in few round trips; each hash is there before its entry.
    pub async fn submit_all(&self, jobs: &[(JobKey, Vec<(&str, String)>)]) -> Result<(), Error> {
        for chunk in jobs.chunks(SUBMIT_CHUNK) {
            let mut pipeline = redis::pipe();
            for (key, fields) in chunk {
                pipeline.hset_multiple(&key.0, fields).ignore();
            }
            let keys: Vec<_> = chunk.iter().map(|(key, _)| key.0.as_slice()).collect();
            pipeline.lpush(self.name(), keys).ignore();
            let operation = "queue jobs";
            let queued: RedisResult<()> = self
                .inner
                .commands
                .persist_pipeline(operation, &pipeline)
                .await;
            queued.map_err(Error::refused(operation))?;
        }
        Ok(())
    }

    /// All fields of a job's hash, whoever holds it.
    pub async fn fields(&self, key: &JobKey) -> Result<RawFields, Error> {
        self.command("read a job", &redis::Cmd::hgetall(&key.0))
            .await
    }

    /// Adds the counters of jobs to a registry that has the labels of queue and type.
    pub(crate) fn register_jobs(&self, jobs: &mut Registry) {
        self.inner.metrics.register(jobs);
    }

    /// Adds the counters of connections to Redis to a registry.
    pub(crate) fn register_server(&self, all: &mut Registry) {
        self.inner.metrics.connection.register(all);
    }

    /// When Redis last answered a claim, with a job or without one.
    pub(crate) fn last_claim(&self) -> &LastTime {
        &self.inner.metrics.last_claim
    }

    /// What Redis said to the last claim, if it refused it: a replica, say, or a user without the right.
    pub(crate) fn refusal(&self) -> Option<String> {
        let claim = self.refused().clone();
        claim.or_else(|| self.inner.blocking.refusal())
    }

    pub(super) fn refused(&self) -> MutexGuard<'_, Option<String>> {
        let refusal = self.inner.refusal.lock();
        refusal.unwrap_or_else(PoisonError::into_inner)
    }

    /// Host and port of the master that was connected to last.
    pub(crate) fn server_address(&self) -> Option<(String, u16)> {
        self.inner.metrics.connection.master()
    }

    /// When Redis last answered anything.
    pub(crate) fn last_answer(&self) -> &LastTime {
        &self.inner.metrics.connection.last_answer
    }

    /// When Redis last did not answer, or refused something.
    pub(crate) fn last_failure(&self) -> &LastTime {
        &self.inner.metrics.connection.last_failure
    }

    /// Runs a script until Redis has answered.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        operation: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        let answer = self.inner.commands.persist(operation, call).await;
        answer.map_err(Error::refused(operation))
    }

    /// Sends a command until Redis has answered.
    pub(super) async fn command<T: FromRedisValue>(
        &self,
        operation: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, Error> {
        let answer = self
            .inner
            .commands
            .persist_command(operation, command)
            .await;
        answer.map_err(Error::refused(operation))
    }

    /// The processing list of a slot.
    pub(super) fn processing_list(&self, slot: usize) -> String {
        self.inner.keys.processing(self.consumer(), slot)
    }
}
