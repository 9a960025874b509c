//! Names of fields that only scripts write and read.
#![expect(dead_code, reason = "scripts spell them; a test holds them to these")]

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
