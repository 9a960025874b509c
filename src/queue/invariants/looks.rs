//! What one look at some jobs finds.

use std::collections::HashMap;
use std::time::Duration;

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use super::fields::Fields;
use super::judgment::Evidence;
use super::suspects::Suspects;
use super::{Finding, lossy};
use crate::wire::{self, JobKey};

/// A lease that expired this long ago has been overlooked.
const OVERLOOKED: Duration = Duration::from_secs(60);

impl Admin {
    /// Judges the jobs among these keys.
    pub(super) async fn judge(
        &self,
        keys: &[Vec<u8>],
        evidence: &Evidence<'_>,
        suspects: &mut Suspects,
    ) -> Result<(), Error> {
        let ours = |key: &&Vec<u8>| wire::split_ours(key).is_none();
        let keys: Vec<_> = keys.iter().filter(ours).cloned().collect();
        let jobs = self.read_jobs(&keys).await?;
        let jobs: Vec<_> = keys.into_iter().zip(jobs).collect();
        let parents = jobs.iter().filter(|(_, job)| {
            let job = job.as_ref();
            job.is_some_and(|job| job.children.is_some() && !job.is_final())
        });
        let sets: Vec<_> = parents
            .map(|(key, _)| wire::pending(&JobKey(key.clone())))
            .collect();
        let counts = self.ask_each::<u64>(&sets, |set| Cmd::scard(set)).await?;
        let pending: HashMap<_, _> = sets.into_iter().zip(counts).collect();
        for (key, job) in jobs {
            let Some(job) = job else { continue };
            let set = wire::pending(&JobKey(key.clone()));
            let pending = pending.get(&set).copied().flatten().unwrap_or(0);
            for finding in evidence.judge(&key, &job, pending) {
                suspects.add(finding, Some(&job));
            }
        }
        Ok(())
    }

    /// Entries of a list or set whose job is over.
    pub(super) async fn look_for_left_overs(
        &self,
        place: &[u8],
        jobs: &[Vec<u8>],
        suspects: &mut Suspects,
    ) -> Result<(), Error> {
        let found = self.read_jobs(jobs).await?;
        for (key, job) in jobs.iter().zip(found) {
            if job.as_ref().is_none_or(Fields::is_final) {
                suspects.add(Finding::left_over(key, place), job.as_ref());
            }
        }
        Ok(())
    }

    /// Jobs that are not over and whose lease has expired long ago.
    pub(super) async fn look_at_late(
        &self,
        leases: &[u8],
        late: &[Vec<u8>],
        suspects: &mut Suspects,
    ) -> Result<(), Error> {
        let queue = wire::split_ours(leases).map_or_else(String::new, |(_, queue)| lossy(queue));
        let found = self.read_jobs(late).await?;
        for (key, job) in late.iter().zip(found) {
            if job.as_ref().is_some_and(|job| !job.is_final()) {
                suspects.add(Finding::overlooked(key, queue.clone()), job.as_ref());
            }
        }
        Ok(())
    }

    /// Leases that ended before this have been overlooked.
    pub(super) async fn overlooked(&self) -> Result<f64, Error> {
        let time = redis::cmd("TIME");
        let (seconds, _): (u64, u64) = self.command("ask for the time", &time).await?;
        Ok(seconds as f64 * 1e3 - OVERLOOKED.as_millis() as f64)
    }

    async fn read_jobs(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Fields>>, Error> {
        let values = self
            .ask_each(keys, |key| Cmd::hmget(key, &Fields::NAMES))
            .await?;
        let jobs = values.into_iter().map(|values| Fields::read(values?));
        Ok(jobs.collect())
    }
}
