//! What operators do on pages. Each action says first what it would do and to how many, with the command that does the same, and
//! does it when that is confirmed; through the same functions as the commands.

mod batches;
mod check;
mod choice;
mod confirmation;
mod jobs;
pub(super) mod queues;

pub(super) use self::batches::{
    cancel_batch, operator, pause_batch, repair_batch, resume_batch, set_limits, start_stage,
};
pub(super) use self::check::check;
pub(super) use self::confirmation::{Outcome, Tally, finished};
pub(super) use self::jobs::{bump, cancel, cancel_selected, forget, requeue, requeue_selected};
pub(super) use self::queues::{move_jobs, pause, purge, resume, untrash};
