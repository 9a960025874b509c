//! What a stage says about its items' work, the same in the file and in the resolved plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::{Amount, Interval};

/// How the items of a stage are worked. Texts are templates where it says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Template: the identity of an item in its batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Template: `input_file_name` of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Templates: fields of the job's hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Template: the longest time of one attempt, such as `3m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Template: memory that the worker sets aside, such as `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Template: how often an item may be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<String>,
    /// Template: how many workers may die of an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crashes: Option<String>,
    /// Whether an item is worked again after the death of its worker.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rerun: Rerun,
    /// What an item leaves in the bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expect>,
    /// What is looked at before the batch is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<Verify>,
    /// How much of it may be under way.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limit: Limit,
    /// Failures that hold the stage.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_after: StopAfter,
    /// What a failed item means to the stages above.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    /// How many items of the stages below may have failed when the barrier opens.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_failed: Amount,
    /// Who starts the stage.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trigger: Trigger,
    /// Whether its jobs go to the front of their queue.
    #[serde(default, skip_serializing_if = "is_default")]
    pub first: bool,
    /// How many finished jobs stay to be looked at.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep: Keep,
    /// Whether the job of a group gets a file with its children as input.
    #[serde(default, skip_serializing_if = "is_default")]
    pub manifest: bool,
    /// Template: by what the members of a group are ordered. A single `{{ … }}` compares values, anything else texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Whether the list is read only when the barrier opens.
    #[serde(default, skip_serializing_if = "is_default")]
    pub late: bool,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether an item is worked again after the death of its worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rerun {
    /// As often as `crashes` allows.
    #[default]
    Always,
    /// It fails, for a person to look at.
    Never,
}

/// What a failed item means to the stages above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They wait for it.
    #[default]
    Wait,
    /// They go on without it.
    GoOn,
}

/// Who starts a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// It starts by itself.
    #[default]
    Auto,
    /// A person.
    Manual,
}

/// An output, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expect {
    /// The job's own result.
    Result(ResultWord),
    /// One object.
    Key(ExpectKey),
    /// So many objects.
    Prefix(ExpectPrefix),
}

/// The word `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultWord {
    /// The word.
    #[serde(rename = "result")]
    Result,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectKey {
    /// Template: its key.
    pub key: String,
    /// Bytes that it has at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<u64>,
}

/// So many objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectPrefix {
    /// Template: what their keys begin with.
    pub prefix: String,
    /// Template: how many there are.
    pub count: String,
    /// Glob that the rest of a key matches.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
}

/// A rule that is looked at before the batch is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Inputs are there.
    Exists,
    /// Somebody works the queue.
    Workers,
    /// Redis and the bucket have room.
    Room,
    /// All items are looked at, rather than a sample of a long list.
    All(bool),
    /// Inputs have such sizes, in bytes.
    Size(Bounds),
    /// Inputs' names end so.
    Suffix(Vec<String>),
    /// Inputs are such images.
    Image(ImageRule),
    /// The model server has these, as `name:version`.
    Model(Vec<String>),
    /// A program that takes the item as JSON and ends with 0.
    Command(Vec<String>),
}

/// Sizes, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// The greatest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

/// What an image is to be; absent is anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRule {
    /// Orders of axes, such as `XY`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<String>,
    /// How many channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Interval>,
    /// How many frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<Interval>,
    /// Types of pixels, such as `u16`.
    #[serde(default, rename = "type", skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

/// How much of a stage may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The longest that the queue may get by feeding.
    #[serde(default = "queue_limit", skip_serializing_if = "is_queue_limit")]
    pub queue: u64,
    /// Items in the queue or at work; 0 is no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub at_once: u64,
    /// How `at_once` is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
}

fn queue_limit() -> u64 {
    Limit::default().queue
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_queue_limit(queue: &u64) -> bool {
    *queue == queue_limit()
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            queue: 10_000,
            at_once: 0,
            ramp: None,
        }
    }
}

/// `from`, and `by` times as much after each `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// The first limit.
    pub from: u64,
    /// The factor of each step.
    pub by: u64,
    /// Seconds between the steps.
    pub every: u64,
}

impl Limit {
    /// Items that may be under way so many seconds after the stage has begun; 0 is no limit.
    pub fn at(&self, elapsed: u64) -> u64 {
        let Some(ramp) = self.ramp else {
            return self.at_once;
        };
        let steps = elapsed / ramp.every.max(1);
        let limit = u32::try_from(steps)
            .ok()
            .and_then(|steps| ramp.by.checked_pow(steps)?.checked_mul(ramp.from));
        match (limit, self.at_once) {
            (Some(limit), 0) => limit,
            (Some(limit), most) => limit.min(most),
            (None, most) => most,
        }
    }
}

/// Failures that hold a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopAfter {
    /// So many of one cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_cause: Option<u64>,
    /// So many, or such a share of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Amount>,
}

/// What of finished items stays in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Jobs that are done.
    pub done: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { done: 1000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_ends_at_the_limit() {
        let limit = Limit {
            at_once: 4000,
            ramp: Some(Ramp {
                from: 50,
                by: 2,
                every: 120,
            }),
            ..Limit::default()
        };
        assert_eq!((limit.at(0), limit.at(119), limit.at(120)), (50, 50, 100));
        assert_eq!((limit.at(12 * 60), limit.at(14 * 60)), (3200, 4000));
        assert_eq!(limit.at(u64::MAX), 4000);
    }

    #[test]
    fn what_is_as_usual_is_not_written() {
        let json = serde_json::to_string(&Work::default()).unwrap();
        assert_eq!(json, "{}");
    }
}
