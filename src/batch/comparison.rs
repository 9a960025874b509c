//! A batch compared with what lies in the bucket.

use std::sync::Arc;

use batch_plan::Resolved;

use super::loaded::Loaded;
use super::marks::{Mark, Marks};
use super::outputs::{Globs, Outputs, Part, Wanted};
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
    /// Objects that no item expects; with the first one of stages that are listed together. Not known if not all of these are
    /// compared.
    pub(crate) orphans: Option<u64>,
    /// Their keys, if they are wanted.
    pub(crate) orphan_keys: Vec<String>,
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

/// What is to be compared of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scope {
    /// Only this stage.
    pub(crate) stage: Option<usize>,
    /// Whether the keys of orphans are wanted.
    pub(crate) with_orphans: bool,
    /// Whether items are named that nobody has worked yet, too.
    pub(crate) names_new: bool,
}

/// Stages whose outputs lie at one place, and are listed together.
struct Place {
    stages: Vec<usize>,
    wanted: Wanted,
}

impl Compared {
    /// All stages of a plan, of which nothing has been looked at.
    fn blank(plan: &Resolved, scope: Scope) -> Vec<Self> {
        let stages = plan.stages().iter().enumerate();
        let blank = stages.map(|(number, stage)| Self {
            name: stage.name.clone(),
            total: plan.total(number).unwrap_or(0),
            is_compared: !stage.work.expect.is_empty() && scope.has(number),
            ..Self::default()
        });
        blank.collect()
    }

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
        scope: Scope,
    ) -> anyhow::Result<Self> {
        let plan = Arc::clone(&loaded.plan);
        let globs = Globs::of(&plan);
        let mut stages = Compared::blank(&plan, scope);
        for Place { stages: at, wanted } in places(loaded) {
            if !at.iter().any(|stage| scope.has(*stage)) {
                continue;
            }
            let compared: Vec<_> = at.iter().copied().filter(|it| scope.has(*it)).collect();
            // Before the listing: what is done by then has left its outputs.
            let mut marks = Vec::new();
            for &number in &compared {
                marks.push(Marks::read(admin, plan.name(), number).await?);
            }
            let mut outputs = Outputs::list(storage, wanted).await?;
            for (&number, marks) in compared.iter().zip(&marks) {
                let mut look = Look {
                    loaded: &mut *loaded,
                    marks,
                    outputs: &mut outputs,
                    globs: &globs,
                    names_new: scope.names_new,
                };
                look.at(number, &mut stages[number]).await?;
            }
            if at.iter().all(|stage| scope.has(*stage)) {
                let first = &mut stages[at[0]];
                first.orphans = Some(outputs.orphans());
                if scope.with_orphans {
                    first.orphan_keys = outputs.orphan_keys(storage).await?;
                }
            }
        }
        Ok(Self { stages })
    }
}

impl Scope {
    fn has(&self, stage: usize) -> bool {
        self.stage.is_none_or(|only| only == stage)
    }
}

/// Where the outputs of stages are that say what they leave.
fn places(loaded: &Loaded) -> Vec<Place> {
    let mut places = Vec::<Place>::new();
    for (number, stage) in loaded.plan.stages().iter().enumerate() {
        if stage.work.expect.is_empty() {
            continue;
        }
        let mut place = Place {
            stages: Vec::new(),
            wanted: loaded.listings(number),
        };
        let is_shared = |other: &mut Place| other.wanted.overlaps(&place.wanted);
        let shared: Vec<_> = places.extract_if(.., is_shared).collect();
        for other in shared {
            place.stages.extend(other.stages);
            place.wanted.join(other.wanted);
        }
        place.stages.push(number);
        place.stages.sort_unstable();
        places.push(place);
    }
    places
}

/// What the items of a stage are compared with.
struct Look<'a> {
    loaded: &'a mut Loaded,
    marks: &'a Marks,
    outputs: &'a mut Outputs,
    globs: &'a Globs,
    names_new: bool,
}

impl Look<'_> {
    async fn at(&mut self, stage: usize, compared: &mut Compared) -> anyhow::Result<()> {
        for item in self.loaded.items(stage) {
            let (key, expected) = self.loaded.expected(stage, item).await?;
            let parts = expected.iter();
            let found = sum(parts.map(|it| self.outputs.take(it, &key, self.globs)));
            let mark = self.marks.of(item);
            compared.counts[found as usize] += 1;
            compared.out += u64::from(mark == Mark::Out);
            compared.failed += u64::from(mark == Mark::Failed);
            let has_ended = matches!(mark, Mark::Done | Mark::Failed);
            let is_named = found != Found::Present && (has_ended || self.names_new);
            if is_named && compared.examples.len() < EXAMPLES {
                let (id, _) = self.loaded.identity(stage, item).await?;
                compared.examples.push(id);
            }
            match (found, mark) {
                (Found::Present, Mark::Done | Mark::Out) => {}
                (Found::Present, Mark::New | Mark::Failed) => compared.unknown.push(item),
                (_, Mark::Done | Mark::Failed) => {
                    let missing = self.missing(stage, item, mark).await?;
                    compared.missing.push(missing);
                }
                // It will run, or runs.
                (_, Mark::New | Mark::Out) => {}
            }
        }
        Ok(())
    }

    async fn missing(&mut self, stage: usize, item: u64, mark: Mark) -> anyhow::Result<Missing> {
        let row = self.loaded.row(stage, item).await?;
        Ok(Missing {
            item,
            has_failed: mark == Mark::Failed,
            below: self.loaded.plan.children(stage, item, row.as_ref()),
        })
    }
}

/// What the parts of an item come to.
fn sum(parts: impl Iterator<Item = Part>) -> Found {
    let (mut whole, mut broken, mut missing) = (0, 0, 0);
    for part in parts {
        match part {
            Part::Whole => whole += 1,
            Part::Broken => broken += 1,
            Part::Missing => missing += 1,
        }
    }
    match (whole, broken, missing) {
        (_, 0, 0) => Found::Present,
        (0, 0, _) => Found::Missing,
        _ => Found::Partial,
    }
}
