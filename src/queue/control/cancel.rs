//! Jobs that are to end.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use super::step::STEP;
use crate::wire::{JobKey, Keys, RawFields, field, is_active, split_keys, timestamp};

static CANCEL_JOBS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/lists.lua"),
        include_str!("../scripts/children.lua"),
        include_str!("../scripts/batch.lua"),
        include_str!("../scripts/cancel_jobs.lua")
    ))
});

/// The class of error that jobs which were cancelled have, as the script spells it.
const CANCELLED: &str = "cancelled";

/// How long the children of a job that was cancelled are kept.
const CHILD_LIFETIME: Duration = Duration::from_secs(3600);

/// What became of a job that was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    Cancelled,
    /// Its consumer ends it at its next heartbeat.
    Asked,
    /// Its hash has vanished.
    Gone,
    /// It is final.
    Over,
    /// A consumer works it that cannot be asked.
    Foreign,
}

impl Cancel {
    fn of(answer: &str) -> Self {
        match answer {
            "OK" => Self::Cancelled,
            "ASKED" => Self::Asked,
            "GONE" => Self::Gone,
            "FOREIGN" => Self::Foreign,
            _ => Self::Over,
        }
    }

    /// Who has ended jobs and why, as their reasons say it.
    pub(crate) fn by(who: &str, why: &str) -> String {
        match why {
            "" => who.to_owned(),
            why => format!("{who}: {why}"),
        }
    }

    /// Why it was not cancelled; nothing if it was, or will be.
    pub(crate) fn obstacle(self) -> Option<&'static str> {
        Some(match self {
            Self::Cancelled | Self::Asked => return None,
            Self::Gone => "it has vanished (expired or deleted)",
            Self::Over => "it is final",
            Self::Foreign => "a Python consumer works it, which cannot be asked",
        })
    }
}

impl Admin {
    /// What would become of jobs that were cancelled, as far as their hashes tell.
    pub(crate) async fn would_cancel(&self, jobs: &[JobKey]) -> Result<Vec<Cancel>, Error> {
        let hashes = self.jobs(jobs).await?;
        let end = |fields: &RawFields| match fields.get(field::STATUS.as_bytes()) {
            None => Cancel::Gone,
            Some(_) if !is_active(fields) => Cancel::Over,
            Some(_) if fields.contains_key(field::TOKEN.as_bytes()) => Cancel::Asked,
            Some(_) => Cancel::Cancelled,
        };
        Ok(hashes.iter().map(end).collect())
    }

    /// Ends some jobs of a queue with the children that they wait for, and says of each what became of it.
    pub(crate) async fn cancel_jobs(
        &self,
        queue: &str,
        jobs: &[JobKey],
        by: &str,
    ) -> Result<Vec<Cancel>, Error> {
        let ends = self.cancel_step(queue, jobs, by).await?;
        let over = jobs.iter().zip(&ends);
        let over: Vec<_> = over
            .filter(|(_, end)| matches!(end, Cancel::Cancelled | Cancel::Over))
            .map(|(job, _)| job.0.clone())
            .collect();
        let names = [field::CHILDREN, field::ERROR_CLASS];
        let found = self
            .ask_each::<(Option<Vec<u8>>, Option<String>)>(&over, |key| Cmd::hmget(key, &names))
            .await?;
        for (list, class) in found.into_iter().flatten() {
            // Of a job that was cancelled before, the children may be left: the command was broken off.
            let list = list.filter(|_| class.is_some_and(|class| class == CANCELLED));
            let children: Vec<_> = split_keys(&list.unwrap_or_default()).map(JobKey).collect();
            for step in children.chunks(STEP) {
                self.cancel_children(step, by).await?;
            }
        }
        Ok(ends)
    }

    /// Ends children of a job that is over, and lets them expire.
    async fn cancel_children(&self, children: &[JobKey], by: &str) -> Result<(), Error> {
        let keys: Vec<_> = children.iter().map(|child| child.0.clone()).collect();
        let names = self
            .ask_each::<Option<String>>(&keys, |key| Cmd::hget(key, field::CHILD_QUEUE))
            .await?;
        let mut of_queue = BTreeMap::<String, Vec<JobKey>>::new();
        for (child, name) in children.iter().zip(names) {
            let queue = name.flatten().or_else(|| {
                let fields = RawFields::new();
                Self::queue_of(child, &fields, &[])
            });
            let queue = queue.unwrap_or_default();
            of_queue.entry(queue).or_default().push(child.clone());
        }
        for (queue, children) in of_queue {
            self.cancel_step(&queue, &children, by).await?;
        }
        let lifetime = i64::try_from(CHILD_LIFETIME.as_secs()).unwrap_or(i64::MAX);
        self.ask_each::<bool>(&keys, |key| Cmd::expire(key, lifetime))
            .await
            .map(drop)
    }

    async fn cancel_step(
        &self,
        queue: &str,
        jobs: &[JobKey],
        by: &str,
    ) -> Result<Vec<Cancel>, Error> {
        let keys = Keys::new(queue);
        let mut call = CANCEL_JOBS.key(queue);
        call.key(keys.leases())
            .key(keys.delayed())
            .key(keys.parked());
        call.arg(timestamp()).arg(by).arg(keys.processing_prefix());
        jobs.iter().for_each(|job| _ = call.arg(&job.0));
        let answers: Vec<String> = self.script("cancel_jobs", &call).await?;
        Ok(answers.iter().map(|answer| Cancel::of(answer)).collect())
    }
}
