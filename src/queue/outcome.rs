//! What becomes of jobs: how a lease ends, and what is found without a consumer.

use std::time::Duration;

use crate::wire::JobKey;

/// What became of an attempt to settle a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The write took place.
    Committed,
    /// The hash has vanished (expired or deleted); the entry was dropped.
    Gone,
    /// The entry had been taken out of our list, or the job finished by others; nothing was written.
    Moved,
    /// Another consumer has claimed the job; nothing was written.
    Lost,
    /// The time to wait for has passed: the job is still held.
    AlreadyDue,
}

/// When a job that is returned is to be worked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAt {
    /// After this long, as an attempt at it has failed.
    After(Duration),
    /// At this time, in milliseconds since 1970 by the clock of Redis, as the job asks for it.
    Time(u64),
}

/// What was found without a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Jobs that are back in the queue, or come back after a delay.
    pub requeued: Vec<Requeued>,
    /// Entries that were final, gone or held by somebody else.
    pub dropped: Vec<JobKey>,
}

/// A job that was requeued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requeued {
    /// The key of the job's hash.
    pub key: JobKey,
    /// How its consumer was missed: `restart`, `lease`, `worker` or `unsettled`.
    pub cause: String,
    /// How often a consumer has died while it worked the job.
    pub crashes: u64,
}

impl Reclaimed {
    /// What a script has answered.
    pub(super) fn of(requeued: Vec<Vec<u8>>, dropped: Vec<Vec<u8>>) -> Self {
        let requeued = requeued.chunks_exact(3).map(|parts| Requeued {
            key: JobKey(parts[0].clone()),
            cause: text(&parts[1]),
            crashes: text(&parts[2]).parse().unwrap_or(0),
        });
        Self {
            requeued: requeued.collect(),
            dropped: dropped.into_iter().map(JobKey).collect(),
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.requeued.extend(other.requeued);
        self.dropped.extend(other.dropped);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
