//! The ends of an attempt at a job, with the fields that each of them leaves in the hash.

use std::time::Duration;

use super::children::Children;
use super::progress::Progress;
use crate::cause::signature;
use crate::error_class::ErrorClass;
use crate::queue::{self, RunAt, Settled};
use crate::traces;
use crate::wire::{Status, field, millis, millis_since_1970, timestamp};

/// A stored result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Key of the object in the bucket.
    pub key: String,
    /// Address from which the frontend and the label tool fetch it.
    pub url: String,
}

impl Output {
    /// None: the work has left its traces elsewhere.
    pub(crate) fn none() -> Self {
        let (key, url) = Default::default();
        Self { key, url }
    }
}

/// What is to become of a job.
#[derive(Debug)]
pub(crate) enum Settlement {
    /// It has a result.
    Done(Output),
    /// It goes on when these are final.
    Wait(Children),
    /// It is worked again later, with one more attempt or crash counted.
    Retry {
        reason: String,
        class: ErrorClass,
        after: Duration,
    },
    /// It has no result.
    Fail { reason: String, class: ErrorClass },
    /// It has no result though nothing is known to be wrong with it.
    DeadLetter { reason: String, class: ErrorClass },
    /// It is not to be worked before this time, in milliseconds since 1970.
    Reschedule(u64),
    /// It goes back to the queue.
    Release,
}

impl Progress {
    /// Settles the job, once. May be repeated after an error.
    pub(crate) async fn settle(&self, settlement: &Settlement) -> Result<Settled, queue::Error> {
        match settlement {
            Settlement::Done(output) => {
                let mut result = vec![
                    (field::OUTPUT_FILE_NAME, output.key.clone()),
                    (field::OUTPUT_URL, output.url.clone()),
                ];
                let quality = self.clock().quality.clone();
                result.extend(quality.map(|quality| (field::QUALITY, quality)));
                self.lease.ack(&self.end(Status::Done, result)).await
            }
            Settlement::Wait(children) => self.wait_for_children(children).await,
            Settlement::Retry {
                reason,
                class,
                after,
            } => self.retry(reason, *class, *after).await,
            Settlement::Fail {
                reason,
                class: class @ ErrorClass::Cancelled,
            } => self.lease.end_cancelled(&self.failed(reason, *class)).await,
            Settlement::Fail { reason, class } => {
                self.lease.fail(&self.failed(reason, *class)).await
            }
            Settlement::DeadLetter { reason, class } => {
                self.lease.dead_letter(&self.failed(reason, *class)).await
            }
            Settlement::Reschedule(time) => self.lease.nack(RunAt::Time(*time), &[]).await,
            Settlement::Release => self.lease.release().await,
        }
    }

    /// Gives the children of the job an expiry, if it has any; those that nobody has begun end.
    pub(crate) async fn expire_children(&self, lifetime: Duration) -> Result<(), queue::Error> {
        self.lease.expire_children(&self.children, lifetime).await
    }

    async fn wait_for_children(&self, children: &Children) -> Result<Settled, queue::Error> {
        let claimed = millis_since_1970().saturating_sub(millis(self.age()));
        self.write([(field::BEGUN, self.begun.unwrap_or(claimed).to_string())]);
        self.lease.wait_for_children(&children.0).await
    }

    /// What failed counts as one more attempt or, if the consumer died, one more crash.
    async fn retry(
        &self,
        reason: &str,
        class: ErrorClass,
        after: Duration,
    ) -> Result<Settled, queue::Error> {
        self.clock().failure = Some(class);
        let (counter, count) = match class {
            ErrorClass::Crash => (field::CRASHES, self.lease.crashes() + 1),
            _ => (field::ATTEMPTS, self.attempts + 1),
        };
        let last_line = reason.lines().last().unwrap_or_default();
        let fields = [
            (field::STATUS, self.resting.clone()),
            (counter, count.to_string()),
            (field::LAST_ERROR, format!("{class}: {last_line}")),
            (field::UPDATED_AT, timestamp()),
            (field::UPDATED_BY, self.lease.consumer().to_owned()),
        ];
        self.lease.nack(RunAt::After(after), &fields).await
    }

    fn failed(&self, reason: &str, class: ErrorClass) -> Vec<(&'static str, String)> {
        self.clock().failure = Some(class);
        let fields = vec![
            (field::REASON, reason.to_owned()),
            (field::ERROR_CLASS, class.to_string()),
            (field::WHY, signature(reason)),
        ];
        self.end(Status::Failed, fields)
    }

    /// The fields of a final status.
    fn end(
        &self,
        status: Status,
        mut fields: Vec<(&'static str, String)>,
    ) -> Vec<(&'static str, String)> {
        let now = timestamp();
        fields.extend([
            (field::FINISHED_AT, now.clone()),
            (field::UPDATED_AT, now),
            (field::UPDATED_BY, self.lease.consumer().to_owned()),
            (field::TOTAL_JOBS, self.children.len().max(1).to_string()),
        ]);
        let context = traces::context().remove(field::TRACEPARENT);
        fields.extend(context.map(|context| (field::TRACE, context)));
        let mut clock = self.clock();
        clock.change_status(status);
        if !clock.tells_of_children {
            let seconds = self.total_time().as_secs_f64();
            fields.push((field::TOTAL_TIME, seconds.to_string()));
        }
        fields.extend(clock.times());
        fields
    }
}
