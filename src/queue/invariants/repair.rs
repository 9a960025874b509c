//! Repairs of what was found.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::super::admin::Admin;
use super::super::error::Error;
use super::{Finding, Remedy};
use crate::wire::{self, JobKey, Keys};

static REPAIR: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../scripts/lists.lua"),
        include_str!("../scripts/repair.lua")
    ))
});
static REQUEUE_LOST: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/requeue_lost.lua")));

/// Lost jobs that one script puts back.
const CHUNK: usize = 500;

/// What can be done about several jobs of a queue at once: where each stands among the findings, and the job.
#[derive(Default)]
struct OfQueue<'a> {
    lost: Vec<(usize, &'a JobKey, &'a [u8])>,
    late: Vec<(usize, &'a JobKey)>,
}

impl Admin {
    /// Repairs what was found, and says of each whether it did. It did not if it was not so any more, or is for a person to
    /// decide.
    pub async fn repair(&self, findings: &[Finding], lease: Duration) -> Result<Vec<bool>, Error> {
        let mut repaired = vec![false; findings.len()];
        let mut queues = BTreeMap::<&str, OfQueue<'_>>::new();
        for (index, finding) in findings.iter().enumerate() {
            let job = &finding.job;
            match &finding.remedy {
                Remedy::Queue { queue, updated_at } => {
                    let of_queue = queues.entry(queue).or_default();
                    of_queue.lost.push((index, job, updated_at));
                }
                Remedy::Reclaim(queue) => {
                    queues.entry(queue).or_default().late.push((index, job));
                }
                Remedy::ClearToken => repaired[index] = self.repair_one("token", job, b"").await?,
                Remedy::Remove(place) => {
                    repaired[index] = self.repair_one("member", job, place).await?;
                }
                Remedy::None => {}
            }
        }
        for (queue, of_queue) in queues {
            let lost = self.requeue_lost(queue, &of_queue.lost).await?;
            let late = self.reclaim_late(queue, &of_queue.late, lease).await?;
            lost.into_iter()
                .chain(late)
                .for_each(|index| repaired[index] = true);
        }
        Ok(repaired)
    }

    async fn repair_one(&self, what: &str, job: &JobKey, place: &[u8]) -> Result<bool, Error> {
        let mut call = REPAIR.key(&job.0);
        call.key(place).arg(what);
        Ok(self.script::<u64>("repair", &call).await? > 0)
    }

    /// Gives the indices of those that are in the queue again.
    async fn requeue_lost(
        &self,
        queue: &str,
        lost: &[(usize, &JobKey, &[u8])],
    ) -> Result<Vec<usize>, Error> {
        if lost.is_empty() {
            return Ok(Vec::new());
        }
        let lists = self.processing_lists(queue).await?;
        let keys = Keys::new(queue);
        let mut done = Vec::new();
        for chunk in lost.chunks(CHUNK) {
            let mut call = REQUEUE_LOST.key(queue);
            call.key(keys.leases())
                .key(keys.delayed())
                .key(keys.parked());
            call.arg(wire::timestamp()).arg(chunk.len());
            for (_, job, updated_at) in chunk {
                call.arg(&job.0).arg(updated_at);
            }
            lists.iter().for_each(|list| _ = call.key(list));
            let answers: Vec<u8> = self.script("requeue_lost", &call).await?;
            let indices = chunk.iter().zip(answers);
            done.extend(
                indices
                    .filter(|(_, answer)| *answer == 1)
                    .map(|((index, ..), _)| *index),
            );
        }
        Ok(done)
    }

    /// Reclaims what has expired in a queue, until it has met all of these or meets none any more.
    async fn reclaim_late(
        &self,
        queue: &str,
        late: &[(usize, &JobKey)],
        lease: Duration,
    ) -> Result<Vec<usize>, Error> {
        if late.is_empty() {
            return Ok(Vec::new());
        }
        let reclaimed = self.reclaim_expired(queue, lease).await?;
        let requeued: std::collections::HashSet<_> =
            reclaimed.requeued.iter().map(|job| &job.key).collect();
        let met = late.iter().filter(|(_, job)| requeued.contains(job));
        Ok(met.map(|(index, _)| *index).collect())
    }
}
