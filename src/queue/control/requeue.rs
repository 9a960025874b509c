//! Jobs that are to be worked once more.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{JobKey, Keys, RawFields, field, split_keys, timestamp};

static REQUEUE_JOBS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/rights.lua"),
        include_str!("../scripts/lists.lua"),
        include_str!("../scripts/renew.lua"),
        include_str!("../scripts/batch.lua"),
        include_str!("../scripts/requeue_jobs.lua")
    ))
});

/// At which end of its queue a job is put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// Behind all that wait.
    #[default]
    Back,
    /// Before all that wait.
    Front,
}

/// Which jobs may be requeued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that have failed.
    #[default]
    Failed,
    /// Also those that are not final and in no list.
    Any,
}

/// What is done again of a job that has children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum What {
    /// The children that have failed, if all are still there.
    #[default]
    FailedChildren,
    /// Everything.
    All,
}

/// What the options `front`, `force` and `all_children` mean, of a command as of a call.
pub(crate) fn how([front, force, all_children]: [bool; 3]) -> (End, Scope, What) {
    let end = if front { End::Front } else { End::Back };
    let scope = if force { Scope::Any } else { Scope::Failed };
    let what = match all_children {
        true => What::All,
        false => What::FailedChildren,
    };
    (end, scope, what)
}

/// What became of a job that was to be requeued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requeue {
    Requeued,
    /// Its hash has vanished.
    Gone,
    /// A consumer works it.
    Held,
    /// It is in the queue, delayed or parked.
    Waiting,
    /// It is done.
    Final,
    /// It is a part of another job, which has ended or knows already that it failed.
    Part,
    /// It has neither failed nor is it forced.
    Active,
}

impl Requeue {
    fn of(answer: &str) -> Self {
        match answer {
            "OK" => Self::Requeued,
            "GONE" => Self::Gone,
            "HELD" => Self::Held,
            "WAITING" => Self::Waiting,
            "FINAL" => Self::Final,
            "PART" => Self::Part,
            _ => Self::Active,
        }
    }

    /// Why it was not requeued; nothing if it was.
    pub(crate) fn obstacle(self) -> Option<&'static str> {
        Some(match self {
            Self::Requeued => return None,
            Self::Gone => "it has vanished (expired or deleted)",
            Self::Held => "a consumer works it",
            Self::Waiting => "it is waiting already",
            Self::Final => "it is done",
            Self::Part => {
                "it is a part of another job, which no longer waits for it: requeue that one when it has ended"
            }
            Self::Active => "it has not failed (--force requeues it if it is in no list)",
        })
    }
}

impl Admin {
    /// What would become of jobs that were requeued, as far as their hashes tell.
    pub(crate) async fn would_requeue(
        &self,
        jobs: &[JobKey],
        scope: Scope,
    ) -> Result<Vec<Requeue>, Error> {
        let hashes = self.jobs(jobs).await?;
        let end = |fields: &RawFields| {
            let value = |name: &str| fields.get(name.as_bytes()).map(Vec::as_slice);
            match value(field::STATUS) {
                None => Requeue::Gone,
                Some(b"failed") => Requeue::Requeued,
                Some(b"done")
                    if value(field::CHILDREN_FAILED).is_none_or(|count| count == b"0") =>
                {
                    Requeue::Final
                }
                Some(b"done") => Requeue::Requeued,
                Some(_) if value(field::TOKEN).is_some() => Requeue::Held,
                Some(_) if scope == Scope::Any => Requeue::Requeued,
                Some(_) => Requeue::Active,
            }
        };
        Ok(hashes.iter().map(end).collect())
    }

    /// Requeues some jobs of a queue, in this order, and says of each what became of it.
    pub(crate) async fn requeue_jobs(
        &self,
        queue: &str,
        jobs: &[JobKey],
        (end, scope, what): (End, Scope, What),
    ) -> Result<Vec<Requeue>, Error> {
        let parts = self.what_of_each(jobs, what).await?;
        let keys = Keys::new(queue);
        let mut call = REQUEUE_JOBS.key(queue);
        call.key(keys.leases())
            .key(keys.delayed())
            .key(keys.parked())
            .key(keys.failed())
            .key(keys.dead());
        call.arg(timestamp())
            .arg(match end {
                End::Back => "back",
                End::Front => "front",
            })
            .arg(match scope {
                Scope::Failed => "failed",
                Scope::Any => "any",
            })
            .arg(keys.processing_prefix());
        for (job, part) in jobs.iter().zip(parts) {
            call.arg(&job.0).arg(part);
        }
        let answers: Vec<String> = self.script("requeue_jobs", &call).await?;
        Ok(answers.iter().map(|answer| Requeue::of(answer)).collect())
    }

    /// What the script is to do with each job: a job without children starts over, and so does one whose children have
    /// vanished.
    async fn what_of_each(&self, jobs: &[JobKey], what: What) -> Result<Vec<&'static str>, Error> {
        if what == What::All {
            return Ok(vec!["all"; jobs.len()]);
        }
        let keys: Vec<_> = jobs.iter().map(|job| job.0.clone()).collect();
        let lists = self
            .ask_each::<Option<Vec<u8>>>(&keys, |key| Cmd::hget(key, field::CHILDREN))
            .await?;
        let families: Vec<Vec<Vec<u8>>> = lists
            .into_iter()
            .map(|list| split_keys(&list.flatten().unwrap_or_default()).collect())
            .collect();
        let children: Vec<_> = families.iter().flatten().cloned().collect();
        let found = self
            .ask_each::<bool>(&children, |key| Cmd::exists(key))
            .await?;
        let is_there: HashMap<_, _> = children.into_iter().zip(found).collect();
        Ok(families
            .iter()
            .map(|family| {
                let is_whole = family.iter().all(|child| is_there[child] == Some(true));
                if family.is_empty() || !is_whole {
                    "all"
                } else {
                    "children"
                }
            })
            .collect())
    }
}
