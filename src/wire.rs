//! The words that every program of a Kiosk reads and writes in Redis: fields and statuses of a job's hash, time stamps, and the
//! names of keys.
//!
//! Producers, Python consumers, the janitor, the autoscaler and the exporter know most of them; those that begin with `rc` are
//! ours alone. `docs/job-hash.md` explains them to users.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Display};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use crate::untrusted;

/// Names of the fields of a job's hash.
pub(crate) mod field {
    // What a submitter writes.
    pub(crate) const CHANNELS: &str = "channels";
    pub(crate) const COMPARTMENT: &str = "compartment";
    pub(crate) const CREATED_AT: &str = "created_at";
    pub(crate) const CUTS: &str = "cuts";
    pub(crate) const DIMENSION_ORDER: &str = "dimension_order";
    pub(crate) const IDENTITY_UPLOAD: &str = "identity_upload";
    pub(crate) const INPUT_FILE_NAME: &str = "input_file_name";
    pub(crate) const LABEL: &str = "label";
    pub(crate) const MODEL_NAME: &str = "model_name";
    pub(crate) const MODEL_VERSION: &str = "model_version";
    pub(crate) const NOT_BEFORE: &str = "not_before";
    pub(crate) const ORIGINAL_NAME: &str = "original_name";
    pub(crate) const POSTPROCESS_FUNCTION: &str = "postprocess_function";
    pub(crate) const PREPROCESS_FUNCTION: &str = "preprocess_function";
    pub(crate) const SCALE: &str = "scale";
    pub(crate) const SEGMENTATION_TYPE: &str = "segmentation_type";
    pub(crate) const TRACEPARENT: &str = "traceparent";
    pub(crate) const TRACESTATE: &str = "tracestate";
    pub(crate) const URL: &str = "url";

    // What a consumer writes.
    pub(crate) const CLEANUP_TIME: &str = "cleanup_time";
    pub(crate) const DIM_ORDER: &str = "dim_order";
    pub(crate) const DOWNLOAD_TIME: &str = "download_time";
    pub(crate) const ERROR_CLASS: &str = "error_class";
    pub(crate) const FAILURES: &str = "failures";
    pub(crate) const FINISHED_AT: &str = "finished_at";
    pub(crate) const IDENTITY_STARTED: &str = "identity_started";
    pub(crate) const LOG_FILE_NAME: &str = "log_file_name";
    pub(crate) const OUTPUT_FILE_NAME: &str = "output_file_name";
    pub(crate) const OUTPUT_URL: &str = "output_url";
    pub(crate) const POSTPROCESS_TIME: &str = "postprocess_time";
    pub(crate) const PREDICT_RETRIES: &str = "predict_retries";
    pub(crate) const PREDICTION_TIME: &str = "prediction_time";
    pub(crate) const PREPROCESS_TIME: &str = "preprocess_time";
    pub(crate) const PROGRESS: &str = "progress";
    pub(crate) const REASON: &str = "reason";
    pub(crate) const STATUS: &str = "status";
    pub(crate) const TOTAL_JOBS: &str = "total_jobs";
    pub(crate) const TOTAL_TIME: &str = "total_time";
    pub(crate) const UPDATED_AT: &str = "updated_at";
    pub(crate) const UPDATED_BY: &str = "updated_by";
    pub(crate) const UPLOAD_TIME: &str = "upload_time";

    // What is known of children.
    pub(crate) const CHILDREN: &str = "children";
    pub(crate) const CHILDREN_DONE: &str = "children_done";
    pub(crate) const CHILDREN_FAILED: &str = "children_failed";
    /// Whether the first failure of a child ends the wait of its parent.
    pub(crate) const CHILDREN_FAIL_FAST: &str = "children_fail_fast";
    /// The parent's progress when all children are final, in per cent.
    pub(crate) const CHILDREN_PROGRESS: &str = "children_progress";
    pub(crate) const CHILDREN_TOTAL: &str = "children_total";
    pub(crate) const CHILDREN_UPLOAD_TIME: &str = "children_upload_time";
    pub(crate) const PARENT: &str = "parent";

    // What only our consumers and commands write and read.
    /// An operator has requeued the job so that its failed children are tried again.
    pub(crate) const AGAIN: &str = "rc_again";
    /// Attempts that have failed with a transient error.
    pub(crate) const ATTEMPTS: &str = "rc_attempts";
    /// The batch of which the job is an item.
    pub(crate) const BATCH: &str = "rc_batch";
    /// Which item of its batch the job is: number of the stage, number of the item.
    pub(crate) const ITEM: &str = "rc_item";
    /// When a job that waits for children was claimed first, in milliseconds since 1970.
    pub(crate) const BEGUN: &str = "rc_begun";
    /// The queue that a parent chose for a child.
    pub(crate) const CHILD_QUEUE: &str = "rc_child_queue";
    /// How often the job was claimed.
    pub(crate) const CLAIMS: &str = "rc_claims";
    /// The claim under which a parent is creating children.
    pub(crate) const CREATING: &str = "rc_creating";
    /// Consumers that have died while they worked the job.
    pub(crate) const CRASHES: &str = "rc_crashes";
    /// Keys that the job's results have to have, one a line; those below a prefix if it ends in `/`.
    pub(crate) const EXPECT: &str = "rc_expect";
    pub(crate) const LAST_ERROR: &str = "rc_last_error";
    /// The last lines that the job's command has written.
    pub(crate) const LOG: &str = "rc_log";
    /// What the job's command says beside its progress.
    pub(crate) const NOTE: &str = "rc_note";
    /// In place of `MAX_ATTEMPTS`.
    pub(crate) const MAX_ATTEMPTS: &str = "rc_attempts_max";
    /// In place of `MAX_CRASHES`.
    pub(crate) const MAX_CRASHES: &str = "rc_crashes_max";
    /// Bytes that are set aside in `MEMORY_BUDGET` while the job is worked.
    pub(crate) const MEMORY: &str = "rc_memory";
    /// The processing list that holds the entry of a claimed job.
    pub(crate) const OWNER: &str = "rc_owner";
    /// How good the result seems to be, as JSON.
    pub(crate) const QUALITY: &str = "rc_quality";
    /// To which round of its parent's children a job belongs.
    pub(crate) const ROUND: &str = "rc_round";
    /// The longest time of one attempt, in seconds.
    pub(crate) const TIMEOUT: &str = "rc_timeout";
    /// The right to write to the job.
    pub(crate) const TOKEN: &str = "rc_token";
    /// The span of a trace that was that of the job's work, for its parent.
    pub(crate) const TRACE: &str = "rc_trace";
    /// The signature of what made the job fail, by which failures are grouped.
    pub(crate) const WHY: &str = "rc_why";
}

/// Names of fields that only scripts write and read.
#[expect(dead_code, reason = "scripts spell them; a test holds them to these")]
pub(crate) mod script_field {
    /// Items of its batch that are told of the job's end: number of the stage, number of the item, how many it waits for.
    pub(crate) const UP: &str = "rc_up";
    /// The claim of its parent under which a child was created.
    pub(crate) const BIRTH: &str = "rc_birth";
    /// Who wants the job to end, and why.
    pub(crate) const CANCEL: &str = "rc_cancel";
    /// Keys of the children that are done, as Python consumers list them.
    pub(crate) const CHILD_KEYS_DONE: &str = "children:done";
    /// Keys of the children that have failed, as Python consumers list them.
    pub(crate) const CHILD_KEYS_FAILED: &str = "children:failed";
    /// How long the job was to wait when it was delayed last, in milliseconds.
    pub(crate) const DELAY: &str = "rc_delay";
    /// The token that committed the final status.
    pub(crate) const DONE_BY: &str = "rc_done_by";
    /// Not of a job: from when leases may be judged again, after a pause in which nobody looked.
    pub(crate) const JUDGE_FROM: &str = "judge_from";
    /// The token that released the job last.
    pub(crate) const LET_GO: &str = "rc_let_go";
    /// Not of a job: when somebody looked for expired leases last.
    pub(crate) const LOOKED_AT: &str = "looked_at";
    /// The queue to which a job that waits for children goes back.
    pub(crate) const QUEUE: &str = "rc_queue";
    /// How often an operator has requeued the job.
    pub(crate) const REQUEUED: &str = "rc_requeued";
}

/// Fields that say how one job fares, rather than what is to be done. The worker writes them; children do not inherit them.
const BOOKKEEPING: [&str; 16] = [
    field::CREATED_AT,
    field::DIM_ORDER,
    field::ERROR_CLASS,
    field::FAILURES,
    field::FINISHED_AT,
    field::LOG_FILE_NAME,
    field::NOT_BEFORE,
    field::OUTPUT_FILE_NAME,
    field::OUTPUT_URL,
    field::PARENT,
    field::PROGRESS,
    field::REASON,
    field::STATUS,
    field::TOTAL_JOBS,
    field::UPDATED_AT,
    field::UPDATED_BY,
];

/// Whether a field says how one job fares, rather than what is to be done.
pub(crate) fn is_bookkeeping(field: &str) -> bool {
    BOOKKEEPING.contains(&field)
        || ["rc_", "children", "identity_"]
            .iter()
            .any(|prefix| field.starts_with(prefix))
        || (field.ends_with("_time") && !is_of_result(field))
}

/// Whether a field is one that a command hands out beside its result.
pub(crate) fn is_of_result(field: &str) -> bool {
    field.starts_with("x_")
}

/// The key of a job's hash: bytes that nobody parses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JobKey(pub Vec<u8>);

impl JobKey {
    /// A name for the job that is the same each time it is run, for the places of its parts.
    pub(crate) fn stable_id(&self) -> String {
        let digest = Sha256::digest(&self.0);
        let bytes = digest.iter().take(16);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where the result goes, unless its consumer has a reason for another place.
    pub(crate) fn usual_result(&self) -> String {
        format!("output/{}.zip", self.stable_id())
    }

    /// The key for programs that read JSON: text, or `{"base64": …}` if it is none.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match std::str::from_utf8(&self.0) {
            Ok(text) => text.into(),
            Err(_) => serde_json::json!({ "base64": BASE64_STANDARD.encode(&self.0) }),
        }
    }

    /// A key as [`Self::to_json`] gives it.
    pub(crate) fn from_json(value: &serde_json::Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Some(Self(text.as_bytes().to_vec()));
        }
        BASE64_STANDARD
            .decode(value["base64"].as_str()?)
            .ok()
            .map(Self)
    }

    /// The key for other programs; for people it is displayed.
    pub(crate) fn as_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

/// For logs and messages: a key holds the user's name of a file.
impl Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        untrusted::name(untrusted::Bytes(&self.0)).fmt(f)
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The fields of a job's hash as Redis holds them.
pub type RawFields = HashMap<Vec<u8>, Vec<u8>>;

/// Where a job stands, as the frontend shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Submitted and not yet claimed.
    New,
    /// Claimed; the input is being fetched.
    Started,
    /// Pixels are being prepared.
    PreProcessing,
    /// The model is being run.
    Predicting,
    /// The model's predictions are being turned into objects.
    PostProcessing,
    /// The result is being packed and uploaded.
    SavingResults,
    /// The job waits for children that it has created.
    Waiting,
    /// Finished with a result.
    Done,
    /// Finished without one; `reason` says why.
    Failed,
}

impl Status {
    /// The word in the hash.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Started => "started",
            Self::PreProcessing => "pre-processing",
            Self::Predicting => "predicting",
            Self::PostProcessing => "post-processing",
            Self::SavingResults => "saving-results",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The field that takes the seconds spent with this status.
    pub(crate) fn time_field(self) -> Option<&'static str> {
        match self {
            Self::Started => Some(field::DOWNLOAD_TIME),
            Self::PreProcessing => Some(field::PREPROCESS_TIME),
            Self::Predicting => Some(field::PREDICTION_TIME),
            Self::PostProcessing => Some(field::POSTPROCESS_TIME),
            Self::SavingResults => Some(field::UPLOAD_TIME),
            Self::New | Self::Waiting | Self::Done | Self::Failed => None,
        }
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a status, as a hash has it, says that nothing more will be written.
pub(crate) fn is_final(status: Option<&[u8]>) -> bool {
    let finals = [Status::Done, Status::Failed];
    status.is_some_and(|status| finals.iter().any(|end| end.as_str().as_bytes() == status))
}

/// What the name of a processing list begins with; the queue, a colon and the rest follow.
pub(crate) const PROCESSING: &str = "processing-";

/// What the name of the set of a parent's pending children begins with; the parent's key follows.
const PENDING: &str = "rc:pending:";

/// Set: the names of all queues that consumers of ours have served.
pub(crate) const QUEUES: &str = "rc:queues";
/// Sorted set: lists that were queues until they were purged, by when.
pub(crate) const TRASH: &str = "rc:trash";
/// Sorted set: batches, by when they were created.
pub(crate) const BATCHES: &str = "rc:batches";
/// Stream: what operators have changed.
pub(crate) const AUDIT: &str = "rc:audit";

/// What is known of batches: names of keys, and fields of their hashes.
pub(crate) mod batch {
    /// Hash: the batch.
    pub(crate) fn head(name: &str) -> String {
        format!("rc:batch:{name}")
    }

    /// String: its plan, as JSON.
    pub(crate) fn plan(name: &str) -> String {
        format!("{}:plan", head(name))
    }

    /// What is known of the items of a stage.
    pub(crate) fn of_stage(name: &str, stage: usize, what: &str) -> String {
        format!("{}:{stage}:{what}", head(name))
    }

    /// The name of a field of the batch's hash that belongs to one stage.
    pub(crate) fn stage_field(stage: usize, name: &str) -> String {
        format!("{stage}:{name}")
    }

    // Fields of the batch.
    pub(crate) const STATE: &str = "state";
    pub(crate) const DIGEST: &str = "digest";
    pub(crate) const CREATED: &str = "created";
    pub(crate) const CREATED_BY: &str = "created_by";
    pub(crate) const ENDED_AT: &str = "ended_at";
    pub(crate) const PRIORITY: &str = "priority";
    pub(crate) const REVISION: &str = "revision";
    pub(crate) const STAGES: &str = "stages";

    // States of a batch.
    pub(crate) const RUNNING: &str = "running";
    pub(crate) const PAUSED: &str = "paused";
    pub(crate) const CANCELLED: &str = "cancelled";
    pub(crate) const FINISHED: &str = "finished";

    // Fields of a stage, some of which are marks of its items as well.
    pub(crate) const NAME: &str = "name";
    pub(crate) const QUEUE: &str = "queue";
    pub(crate) const TOTAL: &str = "total";
    pub(crate) const NEXT: &str = "next";
    pub(crate) const BITS: &str = "bits";
    pub(crate) const KEEP: &str = "keep";
    pub(crate) const GO_ON: &str = "go_on";
    pub(crate) const SAME: &str = "same";
    pub(crate) const MOST: &str = "most";
    pub(crate) const STARTED: &str = "started";
    pub(crate) const BEGAN: &str = "began";
    pub(crate) const ENDED: &str = "ended";
    pub(crate) const HELD: &str = "held";
    pub(crate) const VANISHED: &str = "vanished";

    /// Items that are done.
    pub(crate) const DONE: &str = "done";
    /// Items whose job is queued or worked.
    pub(crate) const OUT: &str = "out";
    /// Items that have failed.
    pub(crate) const FAILED: &str = "failed";
    /// Items all of whose children have ended.
    pub(crate) const READY: &str = "ready";
    /// Items that are to be fed once more.
    pub(crate) const AGAIN: &str = "again";
    /// For each item, how many of its children have ended.
    pub(crate) const SEEN: &str = "seen";
    /// Items that stages above were told of, where failed ones count.
    pub(crate) const COUNTED: &str = "counted";
    /// List: jobs that are done, the latest first.
    pub(crate) const RECENT: &str = "recent";
    /// List: jobs that have failed, the latest first.
    pub(crate) const KEPT: &str = "kept";
    /// Hash: causes of failures, and how many items each has met.
    pub(crate) const WHY: &str = "why";

    /// All that is known of the items of a stage.
    pub(crate) const OF_STAGES: [&str; 10] = [
        DONE, OUT, FAILED, READY, AGAIN, SEEN, COUNTED, RECENT, KEPT, WHY,
    ];
}

/// Names of the keys that belong to one queue.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    queue: String,
}

impl Keys {
    pub(crate) fn new(queue: impl Into<String>) -> Self {
        Self {
            queue: queue.into(),
        }
    }

    /// The list of waiting jobs, which is the name of the queue.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    /// Sorted set: claimed jobs by the end of their lease, in milliseconds.
    pub(crate) fn leases(&self) -> String {
        self.ours("lease")
    }

    /// Sorted set: jobs that come back at a time, in milliseconds.
    pub(crate) fn delayed(&self) -> String {
        self.ours("delayed")
    }

    /// Sorted set: jobs that wait for their children, by the next look at these.
    pub(crate) fn parked(&self) -> String {
        self.ours("parked")
    }

    /// Sorted set: jobs that were given up, by when.
    pub(crate) fn dead(&self) -> String {
        self.ours("dead")
    }

    /// Sorted set: jobs that have failed, by when; those that were given up among them.
    pub(crate) fn failed(&self) -> String {
        self.ours("failed")
    }

    /// String: there while nothing is to be claimed, and says who wants that and why.
    pub(crate) fn paused(&self) -> String {
        self.ours("paused")
    }

    /// Hash: what a consumer says of itself.
    pub(crate) fn worker(&self, consumer: &str) -> String {
        format!("{}:{consumer}", self.ours("worker"))
    }

    /// Hash: how many jobs have ended in each minute of an hour since 1970.
    pub(crate) fn history(&self, hour: u64) -> String {
        format!("{}:{hour}", self.ours("hist"))
    }

    /// Hash: how many jobs have ended on each day.
    pub(crate) fn days(&self) -> String {
        self.ours("days")
    }

    /// List: what the queue was when it was purged, at this time in milliseconds since 1970.
    pub(crate) fn trash(&self, purged: u64) -> String {
        format!("{}:{purged}", self.ours("trash"))
    }

    /// List: what the queue was when some of its jobs were being moved to another.
    pub(crate) fn moving(&self) -> String {
        self.ours("moving")
    }

    /// Sorted set: stages of batches that may be fed into the queue, by their priority.
    pub(crate) fn feed(&self) -> String {
        self.ours("feed")
    }

    /// Lock of the consumer that looks for items of batches that have ended unnoticed.
    pub(crate) fn items_lock(&self) -> String {
        self.ours("ilock")
    }

    /// Sorted set: consumers by their last heartbeat.
    pub(crate) fn workers(&self) -> String {
        self.ours("workers")
    }

    /// Consumers that have fallen silent with nothing left in their lists, by when that was seen.
    pub(crate) fn gone(&self) -> String {
        self.ours("gone")
    }

    /// Lock of the consumer that looks for expired leases.
    pub(crate) fn reclaim_lock(&self) -> String {
        self.ours("rlock")
    }

    /// Hash: when somebody looked for expired leases last, by the clock of Redis.
    pub(crate) fn clock(&self) -> String {
        self.ours("clock")
    }

    /// Lock of the consumer that looks through all keys.
    pub(crate) fn scan_lock(&self) -> String {
        self.ours("sweep")
    }

    /// A key that is never written, to try scripts on.
    pub(crate) fn probe(&self) -> String {
        self.ours("check")
    }

    /// A key to try commands on, which is there for a moment; each number has its own.
    pub(crate) fn trial(&self, number: u64) -> String {
        self.ours(&format!("check-{number:x}"))
    }

    /// Every key of the queue that is ours alone.
    pub(crate) fn all_ours(&self) -> [String; 13] {
        [
            self.leases(),
            self.delayed(),
            self.parked(),
            self.dead(),
            self.failed(),
            self.gone(),
            self.paused(),
            self.days(),
            self.workers(),
            self.reclaim_lock(),
            self.items_lock(),
            self.clock(),
            self.scan_lock(),
        ]
    }

    /// What the names of the queue's processing lists begin with.
    pub(crate) fn processing_prefix(&self) -> String {
        format!("{PROCESSING}{}:", self.queue)
    }

    /// The processing list of one slot of a consumer. Slot 0 has the list that a Python consumer of this name would have; the
    /// others are named so that the janitor still finds the pod, and the autoscaler counts the slot.
    pub(crate) fn processing(&self, consumer: &str, slot: usize) -> String {
        let prefix = self.processing_prefix();
        match slot {
            0 => format!("{prefix}{consumer}"),
            _ => format!("{prefix}slot{slot}:{consumer}"),
        }
    }

    fn ours(&self, what: &str) -> String {
        format!("rc:{what}:{}", self.queue)
    }
}

/// What a key of ours is for, and the queue or job that it belongs to: `lease` and `q` of `rc:lease:q`.
pub(crate) fn split_ours(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = key.strip_prefix(b"rc:")?;
    let colon = rest.iter().position(|&byte| byte == b':')?;
    Some((&rest[..colon], &rest[colon + 1..]))
}

/// The keys in a list of children.
pub(crate) fn split_keys(list: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    list.split(|&byte| byte == b',')
        .filter(|key| !key.is_empty())
        .map(<[u8]>::to_vec)
}

/// The queue of a processing list.
pub(crate) fn queue_of_processing(list: &str) -> Option<&str> {
    list.strip_prefix(PROCESSING)?.split(':').next()
}

/// The consumer of a processing list.
pub(crate) fn consumer_of_processing(list: &[u8]) -> String {
    let name = String::from_utf8_lossy(list);
    name.rsplit(':').next().unwrap_or_default().to_owned()
}

/// Set: the children of a job that are not final yet.
pub(crate) fn pending(parent: &JobKey) -> Vec<u8> {
    [PENDING.as_bytes(), parent.0.as_slice()].concat()
}

/// The time as every writer of a job's hash gives it: UTC with microseconds and offset.
pub(crate) fn timestamp() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// How long ago a time stamp of a hash was; nothing if it is not a time stamp.
pub(crate) fn age_of(stamp: &[u8]) -> Option<Duration> {
    let stamp: jiff::Timestamp = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    Some(Duration::try_from(jiff::Timestamp::now().duration_since(stamp)).unwrap_or_default())
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 by the clock of this machine.
pub(crate) fn millis_since_1970() -> u64 {
    jiff::Timestamp::now().as_millisecond().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamps_have_six_digits_and_an_offset() {
        let text = timestamp();
        assert_eq!(
            text.len(),
            "2023-07-12T16:31:13.123456+00:00".len(),
            "{text}"
        );
        assert!(
            text.ends_with("+00:00") && text.parse::<jiff::Timestamp>().is_ok(),
            "{text}"
        );
        assert!(age_of(text.as_bytes()).is_some_and(|age| age < Duration::from_secs(60)));
        assert_eq!(age_of(b"yesterday"), None);
    }

    #[test]
    fn a_key_is_displayed_as_one_short_line_and_handed_on_whole() {
        let key = JobKey(b"q:a\n2026-01-01 ERROR forged\x1b[2J.tif:1".to_vec());
        assert_eq!(
            key.to_string(),
            "q:a\\n2026-01-01 ERROR forged\\x1b[2J.tif:1"
        );
        assert_eq!(key.as_text().as_bytes(), key.0);
        let long = JobKey(vec![b'k'; 200_000]);
        assert!(long.to_string().len() < 250 && format!("{long:?}").len() < 250);
    }

    #[test]
    fn the_first_slot_has_the_list_of_a_python_consumer() {
        let keys = Keys::new("q");
        assert_eq!(keys.processing("pod-1", 0), "processing-q:pod-1");
        assert_eq!(keys.processing("pod-1", 2), "processing-q:slot2:pod-1");
        assert_eq!(consumer_of_processing(b"processing-q:slot2:pod-1"), "pod-1");
        assert_eq!(queue_of_processing("processing-q:slot2:pod-1"), Some("q"));
        assert_eq!(split_ours(b"rc:lease:q"), Some((&b"lease"[..], &b"q"[..])));
    }
}
