//! What programs are told of queues, jobs and batches: the objects of `--json` and of the API. Fields are only ever added.

use serde_json::{Value, json};

use super::batches::{BatchState, StageState};
use super::causes::Group;
use super::failures::Failure;
use super::overview::Overview;
use super::place::Place;
use super::save::SavedJob;
use super::selected::Changes;
use super::trash::Trash;
use super::workers::WorkerState;
use crate::figures::clock;
use crate::wire::{self, JobKey, RawFields, age_of, field, fields_to_json, text_of, timestamp};

/// The version of the form of saved queues.
pub(crate) const SAVE_VERSION: u64 = 1;

/// How queues and open batches fare.
pub(crate) fn status_to_json(overviews: &[Overview], batches: &[(String, BatchState)]) -> Value {
    let queues: Vec<_> = overviews.iter().map(Overview::to_json).collect();
    let batch = |(name, state): &(String, BatchState)| json!({ "batch": name, "state": state.state, "percent": state.percent() });
    let batches: Vec<_> = batches.iter().map(batch).collect();
    json!({ "at": timestamp(), "queues": queues, "batches": batches })
}

/// A job in a list.
pub(crate) fn job_to_json(key: &JobKey, queue: &str, fields: &RawFields) -> Value {
    json!({ "key": key.to_json(), "queue": queue, "fields": fields_to_json(fields) })
}

/// A job that could not be changed, and why.
pub(crate) fn exception_to_json(key: &JobKey, why: &str) -> Value {
    json!({ "event": "exception", "key": key.to_json(), "why": why })
}

/// The line with which a saved queue begins.
pub(crate) fn save_head(queue: &str) -> Value {
    json!({ "version": SAVE_VERSION, "queue": queue, "saved_at": timestamp() })
}

impl Overview {
    /// How the queue fares.
    pub(crate) fn to_json(&self) -> Value {
        let oldest = self.oldest.as_deref().and_then(age_of);
        let rates = &self.rates;
        json!({
            "queue": self.queue,
            "waiting": self.waiting,
            "running": self.running,
            "delayed": self.delayed,
            "parked": self.parked,
            "failed": self.failed,
            "dead": self.dead,
            "oldest_s": oldest.map(|age| age.as_secs_f64()),
            "rate_1m": rates.one_minute,
            "rate_5m": rates.five_minutes,
            "rate_15m": rates.fifteen_minutes,
            "done_today": rates.done_today,
            "failed_today": rates.failed_today,
            "eta_s": self.left().map(|left| left.as_secs_f64()),
            "workers": self.workers,
            "slots": self.slots,
            "paused": self.pause,
            "obstacles": self.obstacles,
        })
    }
}

impl Place {
    /// Where a job is; null for nowhere.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Waiting { queue, before } => {
                json!({ "in": "queue", "queue": queue, "before": before })
            }
            Self::Held { list } => json!({ "in": "processing", "list": list }),
            Self::Delayed { queue, until } => {
                json!({ "in": "delayed", "queue": queue, "until": clock(*until) })
            }
            Self::Parked { queue } => json!({ "in": "parked", "queue": queue }),
            Self::Nowhere => Value::Null,
        }
    }

    /// The job that is there, with all that is known of it.
    pub(crate) fn job_to_json(&self, key: &JobKey, queue: &str, fields: &RawFields) -> Value {
        json!({
            "key": key.to_json(),
            "queue": queue,
            "place": self.to_json(),
            "fields": fields_to_json(fields),
        })
    }
}

impl Failure {
    /// The failure of a job of this queue.
    pub(crate) fn to_json(&self, queue: &str) -> Value {
        json!({
            "key": self.key.to_json(),
            "queue": queue,
            "failed_at": clock(self.at),
            "class": self.class(),
            "why": self.why(),
            "reason": self.reason(),
            "input": self.input(),
        })
    }
}

impl Group {
    /// The cause, with its number among all.
    pub(crate) fn to_json(&self, number: usize) -> Value {
        json!({
            "number": number,
            "count": self.count,
            "class": self.class,
            "why": self.why,
            "first": clock(self.first),
            "last": clock(self.last),
            "example": self.example.to_json(),
        })
    }
}

impl WorkerState {
    /// The consumer, and the jobs that it holds.
    pub(crate) fn to_json(&self) -> Value {
        let held = self.held.iter().map(|job| {
            json!({
                "key": job.key.to_json(),
                "status": text_of(&job.fields, field::STATUS),
                "updated_at": text_of(&job.fields, field::UPDATED_AT),
                "input": text_of(&job.fields, field::INPUT_FILE_NAME),
            })
        });
        json!({
            "queue": self.queue,
            "name": self.name,
            "python": self.silent.is_none(),
            "silent_s": self.silent.map(|since| since.as_secs_f64()),
            "type": self.card.get("type"),
            "version": self.card.get("version"),
            "started": self.card.get("started"),
            "slots": self.number("slots"),
            "memory_bytes": self.number("memory"),
            "budget_bytes": self.number("budget"),
            "obstacle": self.obstacle(),
            "jobs": held.collect::<Vec<_>>(),
        })
    }
}

impl BatchState {
    /// The batch in a list.
    pub(crate) fn to_json(&self, name: &str) -> Value {
        let sum = |of: fn(&StageState) -> u64| self.sum(of);
        json!({
            "batch": name,
            "state": self.state,
            "by": self.created_by,
            "created": self.created,
            "ended": self.ended,
            "stages": self.stages.len(),
            "items": sum(|stage| stage.total),
            "out": sum(|stage| stage.out),
            "done": sum(|stage| stage.done),
            "failed": sum(|stage| stage.failed),
        })
    }

    /// How much of it is done.
    pub(crate) fn percent(&self) -> u64 {
        let total = self.sum(|stage| stage.total);
        self.sum(|stage| stage.done) * 100 / total.max(1)
    }

    /// Whether it has not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.state != wire::batch::FINISHED
    }
}

impl Trash {
    /// The queue that was purged.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "queue": self.queue, "purged_at": clock(self.purged), "entries": self.entries })
    }
}

impl Changes {
    /// What came of a command.
    pub(crate) fn to_json(self, is_dry: bool) -> Value {
        json!({
            "event": "ended",
            "verb": self.verb,
            "dry_run": is_dry,
            "matched": self.matched(),
            "changed": self.changed,
            "skipped": 0,
            "failed": self.failed,
        })
    }
}

impl SavedJob {
    /// The job on a line of a saved queue.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "key": self.key.to_json(),
            "place": self.place,
            "score": self.score,
            "ttl": self.ttl,
            "fields": fields_to_json(&self.fields),
        })
    }

    /// The same, read again.
    pub(crate) fn from_json(line: &str) -> Option<Self> {
        let mut value: Value = serde_json::from_str(line).ok()?;
        let fields = value["fields"].as_object()?;
        let fields: Option<RawFields> = fields
            .iter()
            .map(|(name, value)| Some((name.as_bytes().to_vec(), JobKey::from_json(value)?.0)))
            .collect();
        Some(Self {
            key: JobKey::from_json(&value["key"])?,
            score: value["score"].as_f64(),
            ttl: value["ttl"].as_i64(),
            fields: fields.filter(|fields| !fields.is_empty())?,
            place: serde_json::from_value(value["place"].take()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::save::SavedPlace;
    use super::*;

    #[test]
    fn a_job_is_read_as_it_was_written() {
        let fields = [("status", &b"new"[..]), ("label", &[0xff, 0, b'\n'])];
        let fields = fields.map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
        let job = SavedJob {
            key: JobKey(b"q:a \xff.tif:1".to_vec()),
            place: SavedPlace::Delayed,
            score: Some(1_790_000_000_000.0),
            ttl: Some(5000),
            fields: fields.into_iter().collect(),
        };
        assert_eq!(SavedJob::from_json(&job.to_json().to_string()), Some(job));
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"key":"a","place":"waiting","fields":{}}"#,
        ] {
            assert_eq!(SavedJob::from_json(wrong), None, "{wrong}");
        }
    }
}
