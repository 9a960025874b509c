//! Jobs that are to end.

use std::sync::LazyLock;

use redis::Script;

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{JobKey, Keys, timestamp};

static CANCEL_JOBS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/children.lua"),
        include_str!("../scripts/cancel_jobs.lua")
    ))
});

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
    /// Ends some jobs of a queue, and says of each what became of it.
    pub(crate) async fn cancel_jobs(
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
