//! How much there is to do.

use std::time::Duration;

use redis::RedisResult;

use super::connection::Link;
use super::metrics::LinkMetrics;
use super::{Error, Queue};

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
        let (waiting, in_flight, delayed, parked, dead, next) =
            counts.map_err(|cause| Error { operation, cause })?;
        let submitted = match next {
            // A key of another type is no job.
            Some(next) => link
                .command(&redis::Cmd::hget(next, crate::job::CREATED_AT))
                .await
                .unwrap_or(None),
            None => None,
        };
        Ok(Backlog {
            waiting,
            in_flight,
            delayed,
            parked,
            dead,
            submitted,
        })
    }
}
