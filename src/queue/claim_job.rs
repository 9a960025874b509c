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

/// What a claim of a certain job has come to.
pub(crate) enum JobClaim {
    Claimed(Box<Lease>, RawFields),
    /// Its hash has vanished.
    Gone,
    /// It has ended.
    Final,
    /// A consumer works it.
    Held,
    /// It waits for its children.
    Parked,
    /// It does not wait in this queue.
    Elsewhere,
}

impl JobClaim {
    /// Why the job was not claimed; nothing if it was.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        Some(match self {
            Self::Claimed(..) => return None,
            Self::Gone => {
                "there is no such job: it has expired, was deleted, or the key is mistyped"
            }
            Self::Final => "it has ended: `redis-consumer requeue` makes it new",
            Self::Held => "a consumer works it",
            Self::Parked => "it waits for its children",
            Self::Elsewhere => {
                "it does not wait in the queue of the settings: `redis-consumer job show` says where it is"
            }
        })
    }
}

impl Queue {
    /// Takes a certain job of the queue into a slot, wherever it waits, and whether or not the queue is paused.
    pub(crate) async fn claim_job(&self, slot: usize, key: &JobKey) -> Result<JobClaim, Error> {
        let keys = &self.inner.keys;
        let mut call = self.claiming(&CLAIM_JOB, slot);
        call.key(keys.parked())
            .key(&key.0)
            .arg(keys.processing_prefix());
        let answer: Answer = self.script("claim a job", &call).await?;
        Ok(match answer {
            Answer::Claimed((key, token, crashes, fields)) => {
                let lease = Lease::new(self.clone(), JobKey(key), token, slot, crashes);
                JobClaim::Claimed(Box::new(lease), fields)
            }
            Answer::Not(why) => match why.as_str() {
                "FINAL" => JobClaim::Final,
                "HELD" => JobClaim::Held,
                "PARKED" => JobClaim::Parked,
                "ELSEWHERE" => JobClaim::Elsewhere,
                _ => JobClaim::Gone,
            },
        })
    }
}

enum Answer {
    Claimed(Claimed),
    Not(String),
}

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        Ok(match value {
            claimed @ Value::Array(_) => Self::Claimed(FromRedisValue::from_redis_value(claimed)?),
            why => Self::Not(FromRedisValue::from_redis_value(why)?),
        })
    }
}
