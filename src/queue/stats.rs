//! How many jobs of a queue are where.

use std::time::Duration;

use redis::RedisResult;

use super::client::Queue;
use super::connection::Connection;
use super::error::Error;
use super::metrics::ConnectionMetrics;
use crate::wire::field;

/// How many jobs of a queue are where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// In the list.
    pub waiting: u64,
    /// Held by consumers that take leases.
    pub in_flight: u64,
    /// To come back after a while.
    pub delayed: u64,
    /// Waiting for their children.
    pub parked: u64,
    /// Failed, and not forgotten yet.
    pub failed: u64,
    /// Those of them that were given up.
    pub dead: u64,
    /// Whether an operator has paused the queue.
    pub is_paused: bool,
    /// When the job was submitted that is served next, as its hash has it.
    pub submitted: Option<Vec<u8>>,
}

/// Lengths of the list and the sets, whether the queue is paused, and the entry that is next.
type Counts = (u64, u64, u64, u64, u64, u64, bool, Option<Vec<u8>>);

impl Queue {
    /// Counts the jobs of the queue, once and in constant time.
    pub async fn stats(&self) -> Result<QueueStats, Error> {
        self.stats_over(&self.inner.commands).await
    }

    /// The same on a connection of its own, which tells whether it is Redis or our connections that do not answer.
    pub(crate) async fn stats_afresh(&self, limit: Duration) -> Result<QueueStats, Error> {
        let connection = Connection::new(
            &self.inner.settings.server,
            limit,
            ConnectionMetrics::default(),
        );
        self.stats_over(&connection).await
    }

    async fn stats_over(&self, connection: &Connection) -> Result<QueueStats, Error> {
        let mut pipeline = redis::pipe();
        pipeline.llen(self.name());
        let keys = &self.inner.keys;
        pipeline
            .zcard(keys.leases())
            .zcard(keys.delayed())
            .zcard(keys.parked())
            .zcard(keys.failed())
            .zcard(keys.dead())
            .exists(keys.paused())
            .lindex(self.name(), -1);
        let counts: RedisResult<Counts> = connection.pipeline(&pipeline).await;
        let operation = "count the jobs";
        let (waiting, in_flight, delayed, parked, failed, dead, is_paused, next) =
            counts.map_err(Error::refused(operation))?;
        let submitted = match next {
            // A key of another type is not a job.
            Some(next) => connection
                .command(&redis::Cmd::hget(next, field::CREATED_AT))
                .await
                .unwrap_or(None),
            None => None,
        };
        Ok(QueueStats {
            waiting,
            in_flight,
            delayed,
            parked,
            failed,
            dead,
            is_paused,
            submitted,
        })
    }
}
