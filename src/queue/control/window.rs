//! What fits on a page: some jobs and what is shown of them, in one or two round trips however much there is.

use redis::{Cmd, FromRedisValue as _};

use super::super::admin::Admin;
use super::super::error::Error;
use super::super::tally::REMEMBERED;
use super::failures::Failure;
use super::walk::Source;
use crate::wire::{JobKey, Keys, RawFields, Status, field};

/// What lists show of a job. Its other fields may be large.
const SHOWN: [&str; 8] = [
    field::STATUS,
    field::PROGRESS,
    field::UPDATED_AT,
    field::INPUT_FILE_NAME,
    field::ERROR_CLASS,
    field::REASON,
    field::WHY,
    field::OWNER,
];

/// What it takes to look at a result.
const LOOKED: [&str; 7] = [
    field::STATUS,
    field::INPUT_FILE_NAME,
    field::OUTPUT_FILE_NAME,
    field::FINISHED_AT,
    field::DIMENSION_ORDER,
    field::CHANNELS,
    field::QUALITY,
];

/// What changes of a job while it is worked, and what it is to be known by. The list of its children may be large, and does not.
const WATCHED: [&str; 25] = [
    field::STATUS,
    field::PROGRESS,
    field::UPDATED_AT,
    field::UPDATED_BY,
    field::CREATED_AT,
    field::FINISHED_AT,
    field::IDENTITY_STARTED,
    field::INPUT_FILE_NAME,
    field::OUTPUT_FILE_NAME,
    field::LOG_FILE_NAME,
    field::DOWNLOAD_TIME,
    field::PREPROCESS_TIME,
    field::PREDICTION_TIME,
    field::POSTPROCESS_TIME,
    field::CHILDREN_UPLOAD_TIME,
    field::UPLOAD_TIME,
    field::CLEANUP_TIME,
    field::CHILDREN_DONE,
    field::CHILDREN_FAILED,
    field::PARENT,
    field::BATCH,
    field::ATTEMPTS,
    field::LOG,
    field::NOTE,
    field::OWNER,
];

/// What tells how long the stages of a job took.
const TIMES: [&str; 10] = [
    field::STATUS,
    field::CREATED_AT,
    field::FINISHED_AT,
    field::DOWNLOAD_TIME,
    field::PREPROCESS_TIME,
    field::PREDICTION_TIME,
    field::POSTPROCESS_TIME,
    field::CHILDREN_UPLOAD_TIME,
    field::UPLOAD_TIME,
    field::CLEANUP_TIME,
];

/// Failures of some queues, the last ones first.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatestFailures {
    pub(crate) failures: Vec<(String, Failure)>,
    /// How many there are in all.
    pub(crate) total: u64,
}

impl Admin {
    /// Some jobs of a queue, so many after so many others of the same source, with what lists show of them.
    pub(crate) async fn window(
        &self,
        queue: &str,
        source: Source,
        window: (usize, usize),
    ) -> Result<Vec<(JobKey, RawFields)>, Error> {
        let keys = self.some_jobs_of(queue, source, window).await?;
        let fields = self.shown_fields(&keys).await?;
        Ok(keys.into_iter().zip(fields).collect())
    }

    /// What lists show of some jobs; nothing of those that have vanished.
    pub(crate) async fn shown_fields(&self, keys: &[JobKey]) -> Result<Vec<RawFields>, Error> {
        self.these_fields(keys, &SHOWN).await
    }

    /// What it takes to look at the results of some jobs.
    pub(crate) async fn looked_fields(&self, keys: &[JobKey]) -> Result<Vec<RawFields>, Error> {
        self.these_fields(keys, &LOOKED).await
    }

    /// What changes of some jobs while they are worked.
    pub(crate) async fn watched_fields(&self, keys: &[JobKey]) -> Result<Vec<RawFields>, Error> {
        self.these_fields(keys, &WATCHED).await
    }

    /// How long the stages of those jobs of a queue took that were done last and are still there.
    pub(crate) async fn recent_times(&self, queue: &str) -> Result<Vec<RawFields>, Error> {
        let last = REMEMBERED as isize - 1;
        let recent = Cmd::zrevrange(Keys::new(queue).recent(), 0, last);
        let keys: Vec<Vec<u8>> = self.command("look for jobs that are done", &recent).await?;
        let keys: Vec<_> = keys.into_iter().map(JobKey).collect();
        let mut found = self.these_fields(&keys, &TIMES).await?;
        // Others have vanished, or are worked once more.
        let done = Status::Done.as_str().as_bytes();
        found
            .retain(|fields| fields.get(field::STATUS.as_bytes()).map(Vec::as_slice) == Some(done));
        Ok(found)
    }

    async fn these_fields(&self, keys: &[JobKey], names: &[&str]) -> Result<Vec<RawFields>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| key.0.clone()).collect();
        let found = self
            .ask_each::<Vec<Option<Vec<u8>>>>(&keys, |key| Cmd::hmget(key, names))
            .await?;
        let fields = |values: Option<Vec<Option<Vec<u8>>>>| {
            let pairs = names.iter().zip(values.unwrap_or_default());
            pairs
                .filter_map(|(name, value)| Some((name.as_bytes().to_vec(), value?)))
                .collect()
        };
        Ok(found.into_iter().map(fields).collect())
    }

    /// The last failures of these queues, so many at most, and how many there are in all. Those that are not failed any more are
    /// left out.
    pub(crate) async fn latest_failures(
        &self,
        queues: &[String],
        most: usize,
    ) -> Result<LatestFailures, Error> {
        let (found, total) = self.latest_failed(queues, most).await?;
        let keys: Vec<_> = found.iter().map(|(_, key, _)| key.clone()).collect();
        let (front, back) = keys.split_at(keys.len() / 2);
        let (front, back) = futures::try_join!(self.shown_fields(front), self.shown_fields(back))?;
        let fields = front.into_iter().chain(back);
        let failures = found.into_iter().zip(fields);
        let failures = failures.map(|((queue, key, at), fields)| {
            let failure = Failure { key, at, fields };
            (queue, failure)
        });
        Ok(LatestFailures {
            failures: failures.filter(|(_, it)| it.has_failed()).collect(),
            total,
        })
    }

    /// Queues, keys and times of the last ones, and how many there are.
    async fn latest_failed(
        &self,
        queues: &[String],
        most: usize,
    ) -> Result<(Vec<(String, JobKey, u64)>, u64), Error> {
        let operation = "look for failed jobs";
        if queues.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let mut all = redis::pipe();
        for queue in queues {
            let key = Keys::new(queue).failed();
            all.zcard(&key);
            all.zrevrange_withscores(&key, 0, most as isize - 1);
        }
        let answers: Vec<redis::Value> = self.pipeline(operation, &all).await?;
        let (mut found, mut total) = (Vec::new(), 0);
        for (queue, pair) in queues.iter().zip(answers.chunks_exact(2)) {
            let pair = redis::Value::Array(pair.to_vec());
            let (count, listed) = Listed::from_redis_value(pair)
                .map_err(|error| Error::refused(operation)(error.into()))?;
            total += count;
            let listed = listed.into_iter();
            found.extend(listed.map(|(key, at)| (queue.clone(), JobKey(key), at as u64)));
        }
        found.sort_by_key(|(_, _, at)| std::cmp::Reverse(*at));
        found.truncate(most);
        Ok((found, total))
    }
}

/// How many have failed, and the last of them with their times.
type Listed = (u64, Vec<(Vec<u8>, f64)>);
