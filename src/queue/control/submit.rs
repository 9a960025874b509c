//! New jobs, and how those fare that somebody follows.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{self, JobKey, field};

static SUBMIT_JOBS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/submit_jobs.lua")));

/// A job that is to be queued.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    pub(crate) key: JobKey,
    /// What its hash is to hold.
    pub(crate) fields: Vec<(String, String)>,
}

impl NewEntry {
    /// Has it submitted at this time.
    pub(crate) fn stamp(&mut self, stamp: &str) {
        for (name, value) in &mut self.fields {
            if [field::CREATED_AT, field::UPDATED_AT].contains(&name.as_str()) {
                stamp.clone_into(value);
            }
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Submitted {
    Queued,
    /// There is a job of this key, with this status.
    Known(String),
}

/// Where a job stands, in a few words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) status: String,
    /// In per cent.
    pub(crate) progress: Option<u32>,
}

impl Admin {
    /// Queues jobs that are not known, some hundred at most, and says of each what became of it. All have this time stamp.
    pub(crate) async fn submit_jobs(
        &self,
        queue: &str,
        stamp: &str,
        jobs: &[NewEntry],
    ) -> Result<Vec<Submitted>, Error> {
        let mut call = SUBMIT_JOBS.key(queue);
        call.key(wire::QUEUES);
        jobs.iter().for_each(|job| _ = call.key(&job.key.0));
        call.arg(stamp);
        for job in jobs {
            call.arg(job.fields.len());
            for (name, value) in &job.fields {
                call.arg(name).arg(value);
            }
        }
        let answers: Vec<Vec<u8>> = self.script("submit_jobs", &call).await?;
        let answers = answers.into_iter().map(|answer| match &answer[..] {
            b"OK" => Submitted::Queued,
            status => Submitted::Known(String::from_utf8_lossy(status).into_owned()),
        });
        Ok(answers.collect())
    }

    /// Where jobs stand; nothing for those that are not there.
    pub(crate) async fn standings(&self, jobs: &[JobKey]) -> Result<Vec<Option<Standing>>, Error> {
        let keys: Vec<_> = jobs.iter().map(|job| job.0.clone()).collect();
        let ask = |key: &[u8]| {
            let mut ask = redis::cmd("HMGET");
            ask.arg(key).arg(field::STATUS).arg(field::PROGRESS);
            ask
        };
        let found = self
            .ask_each::<(Option<Vec<u8>>, Option<Vec<u8>>)>(&keys, ask)
            .await?;
        let standing = |(status, progress): (Option<Vec<u8>>, Option<Vec<u8>>)| {
            let progress = progress.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
            Some(Standing {
                status: String::from_utf8_lossy(&status?).into_owned(),
                progress,
            })
        };
        Ok(found
            .into_iter()
            .map(|found| found.and_then(standing))
            .collect())
    }

    /// Whether there is anything under this key.
    pub(crate) async fn exists(&self, key: &JobKey) -> Result<bool, Error> {
        self.command("look for a job", &Cmd::exists(&key.0)).await
    }
}
