//! Results of a batch's items, unpacked while it runs.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::Path;

use batch_plan::{Items, Resolved};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::super::super::desk::{counted, grouped, listed};
use super::super::super::fetch::{FolderName, Wanted, unpack_missing};
use crate::batch::Loaded;
use crate::queue::control::BatchState;
use crate::queue::{Admin, JobKey};
use crate::storage::{self, Storage};
use crate::untrusted;

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
    /// For each stage a bit for each item that was found to be done, and how many were done when all of them had been.
    seen: Vec<(Vec<u8>, u64)>,
    waiting: VecDeque<(usize, u64)>,
    tally: Tally,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    fetched: u64,
    there: u64,
    /// Items that have left no result.
    without: u64,
    failed: u64,
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

/// What came of one item.
enum Fetched {
    New,
    Known,
    Nothing,
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
            seen: vec![(Vec::new(), 0); state.stages.len()],
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
            let (seen, count) = &mut self.seen[stage];
            let room = WAITING - self.waiting.len();
            if *count == is.done || room == 0 {
                continue;
            }
            let items = self.admin.newly_done(name, stage, seen, room).await?;
            if items.len() < room {
                *count = is.done;
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

    /// Items whose results were looked for.
    pub(super) fn handled(&self) -> u64 {
        let Tally {
            fetched,
            there,
            without,
            failed,
        } = self.tally;
        fetched + there + without + failed
    }

    /// Results that could not be fetched.
    pub(super) fn failed(&self) -> u64 {
        self.tally.failed
    }

    pub(super) fn to_json(&self) -> Value {
        let Tally {
            fetched,
            there,
            without,
            failed,
        } = self.tally;
        json!({ "fetched": fetched, "already_there": there, "without": without, "failed": failed })
    }

    /// What came of it, in a few words.
    pub(super) fn summary(&self) -> String {
        let Tally {
            fetched,
            there,
            without,
            failed,
        } = self.tally;
        let mut text = format!("{} fetched", counted(fetched, "result"));
        for (count, what) in [
            (there, "there already"),
            (without, "without a result"),
            (failed, "not fetched"),
        ] {
            if count > 0 {
                text += &format!(", {} {what}", grouped(count));
            }
        }
        text
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

impl Tally {
    fn count(&mut self, job: &JobKey, fetched: anyhow::Result<Fetched>) -> io::Result<()> {
        let error = match fetched {
            Err(error) => error,
            Ok(fetched) => {
                *match fetched {
                    Fetched::New => &mut self.fetched,
                    Fetched::Known => &mut self.there,
                    Fetched::Nothing => &mut self.without,
                } += 1;
                return Ok(());
            }
        };
        self.failed += 1;
        match listed(self.failed, || format!("no result of {job}: {error:#}")) {
            Some(line) => writeln!(io::stderr(), "{}", untrusted::message(line)),
            None => Ok(()),
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
