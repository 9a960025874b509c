//! The consumers of a queue, and what they work at.

use std::collections::HashMap;
use std::time::Duration;

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use super::super::settings::MOST_SLOTS;
use super::super::worker_card::OBSTACLE;
use crate::wire::{self, JobKey, Keys, RawFields};

/// A consumer of a queue.
#[derive(Clone, Debug)]
pub(crate) struct WorkerState {
    pub(crate) queue: String,
    pub(crate) name: String,
    /// Time since its last heartbeat; nothing for a Python consumer, which sends none.
    pub(crate) silent: Option<Duration>,
    /// When that came, in milliseconds since 1970.
    pub(crate) beat: Option<u64>,
    /// What it says of itself.
    pub(crate) card: HashMap<String, String>,
    pub(crate) held: Vec<HeldJob>,
}

/// A job that a consumer holds.
#[derive(Clone, Debug)]
pub(crate) struct HeldJob {
    pub(crate) key: JobKey,
    pub(crate) fields: RawFields,
}

/// A consumer that has sent no heartbeat for so long is silent.
const SILENT: Duration = Duration::from_secs(60);

impl WorkerState {
    /// Whether a consumer that sends heartbeats has sent none of late.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.is_some_and(|since| since > SILENT)
    }

    /// Why the consumer says that it cannot work, if it does.
    pub(crate) fn obstacle(&self) -> Option<&str> {
        let why = self.card.get(OBSTACLE)?;
        (!why.is_empty()).then_some(why.as_str())
    }

    /// A number that the consumer says of itself.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.card.get(name)?.parse().ok()
    }
}

impl Admin {
    /// The consumers of a queue that send heartbeats, in the order of their names.
    pub(crate) async fn workers(&self, queue: &str) -> Result<Vec<WorkerState>, Error> {
        let keys = Keys::new(queue);
        let now = self.now().await?;
        let all = Cmd::zrange_withscores(keys.workers(), 0, -1);
        let mut beats: Vec<(String, f64)> = self.command("look for consumers", &all).await?;
        beats.sort_by(|a, b| a.0.cmp(&b.0));
        let cards: Vec<_> = beats
            .iter()
            .map(|(name, _)| keys.worker(name).into_bytes())
            .collect();
        let cards = self
            .ask_each::<HashMap<String, String>>(&cards, |key| Cmd::hgetall(key))
            .await?;
        let mut workers = Vec::new();
        for ((name, beat), card) in beats.into_iter().zip(cards) {
            let card = card.unwrap_or_default();
            let slots = card.get("slots").and_then(|slots| slots.parse().ok());
            let slots = slots.unwrap_or(MOST_SLOTS).min(MOST_SLOTS);
            let lists = (0..slots).map(|slot| keys.processing(&name, slot).into_bytes());
            let held = self.held_in(&lists.collect::<Vec<_>>()).await?;
            workers.push(WorkerState {
                queue: queue.to_owned(),
                name,
                silent: Some(Duration::from_millis(now.saturating_sub(beat as u64))),
                beat: Some(beat as u64),
                card,
                held,
            });
        }
        Ok(workers)
    }

    /// What types of consumers serve two queues, if these are known and differ: jobs of the one are not for the other.
    pub(crate) async fn types_that_differ(
        &self,
        queues: [&str; 2],
    ) -> Result<Option<[String; 2]>, Error> {
        let mut types = Vec::new();
        for queue in queues {
            let workers = self.workers(queue).await?;
            types.extend(workers.iter().find_map(|it| it.card.get("type").cloned()));
        }
        let types: Result<[String; 2], _> = types.try_into();
        Ok(types.ok().filter(|[one, other]| one != other))
    }

    /// Consumers of all queues that send no heartbeats, known by their processing lists, by a look through all keys.
    pub(crate) async fn foreign_workers(&self) -> Result<Vec<WorkerState>, Error> {
        let lists = self.scan(&format!("{}*", wire::PROCESSING)).await?;
        let mut workers = Vec::new();
        for list in lists {
            let text = String::from_utf8_lossy(&list).into_owned();
            let Some(queue) = wire::queue_of_processing(&text) else {
                continue;
            };
            let name = wire::consumer_of_processing(&list);
            let beat = Cmd::zscore(Keys::new(queue).workers(), &name);
            let beat: Option<f64> = self.command("look for consumers", &beat).await?;
            if beat.is_some() {
                continue;
            }
            workers.push(WorkerState {
                queue: queue.to_owned(),
                name,
                silent: None,
                beat: None,
                card: HashMap::new(),
                held: self.held_in(&[list]).await?,
            });
        }
        Ok(workers)
    }

    async fn held_in(&self, lists: &[Vec<u8>]) -> Result<Vec<HeldJob>, Error> {
        let entries = self
            .ask_each::<Vec<Vec<u8>>>(lists, |list| Cmd::lrange(list, 0, 99))
            .await?;
        let keys: Vec<_> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(JobKey)
            .collect();
        let hashes = self.jobs(&keys).await?;
        let all = keys.into_iter().zip(hashes);
        Ok(all.map(|(key, fields)| HeldJob { key, fields }).collect())
    }
}
