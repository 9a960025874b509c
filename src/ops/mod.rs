//! Commands for those who run a Kiosk: looking after jobs and queues, keeping order, checking, measuring.

mod bench;
mod cancel;
mod check;
mod connect;
mod desk;
mod exec_test;
mod failed;
mod fetch;
mod fsck;
mod janitor;
mod job;
mod job_log;
mod promote_delayed;
mod queue;
mod queue_file;
mod requeue;
mod status;
mod submit;
mod watch;
mod workers;

pub(crate) use self::bench::{BenchArguments, bench};
pub(crate) use self::cancel::{CancelArguments, cancel};
pub(crate) use self::check::{CheckArguments, check};
pub(crate) use self::desk::{Misuse, Refused, Span};
pub(crate) use self::exec_test::{ExecTestArguments, exec_test};
pub(crate) use self::failed::{FailedArguments, failed};
pub(crate) use self::fsck::{FsckArguments, fsck};
pub(crate) use self::janitor::{JanitorArguments, JanitorSettings, janitor};
pub(crate) use self::job::{JobCommand, job};
pub(crate) use self::promote_delayed::promote_delayed;
pub(crate) use self::queue::{QueueCommand, queue};
pub(crate) use self::requeue::{RequeueArguments, requeue};
pub(crate) use self::status::{StatusArguments, status};
pub(crate) use self::submit::{SubmitArguments, submit};
pub(crate) use self::watch::{WatchArguments, watch};
pub(crate) use self::workers::{WorkersArguments, workers};
