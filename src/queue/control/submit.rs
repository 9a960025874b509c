//! New jobs, and how those fare that somebody follows.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{self, JobKey, Status, field};

static SUBMIT_JOBS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/submit_jobs.lua")));

/// What the name of a file ends with that goes to the queue of archives, and what that queue's name ends with.
const ARCHIVE: (&str, &str) = (".zip", "-zip");

/// What every submitter writes, and what it writes where nothing else is asked for.
const FIELDS: [(&str, &str); 13] = [
    (field::ORIGINAL_NAME, ""),
    (field::INPUT_FILE_NAME, ""),
    (field::URL, ""),
    (field::MODEL_NAME, ""),
    (field::MODEL_VERSION, ""),
    (field::PREPROCESS_FUNCTION, ""),
    (field::POSTPROCESS_FUNCTION, ""),
    (field::CUTS, "0"),
    (field::LABEL, ""),
    (field::SCALE, ""),
    (field::CHANNELS, ""),
    (field::DIMENSION_ORDER, ""),
    (field::SEGMENTATION_TYPE, ""),
];

/// A job that is to be queued.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    pub(crate) key: JobKey,
    /// What its hash is to hold.
    pub(crate) fields: Vec<(String, String)>,
}

impl NewEntry {
    /// A job with the fields that every submitter writes, and what is asked for.
    pub(crate) fn new(
        key: JobKey,
        asked: impl IntoIterator<Item = (String, String)>,
        (stamp, host): (&str, &str),
    ) -> Self {
        let begin = [
            (field::STATUS, Status::New.as_str()),
            (field::CREATED_AT, stamp),
            (field::UPDATED_AT, stamp),
            (field::IDENTITY_UPLOAD, host),
        ];
        let all = FIELDS.iter().chain(&begin);
        let mut fields: Vec<_> = all
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        for (name, value) in asked {
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => fields.push((name, value)),
            }
        }
        Self { key, fields }
    }

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

/// The queue for an input of this name: archives have one of their own.
pub(crate) fn queue_for(queue: &str, name: &str) -> String {
    let is_archive = name.to_ascii_lowercase().ends_with(ARCHIVE.0);
    match is_archive && !queue.ends_with(ARCHIVE.1) {
        true => format!("{queue}{}", ARCHIVE.1),
        false => queue.to_owned(),
    }
}

/// The name of a queue without what tells that it is of archives.
pub(crate) fn type_of(queue: &str) -> &str {
    queue.strip_suffix(ARCHIVE.1).unwrap_or(queue)
}

/// The name of this machine, by which a job tells where it was submitted.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_go_to_their_own_queue() {
        assert_eq!(queue_for("q", "a.ZIP"), "q-zip");
        assert_eq!(queue_for("q-zip", "a.zip"), "q-zip");
        assert_eq!(queue_for("q", "zip.tif"), "q");
    }
}
