//! The jobs of a queue, by where they are, some hundred at a time.

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use super::step::STEP;
use crate::wire::{JobKey, Keys};

/// Where jobs of a queue are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the queue; the next one first.
    Waiting,
    /// Held by consumers that take leases; whose lease ends next comes first.
    Running,
    /// To come back later; the next one first.
    Delayed,
    /// Waiting for their children.
    Parked,
    /// Failed; the last one first.
    Failed,
}

impl Source {
    /// Everything that is not final.
    pub(crate) const ACTIVE: [Self; 4] =
        [Self::Running, Self::Delayed, Self::Parked, Self::Waiting];

    fn slice(self, keys: &Keys, (offset, count): (usize, usize)) -> Cmd {
        let (first, last) = (offset as isize, (offset + count) as isize - 1);
        match self {
            Self::Waiting => Cmd::lrange(keys.queue(), -1 - last, -1 - first),
            Self::Running => Cmd::zrange(keys.leases(), first, last),
            Self::Delayed => Cmd::zrange(keys.delayed(), first, last),
            Self::Parked => Cmd::zrange(keys.parked(), first, last),
            Self::Failed => Cmd::zrevrange(keys.failed(), first, last),
        }
    }
}

impl Admin {
    /// Some jobs of a queue after so many others of the same source; none when there are no more.
    pub(crate) async fn jobs_of(
        &self,
        queue: &str,
        source: Source,
        offset: usize,
    ) -> Result<Vec<JobKey>, Error> {
        self.some_jobs_of(queue, source, (offset, STEP)).await
    }

    /// So many jobs of a queue after so many others of the same source.
    pub(super) async fn some_jobs_of(
        &self,
        queue: &str,
        source: Source,
        window: (usize, usize),
    ) -> Result<Vec<JobKey>, Error> {
        let slice = source.slice(&Keys::new(queue), window);
        let mut found: Vec<Vec<u8>> = self.command("look for jobs", &slice).await?;
        if source == Source::Waiting {
            found.reverse();
        }
        Ok(found.into_iter().map(JobKey).collect())
    }
}
