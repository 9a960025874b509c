//! Jobs that somebody has chosen, and what came of a change to them.

use std::collections::{HashMap, HashSet};

use super::super::admin::Admin;
use super::super::error::Error;
use super::failures::why;
use super::step::STEP;
use crate::wire::JobKey;

/// Jobs that were selected, by queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selected(pub(crate) Vec<(String, JobKey)>);

impl Selected {
    /// Some hundred jobs at a time, each time of one queue.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&str, Vec<JobKey>)> {
        self.steps_of(STEP)
    }

    /// The same with so many at a time.
    pub(crate) fn steps_of(&self, size: usize) -> impl Iterator<Item = (&str, Vec<JobKey>)> {
        self.0
            .chunk_by(|a, b| a.0 == b.0)
            .flat_map(move |of_queue| of_queue.chunks(size))
            .map(|step| {
                let keys = step.iter().map(|(_, key)| key.clone()).collect();
                (step[0].0.as_str(), keys)
            })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// So many of these failed jobs, and the others. They are spread over the causes of failure: the first of each cause,
    /// then the second of each, and so on.
    pub(crate) async fn split_canary(
        self,
        admin: &Admin,
        count: usize,
    ) -> Result<(Self, Self), Error> {
        let mut seen = HashMap::<String, usize>::new();
        let mut ranked = Vec::with_capacity(self.len());
        for step in self.0.chunks(STEP) {
            let keys: Vec<_> = step.iter().map(|(_, key)| key.clone()).collect();
            for fields in admin.jobs(&keys).await? {
                let rank = seen.entry(why(&fields)).or_default();
                ranked.push((*rank, ranked.len()));
                *rank += 1;
            }
        }
        ranked.sort_unstable();
        let canary: HashSet<_> = ranked.iter().take(count).map(|(_, at)| *at).collect();
        let all = self.0.into_iter().enumerate();
        let (canary, rest): (Vec<_>, Vec<_>) = all.partition(|(at, _)| canary.contains(at));
        let jobs = |part: Vec<(usize, _)>| Self(part.into_iter().map(|(_, job)| job).collect());
        Ok((jobs(canary), jobs(rest)))
    }
}

/// How many jobs were changed, and how many could not be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes {
    /// What was done to jobs, such as `requeued`.
    pub(crate) verb: &'static str,
    pub(crate) changed: u64,
    pub(crate) failed: u64,
}

impl Changes {
    /// None so far.
    pub(crate) fn new(verb: &'static str) -> Self {
        Self {
            verb,
            changed: 0,
            failed: 0,
        }
    }

    pub(crate) fn matched(&self) -> u64 {
        self.changed + self.failed
    }

    /// The numbers, in a few words.
    pub(crate) fn summary(&self) -> String {
        let Self {
            changed,
            failed,
            verb,
        } = self;
        match failed {
            0 => format!("{changed} {verb}"),
            _ => format!("{changed} of {} {verb}, {failed} not", self.matched()),
        }
    }
}
