//! What is known of batches: names of keys, and fields of their hashes.

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
pub(crate) const FORCED: &str = "forced";
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
/// String: somebody reads its list.
pub(crate) const READING: &str = "reading";
/// Hash: causes of failures, and how many items each has met.
pub(crate) const WHY: &str = "why";

/// All that is known of the items of a stage.
pub(crate) const OF_STAGES: [&str; 10] = [
    DONE, OUT, FAILED, READY, AGAIN, SEEN, COUNTED, RECENT, KEPT, WHY,
];
