//! The first look, over a whole Redis, and what has come of it so far.

use std::marker::PhantomData;

use redis::Cmd;

use super::super::admin::Admin;
use super::super::error::Error;
use super::judgment::Evidence;
use super::places::{Fingerprints, Places, Wanted, is_ours};
use super::suspects::Suspects;
use super::{Finding, lossy};
use crate::wire::{self, JobKey};

/// Entries of lists and sets whose fingerprints are held at a time: 8 MB. Where there are more, the keys are gone through
/// several times.
const PART: u64 = 1_000_000;
/// How many suspects are looked at again together.
const BATCH: usize = 10_000;

/// The first look; `F` is told what a second one confirms, and fails with `E`.
struct Inspection<'a, F, E> {
    admin: &'a Admin,
    suspects: Suspects,
    report: F,
    errors: PhantomData<E>,
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
            suspects: Suspects::none(Fingerprints::default()),
            report,
            errors: PhantomData,
        };
        let places = self.places().await?;
        inspection.look_at_places(&places).await?;
        inspection.look_at_pending().await?;
        inspection.look_at_jobs(&places).await?;
        inspection.hand_over().await.map(drop)
    }
}

impl<F, E> Inspection<'_, F, E>
where
    F: AsyncFnMut(Vec<Finding>) -> Result<usize, E>,
    E: From<Error>,
{
    /// What is over leaves lists and sorted sets, and expired leases are reclaimed.
    async fn look_at_places(&mut self, places: &Places) -> Result<(), E> {
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
                        admin.look_at_late(set, &late, &mut self.suspects).await?;
                    }
                    self.look_for_left_overs(set, &jobs).await
                })
                .await?;
        }
        Ok(())
    }

    /// What is over is not pending any more.
    async fn look_at_pending(&mut self) -> Result<(), E> {
        let any = wire::pending(&JobKey(b"*".to_vec()));
        let admin = self.admin;
        admin
            .each_key(&lossy(&any), async |sets| {
                for set in sets {
                    self.look_at_children(&set).await?;
                }
                Ok(())
            })
            .await
    }

    async fn look_at_children(&mut self, set: &[u8]) -> Result<(), E> {
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
    async fn look_at_jobs(&mut self, places: &Places) -> Result<(), E> {
        let admin = self.admin;
        let parts = admin.entries(places).await? / PART + 1;
        for part in 0..parts {
            let wanted = Wanted::Part { part, parts };
            let marks = self.suspects.marks.clone();
            let census = admin.census(places, &marks, &wanted).await?;
            let evidence = Evidence {
                places,
                marks: &marks,
                census: &census,
            };
            admin
                .each_key("*", async |mut keys| {
                    keys.retain(|key| wanted.includes(marks.of(key)));
                    admin.judge(&keys, &evidence, &mut self.suspects).await?;
                    self.hand_over_many().await.map(drop)
                })
                .await?;
        }
        Ok(())
    }

    /// Gives how many suspects have been repaired meanwhile.
    async fn look_for_left_overs(&mut self, place: &[u8], jobs: &[Vec<u8>]) -> Result<usize, E> {
        let suspects = &mut self.suspects;
        self.admin
            .look_for_left_overs(place, jobs, suspects)
            .await?;
        self.hand_over_many().await
    }

    async fn hand_over_many(&mut self) -> Result<usize, E> {
        if self.suspects.len() < BATCH {
            return Ok(0);
        }
        self.hand_over().await
    }

    /// Looks again at what there is so far, and reports what was found again. Gives how many have been repaired.
    async fn hand_over(&mut self) -> Result<usize, E> {
        let confirmed = self.admin.confirm(self.suspects.take()).await?;
        (self.report)(confirmed).await
    }
}
