//! What operators do on pages. Each action says first what it would do and to how many, with the command that does the same, and
//! does it when that is confirmed; through the same functions as the commands.

mod batches;
mod choice;
mod confirmation;
mod jobs;
mod queues;

pub(super) use self::batches::{cancel_batch, pause_batch, resume_batch, start_stage};
pub(super) use self::jobs::{bump, cancel, forget, requeue};
pub(super) use self::queues::{move_jobs, pause, purge, resume, untrash};
