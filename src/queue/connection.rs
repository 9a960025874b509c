//! One connection to Redis that comes back by itself, through a Sentinel if there is one.
//!
//! Every command has a time limit. What fails because the server is away, restarting, loading or demoted is repeated
//! on a fresh connection after a pause with jitter, without end: an absent Redis is a reason to wait, not to stop.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisError, RedisResult, ScriptInvocation};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::error::{is_refusal, is_transient, words};
use super::master::{Master, Server};
use super::metrics::ConnectionMetrics;
use super::settings::RedisSettings;
use crate::backoff::{Backoff, Jitter};

/// How long a reply may take.
pub(super) const REPLY_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Connection {
    server: Server,
    config: AsyncConnectionConfig,
    longest_pause: Duration,
    current: Mutex<Option<MultiplexedConnection>>,
    was_connected: AtomicBool,
    was_lost: AtomicBool,
    /// What the server said last, if it was a refusal.
    refusal: std::sync::Mutex<Option<String>>,
    metrics: ConnectionMetrics,
}

impl Connection {
    /// A connection that gives up on a reply after `reply_limit`. It connects when it is first used.
    pub(super) fn new(
        settings: &RedisSettings,
        reply_limit: Duration,
        metrics: ConnectionMetrics,
    ) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(reply_limit));
        let (server, longest_pause) = (Server::new(settings), settings.reconnect_pause);
        Self {
            server,
            config,
            longest_pause,
            current: Mutex::default(),
            was_connected: AtomicBool::default(),
            was_lost: AtomicBool::default(),
            refusal: std::sync::Mutex::default(),
            metrics,
        }
    }

    /// Runs a script once; after a failure the next call starts on a fresh connection.
    pub(super) async fn attempt<T: FromRedisValue>(
        &self,
        what: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let began = Instant::now();
        let result = call.invoke_async(&mut connection).await;
        self.metrics.script(what, began.elapsed());
        self.note(result).await
    }

    /// Runs a script until the server has answered it. Fit only for scripts that may run twice.
    pub(super) async fn persist<T: FromRedisValue>(
        &self,
        what: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        self.until_answered(what, || self.attempt(what, call)).await
    }

    /// Sends a command until the server has answered it. Fit only for commands that may run twice.
    pub(super) async fn persist_command<T: FromRedisValue>(
        &self,
        what: &str,
        command: &redis::Cmd,
    ) -> RedisResult<T> {
        self.until_answered(what, || self.command(command)).await
    }

    /// The same, but after `stop` it is not repeated any more: then there is no answer. What is sent is waited for.
    pub(super) async fn persist_until<T: FromRedisValue>(
        &self,
        what: &str,
        command: &redis::Cmd,
        stop: &CancellationToken,
    ) -> RedisResult<Option<T>> {
        let mut outage = Outage::new(what, self.longest_pause);
        loop {
            match self.command(command).await {
                Err(error) if is_transient(&error) => {
                    let waited = stop.run_until_cancelled(outage.wait(&error)).await;
                    if waited.is_none() {
                        return Ok(None);
                    }
                }
                result => return outage.end(result).map(Some),
            }
        }
    }

    /// Sends commands together until the server has answered them. Fit only for commands that may run twice.
    pub(super) async fn persist_pipeline<T: FromRedisValue>(
        &self,
        what: &str,
        pipeline: &redis::Pipeline,
    ) -> RedisResult<T> {
        self.until_answered(what, || self.pipeline(pipeline)).await
    }

    async fn until_answered<T, A>(&self, what: &str, attempt: impl Fn() -> A) -> RedisResult<T>
    where
        A: Future<Output = RedisResult<T>>,
    {
        let mut outage = Outage::new(what, self.longest_pause);
        loop {
            match attempt().await {
                Err(error) if is_transient(&error) => outage.wait(&error).await,
                result => return outage.end(result),
            }
        }
    }

    /// Sends a command once.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let result = command.query_async(&mut connection).await;
        self.note(result).await
    }

    /// Sends commands together once.
    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        pipeline: &redis::Pipeline,
    ) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let result = pipeline.query_async(&mut connection).await;
        self.note(result).await
    }

    /// Whether the server has ever left something unanswered. It may yet carry that out; and it may be another one now, that has
    /// not seen all that was answered.
    pub(super) fn was_lost(&self) -> bool {
        self.was_lost.load(Ordering::Relaxed)
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let connected = self.server.connect(&self.config).await;
        let Master {
            connection,
            address,
        } = connected.inspect_err(|error| self.failed(error))?;
        if self.was_connected.swap(true, Ordering::Relaxed) {
            self.metrics.reconnected();
        }
        self.metrics.connected(address);
        Ok(current.insert(connection).clone())
    }

    async fn note<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        match &result {
            Ok(_) => {
                self.metrics.answered();
                self.set_refusal(None);
            }
            Err(error) => {
                self.failed(error);
                if is_transient(error) {
                    self.was_lost.store(true, Ordering::Relaxed);
                    *self.current.lock().await = None;
                }
            }
        }
        result
    }
}

/// What the server refuses.
impl Connection {
    /// What the server said last, if it was a refusal. One that is away says nothing.
    pub(super) fn refusal(&self) -> Option<String> {
        let refusal = self.refusal.lock();
        refusal.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, error: &RedisError) {
        self.metrics.failed(error);
        if is_refusal(error) {
            self.set_refusal(Some(words(error)));
        }
    }

    fn set_refusal(&self, words: Option<String>) {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        *refusal = words;
    }
}

/// The time during which the server did not answer: one warning at its start, one line at its end.
struct Outage<'a> {
    operation: &'a str,
    backoff: Backoff,
    failures: u32,
}

impl<'a> Outage<'a> {
    fn new(operation: &'a str, longest: Duration) -> Self {
        Self {
            operation,
            backoff: Backoff {
                first: FIRST_PAUSE.min(longest),
                cap: longest,
                jitter: Jitter::Half,
            },
            failures: 0,
        }
    }

    async fn wait(&mut self, error: &RedisError) {
        let operation = self.operation;
        if self.failures == 0 {
            warn!(
                redis.operation = operation,
                error = words(error),
                "redis does not answer; trying again until it does"
            );
        }
        let delay = self.backoff.delay(self.failures);
        self.failures += 1;
        tokio::time::sleep(delay).await;
    }

    fn end<T>(&self, result: RedisResult<T>) -> RedisResult<T> {
        if self.failures > 0 && result.is_ok() {
            let attempts = self.failures + 1;
            info!(
                redis.operation = self.operation,
                attempts, "redis answers again"
            );
        }
        result
    }
}
