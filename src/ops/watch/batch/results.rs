//! Results of a batch's items, unpacked while it runs.

use std::collections::VecDeque;
use std::path::Path;

use batch_plan::{Items, Resolved};
use futures::{StreamExt as _, stream};

use super::super::super::fetch::{FolderName, Wanted, unpack_missing};
use super::tally::{Fetched, Tally};
use crate::batch::Loaded;
use crate::queue::control::BatchState;
use crate::queue::{Admin, JobKey};
use crate::storage::{self, Storage};

/// Items that are known to be done and wait to be fetched, at most.
const WAITING: usize = 10_000;
/// Items of one step, and those of them that are fetched at the same time.
const STEP: usize = 64;
const AT_ONCE: usize = 4;

/// Results of a batch's items on their way into a folder.
pub(super) struct Results<'f> {
    admin: &'f Admin,
    storage: &'f Storage,
    to: &'f Path,
    /// Of each stage.
    seen: Vec<Seen>,
    /// Stages and numbers of items that are done.
    waiting: VecDeque<(usize, u64)>,
    pub(super) tally: Tally,
}

/// Items of a stage that were found to be done.
#[derive(Clone, Default)]
struct Seen {
    /// A bit for each item.
    items: Vec<u8>,
    /// How many were done when all of them had been found.
    done: u64,
}

/// An item that is done.
struct Done {
    name: FolderName,
    job: JobKey,
    /// The key of its result; an empty one if it has left none.
    output: String,
    /// Whether its hash says so; else the result is where all results are, if there is one.
    is_named: bool,
}

impl<'f> Results<'f> {
    pub(super) fn new(
        admin: &'f Admin,
        (storage, to): (&'f Storage, &'f Path),
        state: &BatchState,
    ) -> Self {
        Self {
            admin,
            storage,
            to,
            seen: vec![Seen::default(); state.stages.len()],
            waiting: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Fetches some results, and gives whether more are there. May be broken off at any time.
    pub(super) async fn fetch_some(
        &mut self,
        loaded: &mut Loaded,
        state: &BatchState,
    ) -> anyhow::Result<bool> {
        if self.waiting.is_empty() {
            self.look(loaded.plan.name(), state).await?;
        }
        let Some(&(stage, _)) = self.waiting.front() else {
            return Ok(false);
        };
        let same = self.waiting.iter().take(STEP);
        let count = same.take_while(|(of, _)| *of == stage).count();
        let items: Vec<_> = self.waiting.drain(..count).map(|(_, item)| item).collect();
        let done = self.of_items(loaded, stage, &items).await?;
        let to = self.to.join(&loaded.plan.stages()[stage].name);
        let storage = self.storage;
        let mut fetching = stream::iter(&done)
            .map(async |done| (done, done.fetch(storage, &to).await))
            .buffer_unordered(AT_ONCE);
        while let Some((done, fetched)) = fetching.next().await {
            self.tally.count(&done.job, fetched)?;
        }
        Ok(true)
    }

    /// Looks for items that have come to be done.
    async fn look(&mut self, name: &str, state: &BatchState) -> anyhow::Result<()> {
        for (stage, is) in state.stages.iter().enumerate() {
            let seen = &mut self.seen[stage];
            let room = WAITING - self.waiting.len();
            if seen.done == is.done || room == 0 {
                continue;
            }
            let new = self.admin.newly_done(name, stage, &mut seen.items, room);
            let items = new.await?;
            if items.len() < room {
                seen.done = is.done;
            }
            self.waiting
                .extend(items.into_iter().map(|item| (stage, item)));
        }
        Ok(())
    }

    async fn of_items(
        &self,
        loaded: &mut Loaded,
        stage: usize,
        items: &[u64],
    ) -> anyhow::Result<Vec<Done>> {
        let (mut names, mut jobs) = (Vec::new(), Vec::new());
        for &item in items {
            let (id, key) = loaded.identity(stage, item).await?;
            names.push(folder_name(&loaded.plan, stage, &id));
            jobs.push(JobKey(key.into_bytes()));
        }
        let outputs = self.admin.results(&jobs).await?;
        let all = names.into_iter().zip(jobs).zip(outputs);
        let done = all.map(|((name, job), output)| Done {
            name,
            is_named: output.is_some(),
            output: output.unwrap_or_else(|| job.usual_result()),
            job,
        });
        Ok(done.collect())
    }
}

impl Done {
    async fn fetch(&self, storage: &Storage, to: &Path) -> anyhow::Result<Fetched> {
        if self.output.is_empty() {
            return Ok(Fetched::Nothing);
        }
        let wanted = Wanted {
            job: &self.job,
            output: &self.output,
            name: &self.name,
        };
        match unpack_missing(storage, &wanted, to).await {
            Ok(true) => Ok(Fetched::New),
            Ok(false) => Ok(Fetched::Known),
            Err(error) if !self.is_named && is_missing(&error) => Ok(Fetched::Nothing),
            Err(error) => Err(error),
        }
    }
}

/// The folder of an item's result: files and objects are called like their paths, all others by their identity.
fn folder_name(plan: &Resolved, stage: usize, id: &str) -> FolderName {
    let rows_of = plan.rows_of(stage);
    let source = rows_of.and_then(|rows_of| plan.stages()[rows_of].items.as_ref());
    match source {
        _ if plan.stages()[stage].work.id.is_some() => FolderName::Whole(id.to_owned()),
        Some(Items::Files { to, .. }) => {
            FolderName::OfFile(id.strip_prefix(to.as_str()).unwrap_or(id).to_owned())
        }
        Some(Items::Objects { .. }) => FolderName::OfFile(id.to_owned()),
        _ => FolderName::Whole(id.to_owned()),
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<storage::Error>();
    matches!(error, Some(storage::Error::NotFound { .. }))
}
