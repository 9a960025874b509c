//! Where one job is.

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use crate::figures::clock;
use crate::wire::{self, JobKey, Keys, RawFields, field};

/// How far the queue is searched from its served end.
const SEARCHED: isize = 10_000;

/// Where a job is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// In the queue, so many before it.
    Waiting { queue: String, before: usize },
    /// In a processing list.
    Held { list: String },
    /// It comes back at this time, in milliseconds since 1970.
    Delayed { queue: String, until: u64 },
    /// It waits for its children.
    Parked { queue: String },
    /// Nowhere: it is final, or lost, or far from the served end of a long queue.
    Nowhere,
}

impl Place {
    /// Where that is, in a few words; `is_over` if the job has ended.
    pub(crate) fn in_words(&self, is_over: bool) -> String {
        match self {
            Self::Waiting { queue, before: 0 } => format!("waits in {queue}, as the next one"),
            Self::Waiting { queue, before } => format!("waits in {queue}, {before} before it"),
            Self::Held { list } => format!("is held in {list}"),
            Self::Delayed { queue, until } => {
                format!("comes back to {queue} at {}", clock(*until))
            }
            Self::Parked { queue } => {
                format!("waits for its children, then goes on in {queue}")
            }
            Self::Nowhere if is_over => "is final".to_owned(),
            Self::Nowhere => {
                "is in no list, or far from the end of its queue that is served".to_owned()
            }
        }
    }
}

impl Admin {
    /// The queue that a job belongs to, among these.
    pub(crate) fn queue_of(key: &JobKey, fields: &RawFields, queues: &[String]) -> Option<String> {
        let owner = fields.get(field::OWNER.as_bytes());
        let owner = owner.map(|owner| String::from_utf8_lossy(owner).into_owned());
        if let Some(queue) = owner.as_deref().and_then(wire::queue_of_processing) {
            return Some(queue.to_owned());
        }
        let is_its = |queue: &&String| {
            let rest = key.0.strip_prefix(queue.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b":"))
        };
        let named = queues.iter().filter(is_its).max_by_key(|queue| queue.len());
        named.cloned().or_else(|| {
            let queue = key.0.split(|&byte| byte == b':').next()?;
            (queue.len() < key.0.len()).then(|| String::from_utf8_lossy(queue).into_owned())
        })
    }

    /// Where a job of a queue is.
    pub(crate) async fn place(
        &self,
        key: &JobKey,
        fields: &RawFields,
        queue: &str,
    ) -> Result<Place, Error> {
        let (keys, queue) = (Keys::new(queue), queue.to_owned());
        if let Some(list) = fields.get(field::OWNER.as_bytes()) {
            let list = String::from_utf8_lossy(list).into_owned();
            return Ok(Place::Held { list });
        }
        let mut all = redis::pipe();
        all.zscore(keys.delayed(), &key.0)
            .zscore(keys.parked(), &key.0)
            .lrange(&queue, -SEARCHED, -1);
        let (delayed, parked, mut waiting): (Option<f64>, Option<f64>, Vec<Vec<u8>>) =
            self.pipeline("look for a job", &all).await?;
        if let Some(until) = delayed {
            let until = until as u64;
            return Ok(Place::Delayed { queue, until });
        }
        if parked.is_some() {
            return Ok(Place::Parked { queue });
        }
        waiting.reverse();
        if let Some(before) = waiting.iter().position(|job| *job == key.0) {
            return Ok(Place::Waiting { queue, before });
        }
        self.processing_place(key, fields, &keys).await
    }

    /// In the list of a Python consumer, which has written its name.
    async fn processing_place(
        &self,
        key: &JobKey,
        fields: &RawFields,
        keys: &Keys,
    ) -> Result<Place, Error> {
        for name in [field::UPDATED_BY, field::IDENTITY_STARTED] {
            let Some(consumer) = fields.get(name.as_bytes()) else {
                continue;
            };
            let list = keys.processing(&String::from_utf8_lossy(consumer), 0);
            let entries: Result<Vec<Vec<u8>>, _> = self
                .command("look for a job", &Cmd::lrange(&list, 0, 99))
                .await;
            if entries.is_ok_and(|entries| entries.contains(&key.0)) {
                return Ok(Place::Held { list });
            }
        }
        Ok(Place::Nowhere)
    }
}
