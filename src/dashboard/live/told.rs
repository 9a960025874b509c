//! From what Redis has told to the objects of a topic: those that calls of the API answer.

use serde_json::{Value, json};

use super::super::pages::window::ROWS;
use super::super::pieces::job::queue_of;
use super::seen::Seen;
use super::slow::{Slow, part};
use super::topic::Topic;
use crate::queue::JobKey;
use crate::queue::control::{Overview, WorkerState};
use crate::wire::RawFields;

impl Seen {
    /// A topic and its object, null for what is not there; nothing if too little is known of it, or it has none.
    pub(super) fn told(&self, topic: &Topic, slow: &Slow) -> Option<Value> {
        let data = match topic {
            Topic::Queues(from) => self.queues_told(*from)?,
            Topic::Queue(name) => match self.names.contains(name) {
                true => self.overview(name)?.to_json(),
                false => Value::Null,
            },
            Topic::Job(key) => match self.jobs.get(key)? {
                none if none.is_empty() => Value::Null,
                fields => self.job_told(key, fields, slow)?,
            },
            Topic::Batches(from) => {
                let (total, batches) = slow.lists.get(from)?;
                let told = batches.iter().map(|(name, it)| it.to_json(name));
                let told: Vec<_> = told.collect();
                json!({ "batches": told, "next": next(*from, *total) })
            }
            Topic::Batch(name) => match self.batches.get(name) {
                Some(state) => self.standing(name, state, slow)?.to_json(name),
                None => Value::Null,
            },
            Topic::Workers => {
                let told = self.workers.iter().map(WorkerState::to_json);
                json!({ "workers": told.collect::<Vec<_>>() })
            }
            Topic::Overview | Topic::Chart(..) | Topic::Row(_) => return None,
        };
        Some(json!({ "topic": topic.text(), "data": data }))
    }

    fn queues_told(&self, from: usize) -> Option<Value> {
        let all: Option<Vec<_>> = part(&self.names, from)
            .map(|name| self.overview(name).map(Overview::to_json))
            .collect();
        let next = next(from, self.names.len() as u64);
        Some(json!({ "queues": all?, "next": next }))
    }

    fn job_told(&self, key: &JobKey, fields: &RawFields, slow: &Slow) -> Option<Value> {
        let queue = queue_of(key, fields, &self.names).unwrap_or_default();
        Some(slow.places.get(key)?.job_to_json(key, &queue, fields))
    }
}

/// Where the next part of a list begins, if there is one.
fn next(from: usize, total: u64) -> Option<usize> {
    let end = from + ROWS;
    (total > end as u64).then_some(end)
}
