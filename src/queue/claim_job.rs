//! How one certain job is claimed.

use std::sync::LazyLock;

use redis::{FromRedisValue, Script, Value};

use super::claim::Claimed;
use super::client::Queue;
use super::error::Error;
use super::lease::Lease;
use crate::wire::{JobKey, RawFields};

static CLAIM_JOB: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("scripts/rights.lua"),
        include_str!("scripts/requeue.lua"),
        include_str!("scripts/take_lease.lua"),
        include_str!("scripts/lists.lua"),
        include_str!("scripts/claim_job.lua")
    ))
});

/// Why a certain job was not claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotClaimed {
    #[error("there is no such job: it has expired, was deleted, or the key is mistyped")]
    Gone,
    #[error("it has ended: `redis-consumer requeue` makes it new")]
    Final,
    #[error("a consumer works it")]
    Held,
    #[error("it waits for its children")]
    Parked,
    #[error(
        "it does not wait in the queue of the settings: `redis-consumer job show` says where it is"
    )]
    Elsewhere,
}

impl NotClaimed {
    fn of(answer: &str) -> Self {
        match answer {
            "FINAL" => Self::Final,
            "HELD" => Self::Held,
            "PARKED" => Self::Parked,
            "ELSEWHERE" => Self::Elsewhere,
            _ => Self::Gone,
        }
    }
}

impl Queue {
    /// Takes a certain job of the queue into a slot, wherever it waits, and whether or not the queue is paused.
    pub(crate) async fn claim_job(
        &self,
        slot: usize,
        key: &JobKey,
    ) -> Result<Result<(Lease, RawFields), NotClaimed>, Error> {
        let keys = &self.inner.keys;
        let mut call = self.claiming(&CLAIM_JOB, slot);
        call.key(keys.parked())
            .key(&key.0)
            .arg(keys.processing_prefix());
        let answer: Answer = self.script("claim a job", &call).await?;
        Ok(answer.0.map(|(key, token, crashes, fields)| {
            let lease = Lease::new(self.clone(), JobKey(key), token, slot, crashes);
            (lease, fields)
        }))
    }
}

struct Answer(Result<Claimed, NotClaimed>);

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        Ok(Self(match value {
            claimed @ Value::Array(_) => Ok(FromRedisValue::from_redis_value(claimed)?),
            why => Err(NotClaimed::of(&String::from_redis_value(why)?)),
        }))
    }
}
