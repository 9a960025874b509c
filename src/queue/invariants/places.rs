//! Where jobs are: the lists and sets of a Redis, and fingerprints of what is in them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use redis::{Cmd, FromRedisValue};

use super::super::admin::Admin;
use super::super::error::Error;
use super::fields::Fields;
use super::lossy;
use crate::wire::{self, PROCESSING};

/// Entries of a list or set that are read in one round trip.
const SLICE: isize = 1000;

/// Names of the lists and sorted sets in which jobs are. There are a few for each queue and each consumer.
#[derive(Default)]
pub(super) struct Places {
    /// Every list that may be a queue, and the processing lists.
    pub(super) lists: BTreeSet<Vec<u8>>,
    /// Leases, delayed and parked jobs.
    pub(super) sorted: BTreeSet<Vec<u8>>,
    /// The queues that are known by more than a list of that name, the longest name first, so that `predict-zip` is not
    /// taken for `predict`.
    pub(super) queues: Vec<String>,
}

/// Marks by which a job is remembered; two jobs share one with a chance of 2⁻⁶⁴.
#[derive(Clone, Default)]
pub(super) struct Fingerprints(RandomState);

/// The jobs that a census looks for.
pub(super) enum Wanted<'a> {
    /// One of so many parts of all.
    Part { part: u64, parts: u64 },
    /// A few.
    These(&'a HashSet<u64>),
}

/// What was found in all places of those jobs that were asked for.
#[derive(Default)]
pub(super) struct Census {
    kept: Vec<u64>,
    delayed: Vec<u64>,
    /// List and job: all of processing lists; of others only if a few jobs were asked for.
    pairs: HashSet<(u64, u64)>,
    /// A processing list of each job that is in one.
    holders: HashMap<u64, Vec<u8>>,
    /// The processing lists of jobs that are in two.
    twice: HashMap<u64, [Vec<u8>; 2]>,
}

impl Wanted<'_> {
    pub(super) fn includes(&self, job: u64) -> bool {
        match self {
            Self::Part { part, parts } => job % parts == *part,
            Self::These(jobs) => jobs.contains(&job),
        }
    }
}

impl Fingerprints {
    pub(super) fn of(&self, key: &[u8]) -> u64 {
        self.0.hash_one(key)
    }

    /// Of a job's hash, or of there being none.
    pub(super) fn of_fields(&self, fields: Option<&Fields>) -> u64 {
        self.0.hash_one(fields)
    }
}

impl Places {
    /// Notes a key if it is the name of a place.
    pub(super) fn note(&mut self, key: Vec<u8>, kind: &str) {
        match (kind, wire::split_ours(&key)) {
            // A queue that is being sorted, or was purged and can be put back, still has its jobs.
            ("list", None | Some((b"moving" | b"trash", _))) => _ = self.lists.insert(key),
            ("zset", Some((b"lease" | b"delayed" | b"parked" | b"workers" | b"dead", queue))) => {
                self.queues.push(lossy(queue));
                self.sorted.insert(key);
            }
            _ => {}
        }
    }

    /// When all keys are noted.
    pub(super) fn complete(&mut self) {
        self.sorted.retain(|key| {
            ["lease", "delayed", "parked"]
                .iter()
                .any(|what| is_ours(key, what))
        });
        let lists = self.lists.iter().map(|list| lossy(list));
        let processing =
            lists.filter_map(|list| wire::queue_of_processing(&list).map(str::to_owned));
        self.queues.extend(processing);
        self.queues
            .sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.queues.dedup();
    }

    /// Lists whose entries are jobs for certain.
    pub(super) fn lists_of_jobs(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.lists
            .iter()
            .filter(|list| is_processing(list) || self.queues.contains(&lossy(list)))
    }

    /// Sets in which a job is kept.
    pub(super) fn keeping(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.sorted.iter().filter(|key| !is_ours(key, "lease"))
    }
}

impl Census {
    /// Whether a job is in a list, delayed or parked.
    pub(super) fn keeps(&self, job: u64) -> bool {
        self.kept.binary_search(&job).is_ok()
    }

    pub(super) fn is_delayed(&self, job: u64) -> bool {
        self.delayed.binary_search(&job).is_ok()
    }

    /// Whether a list has a job.
    pub(super) fn has(&self, list: u64, job: u64) -> bool {
        self.pairs.contains(&(list, job))
    }

    pub(super) fn held_twice(&self, job: u64) -> Option<&[Vec<u8>; 2]> {
        self.twice.get(&job)
    }

    fn add(&mut self, job: u64, list: &[u8], place: u64, wanted: &Wanted<'_>) {
        self.kept.push(job);
        let is_processing = is_processing(list);
        if is_processing || matches!(wanted, Wanted::These(_)) {
            self.pairs.insert((place, job));
        }
        if is_processing
            && let Some(other) = self.holders.insert(job, list.to_vec())
            && other != list
        {
            self.twice.insert(job, [other, list.to_vec()]);
        }
    }

    fn complete(&mut self) {
        self.kept.sort_unstable();
        self.delayed.sort_unstable();
    }
}

impl Admin {
    /// All places there are now.
    pub(super) async fn places(&self) -> Result<Places, Error> {
        let mut places = Places::default();
        self.each_key("*", async |keys| {
            let kinds = self
                .ask_each::<String>(&keys, |key| redis::cmd("TYPE").arg(key).to_owned())
                .await?;
            for (key, kind) in keys.into_iter().zip(kinds) {
                places.note(key, kind.as_deref().unwrap_or_default());
            }
            Ok::<_, Error>(())
        })
        .await?;
        places.complete();
        Ok(places)
    }

    /// Looks for jobs in all places.
    pub(super) async fn census(
        &self,
        places: &Places,
        marks: &Fingerprints,
        wanted: &Wanted<'_>,
    ) -> Result<Census, Error> {
        let mut census = Census::default();
        for list in &places.lists {
            let place = marks.of(list);
            self.each_slice(list, Cmd::lrange, async |jobs: Vec<Vec<u8>>| {
                let jobs = jobs.iter().map(|job| marks.of(job));
                for job in jobs.filter(|job| wanted.includes(*job)) {
                    census.add(job, list, place, wanted);
                }
                Ok::<_, Error>(0)
            })
            .await?;
        }
        for set in places.keeping() {
            let is_delayed = is_ours(set, "delayed");
            self.each_slice(set, Cmd::zrange, async |jobs: Vec<Vec<u8>>| {
                let jobs = jobs.iter().map(|job| marks.of(job));
                for job in jobs.filter(|job| wanted.includes(*job)) {
                    census.kept.push(job);
                    census.delayed.extend(is_delayed.then_some(job));
                }
                Ok::<_, Error>(0)
            })
            .await?;
        }
        census.complete();
        Ok(census)
    }

    /// How many entries all places have.
    pub(super) async fn entries(&self, places: &Places) -> Result<u64, Error> {
        let lists: Vec<_> = places.lists.iter().cloned().collect();
        let sets: Vec<_> = places.keeping().cloned().collect();
        let in_lists = self.ask_each::<u64>(&lists, |key| Cmd::llen(key)).await?;
        let in_sets = self.ask_each::<u64>(&sets, |key| Cmd::zcard(key)).await?;
        Ok(in_lists.into_iter().chain(in_sets).flatten().sum())
    }

    /// Hands over a list or sorted set in slices, from its left. `each` says how many entries it has removed.
    ///
    /// New jobs come in on the left: while it is read some may be seen twice, but only what others take out of its middle
    /// can hide another.
    pub(super) async fn each_slice<'k, T: FromRedisValue, E: From<Error>>(
        &self,
        key: &'k [u8],
        range: impl Fn(&'k [u8], isize, isize) -> Cmd,
        mut each: impl AsyncFnMut(Vec<T>) -> Result<usize, E>,
    ) -> Result<(), E> {
        let mut first = 0;
        loop {
            let command = range(key, first, first + SLICE - 1);
            let slice: Vec<T> = self.command("read a list or set", &command).await?;
            if slice.is_empty() {
                return Ok(());
            }
            let removed = isize::try_from(each(slice).await?).unwrap_or(isize::MAX);
            first = (first + SLICE).saturating_sub(removed).max(0);
        }
    }
}

pub(super) fn is_processing(list: &[u8]) -> bool {
    list.starts_with(PROCESSING.as_bytes())
}

pub(super) fn is_ours(key: &[u8], what: &str) -> bool {
    wire::split_ours(key).is_some_and(|(kind, _)| kind == what.as_bytes())
}
