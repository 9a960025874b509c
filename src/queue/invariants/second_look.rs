//! The second look, a moment later, at what the first has found.

use std::collections::HashSet;
use std::time::Duration;

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use super::judgment::Evidence;
use super::places::{Wanted, is_ours};
use super::suspects::Suspects;
use super::{Finding, Remedy};
use crate::wire;

/// Time between the two looks.
const PAUSE: Duration = Duration::from_millis(1500);

impl Admin {
    /// Those suspects that a second look finds again.
    pub(super) async fn confirm(&self, mut suspects: Suspects) -> Result<Vec<Finding>, Error> {
        let first = suspects.take();
        if first.len() == 0 {
            return Ok(Vec::new());
        }
        tokio::time::sleep(PAUSE).await;
        let keys: HashSet<_> = first.findings().map(|finding| &finding.job.0).collect();
        let keys: Vec<_> = keys.into_iter().cloned().collect();
        // Other consumers may have come meanwhile, with lists of their own.
        let places = self.places().await?;
        let jobs = keys.iter().map(|key| first.marks.of(key)).collect();
        let wanted = Wanted::These(&jobs);
        let census = self.census(&places, &first.marks, &wanted).await?;
        let evidence = Evidence {
            places: &places,
            marks: &first.marks,
            census: &census,
        };
        let mut again = suspects;
        self.judge(&keys, &evidence, &mut again).await?;
        let overlooked = self.overlooked().await?;
        for finding in first.findings() {
            self.look_again(finding, &evidence, overlooked, &mut again)
                .await?;
        }
        Ok(again.confirmed_by(&first))
    }

    /// Whether a job is still where it should not be.
    async fn look_again(
        &self,
        finding: &Finding,
        evidence: &Evidence<'_>,
        overlooked: f64,
        again: &mut Suspects,
    ) -> Result<(), Error> {
        let job = std::slice::from_ref(&finding.job.0);
        match &finding.remedy {
            Remedy::Remove(place) if self.has(place, &job[0], evidence).await? => {
                self.look_for_left_overs(place, job, again).await
            }
            Remedy::Reclaim(queue) => {
                let leases = wire::Keys::new(queue).leases().into_bytes();
                let score = self.score(&leases, &job[0]).await?;
                if score.is_some_and(|score| score < overlooked) {
                    self.look_at_late(&leases, job, again).await?;
                }
                Ok(())
            }
            Remedy::Remove(_) | Remedy::Queue { .. } | Remedy::ClearToken | Remedy::None => Ok(()),
        }
    }

    /// Whether a list or set has a job.
    async fn has(&self, place: &[u8], job: &[u8], evidence: &Evidence<'_>) -> Result<bool, Error> {
        if evidence.places.lists.contains(place) {
            let marks = evidence.marks;
            return Ok(evidence.census.has(marks.of(place), marks.of(job)));
        }
        if is_ours(place, "pending") {
            let asked = Cmd::sismember(place, job);
            return self.command("read a list or set", &asked).await;
        }
        Ok(self.score(place, job).await?.is_some())
    }

    async fn score(&self, set: &[u8], job: &[u8]) -> Result<Option<f64>, Error> {
        let command = Cmd::zscore(set, job);
        self.command("read a list or set", &command).await
    }
}
