//! What a consumer says of itself, for commands that show who works on a queue.

use std::time::Duration;

use redis::RedisResult;

use super::client::Queue;
use super::error::Error;
use crate::untrusted;
use crate::wire::timestamp;

/// How long a card is kept; it is written anew each [`WorkerCard::INTERVAL`].
const LIFETIME: Duration = Duration::from_secs(150);

/// Where a card says why its consumer cannot work; empty if it can.
pub(crate) const OBSTACLE: &str = "obstacle";

/// What a consumer says of itself.
#[derive(Clone, Debug)]
pub(crate) struct WorkerCard {
    /// What type of consumer it is.
    pub(crate) kind: &'static str,
    /// When it started, as a time stamp.
    pub(crate) started: String,
}

impl WorkerCard {
    /// Time between two writes.
    pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            started: timestamp(),
        }
    }
}

impl Queue {
    /// Writes the card of this process, with the memory that it takes of its budget, and why it cannot work if it cannot.
    pub(crate) async fn show_card(
        &self,
        card: &WorkerCard,
        (memory, budget): (u64, u64),
        obstacle: Option<&str>,
    ) -> Result<(), Error> {
        let key = self.inner.keys.worker(self.consumer());
        let fields = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("type", card.kind.to_owned()),
            ("slots", self.slots().to_string()),
            ("pid", std::process::id().to_string()),
            ("started", card.started.clone()),
            ("memory", memory.to_string()),
            ("budget", budget.to_string()),
            (
                OBSTACLE,
                untrusted::message(obstacle.unwrap_or_default()).to_string(),
            ),
        ];
        let mut pipeline = redis::pipe();
        pipeline.hset_multiple(&key, &fields).ignore();
        let lifetime = i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX);
        pipeline.expire(&key, lifetime).ignore();
        let written: RedisResult<()> = self.inner.commands.pipeline(&pipeline).await;
        written.map_err(Error::refused("say who this consumer is"))
    }
}
