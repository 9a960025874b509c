//! Jobs of a queue as they can be kept in a file, and put back.

use std::sync::LazyLock;

use redis::{Cmd, Script};
use serde::{Deserialize, Serialize};

use super::super::admin::Admin;
use super::super::error::Error;
use super::walk::Source;
use crate::wire::{self, JobKey, Keys, RawFields};

static RESTORE_JOBS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/restore_jobs.lua")
    ))
});

/// Where a saved job was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SavedPlace {
    Waiting,
    Delayed,
    Parked,
    Failed,
}

/// A job that was saved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SavedJob {
    pub(crate) key: JobKey,
    pub(crate) place: SavedPlace,
    /// The time that its place goes with, in milliseconds since 1970.
    pub(crate) score: Option<f64>,
    /// The time that its hash has left, in milliseconds.
    pub(crate) ttl: Option<i64>,
    pub(crate) fields: RawFields,
}

/// What became of a job that was to be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    Restored,
    /// A job of this key is there.
    Known,
    /// A consumer works it.
    Held,
}

impl Restore {
    /// Why it was not put back; nothing if it was.
    pub(crate) fn obstacle(self) -> Option<&'static str> {
        Some(match self {
            Self::Restored => return None,
            Self::Known => "a job of this key is there (--replace replaces it)",
            Self::Held => "a consumer works it",
        })
    }
}

impl SavedPlace {
    pub(crate) fn source(self) -> Source {
        match self {
            Self::Waiting => Source::Waiting,
            Self::Delayed => Source::Delayed,
            Self::Parked => Source::Parked,
            Self::Failed => Source::Failed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Parked => "parked",
            Self::Failed => "failed",
        }
    }

    /// The sorted set that it goes with.
    fn set(self, keys: &Keys) -> Option<String> {
        match self {
            Self::Waiting => None,
            Self::Delayed => Some(keys.delayed()),
            Self::Parked => Some(keys.parked()),
            Self::Failed => Some(keys.failed()),
        }
    }
}

impl Admin {
    /// Some jobs of a queue after so many others, as they are saved, and how many were looked at: what has no hash is left
    /// out.
    pub(crate) async fn jobs_to_save(
        &self,
        queue: &str,
        place: SavedPlace,
        offset: usize,
    ) -> Result<(Vec<SavedJob>, usize), Error> {
        let jobs = self.jobs_of(queue, place.source(), offset).await?;
        let keys: Vec<_> = jobs.iter().map(|job| job.0.clone()).collect();
        let hashes = self.jobs(&jobs).await?;
        let times = self.ask_each::<i64>(&keys, |key| Cmd::pttl(key)).await?;
        let scores = match place.set(&Keys::new(queue)) {
            Some(set) => {
                self.ask_each::<Option<f64>>(&keys, |key| Cmd::zscore(&set, key))
                    .await?
            }
            None => vec![None; keys.len()],
        };
        let looked = jobs.len();
        let all = jobs.into_iter().zip(hashes).zip(times).zip(scores);
        let saved = all.filter(|(((_, fields), _), _)| !fields.is_empty());
        let saved = saved.map(|(((key, fields), ttl), score)| SavedJob {
            key,
            place,
            score: score.flatten(),
            ttl: ttl.filter(|ttl| *ttl > 0),
            fields,
        });
        Ok((saved.collect(), looked))
    }

    /// Puts jobs back where they were, in this queue, and says of each what became of it.
    pub(crate) async fn restore_jobs(
        &self,
        queue: &str,
        jobs: &[SavedJob],
        mode: &str,
    ) -> Result<Vec<Restore>, Error> {
        let keys = Keys::new(queue);
        let mut call = RESTORE_JOBS.key(queue);
        call.key(keys.delayed())
            .key(keys.failed())
            .key(wire::QUEUES);
        call.arg(mode);
        for job in jobs {
            call.arg(&job.key.0)
                .arg(job.place.as_str())
                .arg(job.score.unwrap_or_default())
                .arg(job.ttl.unwrap_or(-1))
                .arg(job.fields.len());
            for (name, value) in &job.fields {
                call.arg(name).arg(value);
            }
        }
        let answers: Vec<String> = self.script("restore_jobs", &call).await?;
        let answers = answers.iter().map(|answer| match answer.as_str() {
            "OK" => Restore::Restored,
            "HELD" => Restore::Held,
            _ => Restore::Known,
        });
        Ok(answers.collect())
    }
}
