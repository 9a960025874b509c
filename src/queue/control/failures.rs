//! Jobs that have failed.

use std::ops::ControlFlow;

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use super::step::STEP;
use crate::cause::signature;
use crate::wire::{self, JobKey, Keys, RawFields, field};

/// A job that has failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) key: JobKey,
    /// When, in milliseconds since 1970.
    pub(crate) at: u64,
    pub(crate) fields: RawFields,
}

impl Failure {
    /// The class of what went wrong; that of a Python consumer's failure is not known.
    pub(crate) fn class(&self) -> String {
        let class = text(&self.fields, field::ERROR_CLASS);
        class.unwrap_or_else(|| "unknown".to_owned())
    }

    /// The reason, as users see it.
    pub(crate) fn reason(&self) -> String {
        text(&self.fields, field::REASON).unwrap_or_default()
    }

    /// The signature of what went wrong.
    pub(crate) fn why(&self) -> String {
        why(&self.fields)
    }

    /// Whether it is still one, by its fields.
    pub(super) fn has_failed(&self) -> bool {
        is_failed(&self.fields)
    }

    /// Whether this text is a part of its signature.
    pub(crate) fn is_of(&self, cause: &str) -> bool {
        self.why().contains(cause)
    }

    /// The file that the job is about.
    pub(crate) fn input(&self) -> String {
        text(&self.fields, field::INPUT_FILE_NAME).unwrap_or_default()
    }
}

/// All times: the largest number of milliseconds is one that Redis, which counts in floating point, does not round.
pub(crate) const EVER: (u64, u64) = (0, 1 << 52);

impl Admin {
    /// Some jobs of a queue that have failed in this span of time, the first ones first, after so many. Those that are not
    /// failed any more are left out, and the number that was looked at is given beside.
    pub(crate) async fn failures(
        &self,
        queue: &str,
        (since, until): (u64, u64),
        (offset, count): (usize, usize),
    ) -> Result<(Vec<Failure>, usize), Error> {
        let mut range = redis::cmd("ZRANGEBYSCORE");
        range
            .arg(Keys::new(queue).failed())
            .arg(since)
            .arg(until)
            .arg("WITHSCORES")
            .arg("LIMIT")
            .arg(offset)
            .arg(count);
        let found: Vec<(Vec<u8>, f64)> = self.command("look for failed jobs", &range).await?;
        let looked = found.len();
        let (keys, times): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let hashes = self
            .ask_each::<RawFields>(&keys, |key| Cmd::hgetall(key))
            .await?;
        let all = keys.into_iter().zip(times).zip(hashes);
        let failures = all.filter_map(|((key, at), fields)| {
            let fields = fields.filter(is_failed)?;
            Some(Failure {
                key: JobKey(key),
                at: at as u64,
                fields,
            })
        });
        Ok((failures.collect(), looked))
    }

    /// Hands over the failures of these queues in this span of time, the first ones of each queue first, until `each` wants no
    /// more.
    pub(crate) async fn each_failure<E: From<Error>>(
        &self,
        queues: &[String],
        span: (u64, u64),
        mut each: impl FnMut(&str, Failure) -> Result<bool, E>,
    ) -> Result<(), E> {
        for queue in queues {
            let mut offset = 0;
            loop {
                let (failures, looked) = self.failures(queue, span, (offset, STEP)).await?;
                for failure in failures {
                    if !each(queue, failure)? {
                        return Ok(());
                    }
                }
                offset += looked;
                if looked < STEP {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands over the failed jobs among all keys, some hundred keys at a time, until there are no more or `each` breaks off.
    pub(crate) async fn scan_failures(
        &self,
        mut each: impl FnMut(Vec<Failure>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut cursor = 0;
        loop {
            let (next, keys) = self.some_keys("*", cursor).await?;
            let failures = self.failed_among(keys).await?;
            if each(failures).is_break() || next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn failed_among(&self, mut keys: Vec<Vec<u8>>) -> Result<Vec<Failure>, Error> {
        keys.retain(|key| wire::split_ours(key).is_none());
        let statuses = self
            .ask_each::<Option<Vec<u8>>>(&keys, |key| Cmd::hget(key, field::STATUS))
            .await?;
        let mut has_failed = statuses
            .into_iter()
            .map(|status| status.flatten().is_some_and(|status| status == b"failed"));
        keys.retain(|_| has_failed.next().unwrap_or(false));
        let hashes = self
            .ask_each::<RawFields>(&keys, |key| Cmd::hgetall(key))
            .await?;
        let failures = keys.into_iter().zip(hashes).filter_map(|(key, fields)| {
            let fields = fields?;
            let stamps = [field::FINISHED_AT, field::UPDATED_AT];
            let age = stamps.iter().find_map(|name| {
                let stamp = fields.get(name.as_bytes())?;
                wire::age_of(stamp)
            });
            let age = age.map_or(0, wire::millis);
            Some(Failure {
                key: JobKey(key),
                at: wire::millis_since_1970().saturating_sub(age),
                fields,
            })
        });
        Ok(failures.collect())
    }

    /// Takes jobs off the list of failures of a queue.
    pub(crate) async fn forget_failures(&self, queue: &str, jobs: &[JobKey]) -> Result<u64, Error> {
        let keys: Vec<_> = jobs.iter().map(|job| job.0.as_slice()).collect();
        let forget = Cmd::zrem(Keys::new(queue).failed(), keys);
        self.command("forget failed jobs", &forget).await
    }
}

/// The signature of what went wrong with a job; that of a Python consumer's failure is made of its reason.
pub(crate) fn why(fields: &RawFields) -> String {
    text(fields, field::WHY)
        .unwrap_or_else(|| signature(&text(fields, field::REASON).unwrap_or_default()))
}

fn is_failed(fields: &RawFields) -> bool {
    fields
        .get(field::STATUS.as_bytes())
        .is_some_and(|status| status == b"failed")
}

fn text(fields: &RawFields, name: &str) -> Option<String> {
    let value = fields.get(name.as_bytes())?;
    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
}
