//! The two looks over a whole Redis.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use super::fields::Fields;
use super::judgment::Evidence;
use super::places::{Fingerprints, Places, Wanted, is_ours};
use super::{Finding, Remedy, lossy};
use crate::wire::{self, JobKey};

/// Time between the two looks.
const PAUSE: Duration = Duration::from_millis(1500);
/// A lease that expired this long ago has been overlooked.
const OVERLOOKED: Duration = Duration::from_secs(60);
/// Entries of lists and sets whose fingerprints are held at a time: 8 MB. Where there are more, the keys are gone through
/// several times.
const PART: u64 = 1_000_000;
/// How many suspects are looked at again together.
const BATCH: usize = 10_000;

/// What a first look has found, each with a fingerprint of the job's hash.
type Suspects = HashMap<Finding, u64>;

/// The first look, and what has come of it.
struct Inspection<'a, F> {
    admin: &'a Admin,
    marks: Fingerprints,
    suspects: Suspects,
    report: F,
}

impl Admin {
    /// Looks over everything, and hands over what two looks agree on, some thousands at a time; `report` says how many of them
    /// it has repaired. Waits until Redis answers.
    ///
    /// # Errors
    ///
    /// What Redis refused, and errors of `report`.
    pub async fn inspect<E: From<Error>>(
        &self,
        report: impl AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    ) -> Result<(), E> {
        let mut inspection = Inspection {
            admin: self,
            marks: Fingerprints::default(),
            suspects: Suspects::new(),
            report,
        };
        let places = self.places().await?;
        inspection.look_at_places(&places).await?;
        inspection.look_at_pending().await?;
        inspection.look_at_jobs(&places).await?;
        inspection.hand_over().await.map(drop)
    }
}

impl<F> Inspection<'_, F> {
    /// What is over leaves lists and sorted sets, and expired leases are reclaimed.
    async fn look_at_places<E: From<Error>>(&mut self, places: &Places) -> Result<(), E>
    where
        F: AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    {
        let admin = self.admin;
        for list in places.lists_of_jobs() {
            admin
                .each_slice(list, Cmd::lrange, async |jobs: Vec<Vec<u8>>| {
                    self.look_for_left_overs(list, &jobs).await
                })
                .await?;
        }
        let overlooked = admin.overlooked().await?;
        for set in &places.sorted {
            let range = Cmd::zrange_withscores;
            admin
                .each_slice(set, range, async |scored: Vec<(Vec<u8>, f64)>| {
                    let late = scored.iter().filter(|(_, score)| *score < overlooked);
                    let late: Vec<_> = late.map(|(job, _)| job.clone()).collect();
                    let jobs: Vec<_> = scored.into_iter().map(|(job, _)| job).collect();
                    if is_ours(set, "lease") {
                        let (marks, suspects) = (&self.marks, &mut self.suspects);
                        admin.look_at_late(set, &late, marks, suspects).await?;
                    }
                    self.look_for_left_overs(set, &jobs).await
                })
                .await?;
        }
        Ok(())
    }

    /// What is over is not pending any more.
    async fn look_at_pending<E: From<Error>>(&mut self) -> Result<(), E>
    where
        F: AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    {
        let any = wire::pending(&JobKey(b"*".to_vec()));
        let pattern = lossy(&any);
        let mut cursor = 0;
        loop {
            let (next, sets) = self.admin.scan_slice(&pattern, cursor).await?;
            for set in sets {
                self.look_at_children(&set).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn look_at_children<E: From<Error>>(&mut self, set: &[u8]) -> Result<(), E>
    where
        F: AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    {
        let mut cursor = 0;
        loop {
            let mut scan = redis::cmd("SSCAN");
            scan.arg(set).arg(cursor).arg("COUNT").arg(500);
            let (next, jobs): (u64, Vec<Vec<u8>>) =
                self.admin.command("read a list or set", &scan).await?;
            self.look_for_left_overs(set, &jobs).await?;
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Goes through all hashes, as often as the number of entries in all places demands.
    async fn look_at_jobs<E: From<Error>>(&mut self, places: &Places) -> Result<(), E>
    where
        F: AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    {
        let admin = self.admin;
        let parts = admin.entries(places).await? / PART + 1;
        for part in 0..parts {
            let wanted = Wanted::Part { part, parts };
            let census = admin.census(places, &self.marks, &wanted).await?;
            let mut cursor = 0;
            loop {
                let (next, mut keys) = admin.scan_slice("*", cursor).await?;
                keys.retain(|key| wanted.includes(self.marks.of(key)));
                let evidence = Evidence {
                    places,
                    marks: &self.marks,
                    census: &census,
                };
                admin.judge(&keys, &evidence, &mut self.suspects).await?;
                self.hand_over_many().await?;
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
    }

    async fn look_for_left_overs<E: From<Error>>(
        &mut self,
        place: &[u8],
        jobs: &[Vec<u8>],
    ) -> Result<usize, E>
    where
        F: AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    {
        let (marks, suspects) = (&self.marks, &mut self.suspects);
        self.admin
            .look_for_left_overs(place, jobs, marks, suspects)
            .await?;
        self.hand_over_many().await
    }

    async fn hand_over_many<E: From<Error>>(&mut self) -> Result<usize, E>
    where
        F: AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    {
        if self.suspects.len() < BATCH {
            return Ok(0);
        }
        self.hand_over().await
    }

    /// Looks again at what there is so far, and reports what was found again. Gives how many have been repaired.
    async fn hand_over<E: From<Error>>(&mut self) -> Result<usize, E>
    where
        F: AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    {
        let suspects = std::mem::take(&mut self.suspects);
        let confirmed = self.admin.confirm(suspects, &self.marks).await?;
        (self.report)(confirmed).await
    }
}

impl Admin {
    /// Those suspects that a second look finds again.
    async fn confirm(
        &self,
        suspects: Suspects,
        marks: &Fingerprints,
    ) -> Result<Vec<Finding>, Error> {
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(PAUSE).await;
        let mut keys: Vec<_> = suspects
            .keys()
            .map(|finding| finding.job.0.clone())
            .collect();
        keys.sort();
        keys.dedup();
        // Other consumers may have come meanwhile, with lists of their own.
        let places = self.places().await?;
        let jobs: HashSet<_> = keys.iter().map(|key| marks.of(key)).collect();
        let census = self.census(&places, marks, &Wanted::These(&jobs)).await?;
        let evidence = Evidence {
            places: &places,
            marks,
            census: &census,
        };
        let mut again = Suspects::new();
        self.judge(&keys, &evidence, &mut again).await?;
        self.look_at_left_overs(&suspects, &evidence, &mut again)
            .await?;
        let mut found: Vec<_> = again
            .into_iter()
            .filter(|(finding, seen)| suspects.get(finding) == Some(seen))
            .map(|(finding, _)| finding)
            .collect();
        found.sort_by(|a, b| {
            let number = |finding: &Finding| finding.invariant.number();
            (number(a), &a.job.0).cmp(&(number(b), &b.job.0))
        });
        Ok(found)
    }

    /// Judges the jobs among these keys.
    async fn judge(
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
            let seen = evidence.marks.of_fields(Some(&job));
            let findings = evidence.judge(&key, &job, pending);
            suspects.extend(findings.into_iter().map(|finding| (finding, seen)));
        }
        Ok(())
    }

    /// Entries of a list or set whose job is over.
    async fn look_for_left_overs(
        &self,
        place: &[u8],
        jobs: &[Vec<u8>],
        marks: &Fingerprints,
        suspects: &mut Suspects,
    ) -> Result<(), Error> {
        let found = self.read_jobs(jobs).await?;
        for (key, job) in jobs.iter().zip(found) {
            if job.as_ref().is_none_or(Fields::is_final) {
                let seen = marks.of_fields(job.as_ref());
                suspects.insert(Finding::left_over(key, place), seen);
            }
        }
        Ok(())
    }

    /// Jobs that are not over and whose lease has expired long ago.
    async fn look_at_late(
        &self,
        leases: &[u8],
        late: &[Vec<u8>],
        marks: &Fingerprints,
        suspects: &mut Suspects,
    ) -> Result<(), Error> {
        let queue = wire::split_ours(leases).map_or_else(String::new, |(_, queue)| lossy(queue));
        let found = self.read_jobs(late).await?;
        for (key, job) in late.iter().zip(found) {
            if job.as_ref().is_some_and(|job| !job.is_final()) {
                let seen = marks.of_fields(job.as_ref());
                suspects.insert(Finding::overlooked(key, queue.clone()), seen);
            }
        }
        Ok(())
    }

    /// Which of these are still where they should not be.
    async fn look_at_left_overs(
        &self,
        suspects: &Suspects,
        evidence: &Evidence<'_>,
        again: &mut Suspects,
    ) -> Result<(), Error> {
        let overlooked = self.overlooked().await?;
        for finding in suspects.keys() {
            let job = [finding.job.0.clone()];
            let (marks, census) = (evidence.marks, evidence.census);
            match &finding.remedy {
                Remedy::Remove(place) => {
                    let is_list = evidence.places.lists.contains(place);
                    let is_there = if is_list {
                        census.has(marks.of(place), marks.of(&job[0]))
                    } else if is_ours(place, "pending") {
                        let asked = Cmd::sismember(place, &job[0]);
                        self.command("read a list or set", &asked).await?
                    } else {
                        self.score(place, &job[0]).await?.is_some()
                    };
                    if is_there {
                        self.look_for_left_overs(place, &job, marks, again).await?;
                    }
                }
                Remedy::Reclaim(queue) => {
                    let leases = wire::Keys::new(queue).leases().into_bytes();
                    let score = self.score(&leases, &job[0]).await?;
                    if score.is_some_and(|score| score < overlooked) {
                        self.look_at_late(&leases, &job, marks, again).await?;
                    }
                }
                Remedy::Queue { .. } | Remedy::ClearToken | Remedy::None => {}
            }
        }
        Ok(())
    }

    async fn score(&self, set: &[u8], job: &[u8]) -> Result<Option<f64>, Error> {
        let command = Cmd::zscore(set, job);
        self.command("read a list or set", &command).await
    }

    /// Leases that ended before this have been overlooked.
    async fn overlooked(&self) -> Result<f64, Error> {
        let time = redis::cmd("TIME");
        let (seconds, _): (u64, u64) = self.command("ask for the time", &time).await?;
        Ok(seconds as f64 * 1e3 - OVERLOOKED.as_millis() as f64)
    }

    async fn read_jobs(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Fields>>, Error> {
        let values = self
            .ask_each(keys, |key| Cmd::hmget(key, &Fields::NAMES))
            .await?;
        Ok(values
            .into_iter()
            .map(|values| Fields::read(values?))
            .collect())
    }
}
