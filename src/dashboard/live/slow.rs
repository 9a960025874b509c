//! What takes more than a few commands, and is asked less often than once a second.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::pages::window::ROWS;
use super::super::pieces::job::{is_over, place, queue_of};
use super::super::pieces::queues::HOURS;
use super::topic::Topic;
use crate::batch::Standing;
use crate::queue::control::{BatchState, Minute, Place, ServerState};
use crate::queue::{Admin, Error, JobKey};
use crate::wire::{RawFields, field, millis_since_1970};

/// After so many seconds all of it is asked anew, and charts, whose bars are minutes.
const OLD: u64 = 5;
const OLD_CHARTS: u64 = 15;

/// What was found out lately.
#[derive(Default)]
pub(super) struct Slow {
    /// How many seconds there were.
    seconds: u64,
    pub(super) server: Option<ServerState>,
    /// Parts of the list of batches, by where they begin, with how many there are in all.
    pub(super) lists: HashMap<usize, (u64, Vec<(String, BatchState)>)>,
    pub(super) standings: HashMap<String, Option<Standing>>,
    /// Where jobs are.
    pub(super) places: HashMap<JobKey, Place>,
    /// What has ended, by hours and queue.
    pub(super) charts: HashMap<(u64, String), Vec<Minute>>,
}

/// The queues of one part of the table.
pub(super) fn part(names: &BTreeSet<String>, from: usize) -> impl Iterator<Item = &String> {
    names.iter().skip(from).take(ROWS)
}

impl Slow {
    /// Forgets what is old. Another second has begun.
    pub(super) fn grow_older(&mut self) {
        self.seconds += 1;
        if self.seconds.is_multiple_of(OLD_CHARTS) {
            self.charts.clear();
        }
        if self.seconds.is_multiple_of(OLD) {
            self.server = None;
            self.lists.clear();
            self.standings.clear();
            self.places.clear();
        }
    }

    /// Asks what is missing for these topics. Each question is put on the heap: together they are more than a stack bears.
    pub(super) async fn fill(
        &mut self,
        admin: &Admin,
        topics: &HashSet<Topic>,
        names: &BTreeSet<String>,
    ) -> Result<(), Error> {
        Box::pin(self.fill_charts(admin, topics, names)).await?;
        for topic in topics {
            match topic {
                Topic::Overview => {
                    if self.server.is_none() {
                        self.server = Some(Box::pin(admin.server()).await?);
                    }
                    Box::pin(self.fill_list(admin, 0)).await?;
                }
                Topic::Batches(from) => Box::pin(self.fill_list(admin, *from)).await?,
                Topic::Batch(name) if !self.standings.contains_key(name) => {
                    // One that cannot be told of is shown as it was.
                    let standing = Box::pin(Standing::of(admin, name)).await.ok();
                    self.standings.insert(name.clone(), standing);
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn fill_list(&mut self, admin: &Admin, from: usize) -> Result<(), Error> {
        if let Entry::Vacant(list) = self.lists.entry(from) {
            let found = admin.some_batches((from, ROWS));
            list.insert(futures::try_join!(admin.count_batches(), found)?);
        }
        Ok(())
    }

    async fn fill_charts(
        &mut self,
        admin: &Admin,
        topics: &HashSet<Topic>,
        names: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let mut wanted = HashMap::<u64, BTreeSet<&String>>::new();
        for topic in topics {
            match topic {
                Topic::Queues(from) => wanted.entry(HOURS).or_default().extend(part(names, *from)),
                Topic::Chart(hours, name) => _ = wanted.entry(*hours).or_default().insert(name),
                _ => {}
            }
        }
        for (hours, queues) in wanted {
            let is_missing = |name: &&String| {
                let key = (hours, (*name).clone());
                !self.charts.contains_key(&key)
            };
            let queues: Vec<_> = queues.into_iter().filter(is_missing).cloned().collect();
            let minute = millis_since_1970() / 60_000;
            let found = admin.histories(&queues, minute, hours).await?;
            let found = queues.into_iter().zip(found);
            self.charts
                .extend(found.map(|(name, minutes)| ((hours, name), minutes)));
        }
        Ok(())
    }

    /// Says where jobs are. That of one that a worker holds, or that has ended, is known without asking.
    pub(super) async fn fill_places(
        &mut self,
        admin: &Admin,
        topics: &HashSet<Topic>,
        (jobs, names): (&HashMap<JobKey, RawFields>, &BTreeSet<String>),
    ) -> Result<(), Error> {
        for topic in topics {
            let Topic::Job(key) = topic else { continue };
            let Some(fields) = jobs.get(key).filter(|fields| !fields.is_empty()) else {
                continue;
            };
            let is_known = is_over(fields) || fields.contains_key(field::OWNER.as_bytes());
            if is_known || !self.places.contains_key(key) {
                let queue = queue_of(key, fields, names);
                let place = Box::pin(place(admin, (key, fields), queue.as_deref())).await?;
                self.places.insert(key.clone(), place);
            }
        }
        Ok(())
    }
}
