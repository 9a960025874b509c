//! Where one job is.

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
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

impl Admin {
    /// All fields of a job's hash; none if there is no such job.
    ///
    /// # Errors
    ///
    /// A key that holds something else, too.
    pub(crate) async fn job(&self, key: &JobKey) -> Result<RawFields, Error> {
        self.command("read a job", &Cmd::hgetall(&key.0)).await
    }

    /// All fields of many jobs; what is no job has none.
    pub(crate) async fn jobs(&self, keys: &[JobKey]) -> Result<Vec<RawFields>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| key.0.clone()).collect();
        let found = self
            .ask_each::<RawFields>(&keys, |key| Cmd::hgetall(key))
            .await?;
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

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
        let mut both = redis::pipe();
        both.zscore(keys.delayed(), &key.0)
            .zscore(keys.parked(), &key.0);
        let (delayed, parked): (Option<f64>, Option<f64>) =
            self.pipeline("look for a job", &both).await?;
        if let Some(until) = delayed {
            let until = until as u64;
            return Ok(Place::Delayed { queue, until });
        }
        if parked.is_some() {
            return Ok(Place::Parked { queue });
        }
        let served = Cmd::lrange(&queue, -SEARCHED, -1);
        let mut waiting: Vec<Vec<u8>> = self.command("look for a job", &served).await?;
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

    /// Puts a waiting job before all others of its queue. False if it does not wait there.
    pub(crate) async fn bump(&self, queue: &str, key: &JobKey) -> Result<bool, Error> {
        let mut both = redis::pipe();
        both.atomic().lrem(queue, 1, &key.0).rpush(queue, &key.0);
        let (removed, _): (u64, u64) = self.pipeline("move a job to the front", &both).await?;
        if removed == 0 {
            // It was not there, so it must not be there twice.
            let undone = Cmd::lrem(queue, -1, &key.0);
            self.command::<u64>("move a job to the front", &undone)
                .await?;
        }
        Ok(removed > 0)
    }

    /// Removes jobs, whatever is in them.
    pub(crate) async fn delete_jobs(&self, queue: &str, jobs: &[JobKey]) -> Result<(), Error> {
        let keys: Vec<_> = jobs.iter().map(|job| job.0.as_slice()).collect();
        let of_queue = Keys::new(queue);
        let mut all = redis::pipe();
        all.unlink(&keys)
            .zrem(of_queue.failed(), &keys)
            .zrem(of_queue.dead(), &keys);
        self.pipeline::<(u64, u64, u64)>("delete jobs", &all)
            .await
            .map(drop)
    }
}
