//! Single jobs: read, put first, let go, deleted.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{JobKey, Keys, RawFields};

static BUMP_JOB: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/bump_job.lua")));
static EXPIRE_JOB: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/expire_job.lua")));

/// What became of a job's hash that somebody does not need any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It goes then.
    Set,
    /// It stays as long as its batch says.
    Kept,
    /// It stays: the job has not ended.
    Open,
    /// There is no such job.
    Gone,
}

impl Admin {
    /// All fields of a job's hash; none if there is no such job.
    ///
    /// # Errors
    ///
    /// A key that holds something else, too.
    pub(crate) async fn job(&self, key: &JobKey) -> Result<RawFields, Error> {
        self.command("read a job", &Cmd::hgetall(&key.0)).await
    }

    /// All fields of many jobs; what is no job has none.
    pub(crate) async fn jobs(&self, keys: &[JobKey]) -> Result<Vec<RawFields>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| key.0.clone()).collect();
        let found = self
            .ask_each::<RawFields>(&keys, |key| Cmd::hgetall(key))
            .await?;
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Some fields of a job; none has a value if it is no job.
    pub(crate) async fn fields_of(
        &self,
        key: &JobKey,
        names: &[&str],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let ask = |key: &[u8]| {
            let mut ask = redis::cmd("HMGET");
            ask.arg(key).arg(names);
            ask
        };
        let keys = [key.0.clone()];
        let found = self.ask_each::<Vec<Option<Vec<u8>>>>(&keys, ask).await?;
        let found = found.into_iter().next().flatten();
        Ok(found.unwrap_or_else(|| vec![None; names.len()]))
    }

    /// Lets the hash of a job that has ended go after so many seconds.
    pub(crate) async fn expire_job(&self, key: &JobKey, seconds: u32) -> Result<Expiry, Error> {
        let mut call = EXPIRE_JOB.key(&key.0);
        call.arg(seconds);
        let answer: String = self.script("expire_job", &call).await?;
        Ok(match answer.as_str() {
            "OK" => Expiry::Set,
            "KEPT" => Expiry::Kept,
            "OPEN" => Expiry::Open,
            _ => Expiry::Gone,
        })
    }

    /// Puts a waiting job before all others of its queue. False if it does not wait there.
    pub(crate) async fn bump(&self, queue: &str, key: &JobKey) -> Result<bool, Error> {
        let mut call = BUMP_JOB.key(queue);
        call.arg(&key.0);
        self.script("bump_job", &call).await
    }

    /// Removes jobs, whatever is in them.
    pub(crate) async fn delete_jobs(&self, queue: &str, jobs: &[JobKey]) -> Result<(), Error> {
        let keys: Vec<_> = jobs.iter().map(|job| job.0.as_slice()).collect();
        let of_queue = Keys::new(queue);
        let mut all = redis::pipe();
        all.unlink(&keys)
            .zrem(of_queue.failed(), &keys)
            .zrem(of_queue.dead(), &keys);
        self.pipeline::<(u64, u64, u64)>("delete jobs", &all)
            .await
            .map(drop)
    }
}
