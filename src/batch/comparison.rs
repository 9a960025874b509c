//! A batch compared with what lies in the bucket.

use std::sync::Arc;

use super::loaded::Loaded;
use super::marks::{Mark, Marks};
use super::outputs::{Globs, Outputs, Part};
use crate::queue::Admin;
use crate::storage::Storage;

/// Items that are named of each stage.
const EXAMPLES: usize = 20;

/// What lies in the bucket of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Present,
    Missing,
    /// Some of several, or too small.
    Partial,
}

/// A batch beside the bucket.
pub(crate) struct Comparison {
    pub(crate) stages: Vec<Compared>,
}

/// A stage beside the bucket.
#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) name: String,
    pub(crate) total: u64,
    /// Whether it says what its items leave.
    pub(crate) is_compared: bool,
    pub(crate) out: u64,
    pub(crate) failed: u64,
    /// Objects that no item expects.
    pub(crate) orphans: u64,
    /// Identities of some that are not present.
    pub(crate) examples: Vec<String>,
    counts: [u64; 3],
    /// Items that have ended, and whose outputs are not there.
    pub(super) missing: Vec<Missing>,
    /// Items whose outputs are there, and that are not known to be done.
    pub(super) unknown: Vec<u64>,
}

/// An item that has ended, and whose outputs are not there.
pub(super) struct Missing {
    pub(super) item: u64,
    pub(super) has_failed: bool,
    /// Items below that it waits for, by stage.
    pub(super) below: Vec<(usize, Vec<u64>)>,
}

impl Compared {
    pub(crate) fn count(&self, found: Found) -> u64 {
        self.counts[found as usize]
    }
}

impl Comparison {
    /// Compares all stages, or one.
    pub(crate) async fn of(
        admin: &Admin,
        storage: &Storage,
        loaded: &mut Loaded,
        only: Option<usize>,
    ) -> anyhow::Result<Self> {
        let plan = Arc::clone(&loaded.plan);
        let globs = Globs::of(&plan);
        let mut stages = Vec::new();
        for (number, stage) in plan.stages().iter().enumerate() {
            let is_wanted = only.is_none_or(|only| only == number);
            let mut compared = Compared {
                name: stage.name.clone(),
                total: plan.total(number).unwrap_or(0),
                is_compared: !stage.work.expect.is_empty() && is_wanted,
                ..Compared::default()
            };
            if compared.is_compared {
                let marks = Marks::read(admin, plan.name(), number).await?;
                let (prefixes, with_keys) = loaded.listings(number);
                let outputs = Outputs::list(storage, &prefixes, with_keys).await?;
                compared
                    .look(loaded, number, &marks, &outputs, &globs)
                    .await?;
            }
            stages.push(compared);
        }
        Ok(Self { stages })
    }
}

impl Compared {
    async fn look(
        &mut self,
        loaded: &mut Loaded,
        stage: usize,
        marks: &Marks,
        outputs: &Outputs,
        globs: &Globs,
    ) -> anyhow::Result<()> {
        let mut met = 0;
        for item in loaded.items(stage) {
            let (key, expected) = loaded.expected(stage, item).await?;
            let parts = expected.iter().map(|it| outputs.has(it, &key, globs));
            let (found, objects) = sum(parts);
            met += objects;
            let mark = marks.of(item);
            self.counts[found as usize] += 1;
            self.out += u64::from(mark == Mark::Out);
            self.failed += u64::from(mark == Mark::Failed);
            match (found, mark) {
                (Found::Present, Mark::Done | Mark::Out) => {}
                (Found::Present, Mark::New | Mark::Failed) => self.unknown.push(item),
                (_, Mark::Done | Mark::Failed) => {
                    self.note_missing(loaded, stage, item, mark).await?
                }
                // It will run, or runs.
                (_, Mark::New | Mark::Out) => {}
            }
        }
        self.orphans = outputs.len().saturating_sub(met);
        Ok(())
    }

    async fn note_missing(
        &mut self,
        loaded: &mut Loaded,
        stage: usize,
        item: u64,
        mark: Mark,
    ) -> anyhow::Result<()> {
        let row = loaded.row(stage, item).await?;
        self.missing.push(Missing {
            item,
            has_failed: mark == Mark::Failed,
            below: loaded.plan.children(stage, item, row.as_ref()),
        });
        if self.examples.len() < EXAMPLES {
            let (id, _) = loaded.identity(stage, item).await?;
            self.examples.push(id);
        }
        Ok(())
    }
}

/// What the parts of an item come to, and in how many objects.
fn sum(parts: impl Iterator<Item = Part>) -> (Found, u64) {
    let (mut objects, mut whole, mut broken, mut missing) = (0, 0, 0, 0);
    for part in parts {
        match part {
            Part::Whole(count) => (objects, whole) = (objects + count, whole + 1),
            Part::Broken(count) => (objects, broken) = (objects + count, broken + 1),
            Part::Missing => missing += 1,
        }
    }
    let found = match (whole, broken, missing) {
        (_, 0, 0) => Found::Present,
        (0, 0, _) => Found::Missing,
        _ => Found::Partial,
    };
    (found, objects)
}
