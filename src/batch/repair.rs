//! A batch compared with what lies in the bucket, and made to agree with it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::loaded::Loaded;
use super::outputs::{Globs, Outputs, Part};
use crate::queue::Admin;
use crate::queue::control::Remark;
use crate::storage::Storage;
use crate::wire::batch;

/// Items that are named of each stage.
const EXAMPLES: usize = 20;
/// Items whose marks are changed by one script.
const STEP: usize = 500;
/// How often counters are computed anew because items have ended meanwhile.
const TRIES: usize = 20;

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
    /// Items that do not agree with their marks; with those below that they wait for.
    missing: Vec<(u64, Mark, Below)>,
    unknown: Vec<(u64, Mark)>,
}

/// Items below, by stage.
type Below = Vec<(usize, Vec<u64>)>;

/// What Redis knows of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    New,
    Out,
    Done,
    Failed,
}

/// What is to be repaired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repair {
    /// Outputs that are there count, whatever was known of their items.
    pub(crate) adopts: bool,
    /// Failed items without outputs are worked again.
    pub(crate) with_failed: bool,
}

/// What is to be done, by stage.
#[derive(Default)]
pub(crate) struct Todo(BTreeMap<usize, BTreeMap<&'static str, Vec<u64>>>);

impl Compared {
    pub(crate) fn count(&self, found: Found) -> u64 {
        self.counts[found as usize]
    }
}

/// The marks of all items of a stage.
struct Marks {
    done: Vec<u8>,
    out: Vec<u8>,
    failed: Vec<u8>,
}

fn is_set(bits: &[u8], item: u64) -> bool {
    let byte = bits.get((item / 8) as usize).copied().unwrap_or(0);
    byte & (0x80 >> (item % 8)) != 0
}

impl Marks {
    async fn read(admin: &Admin, name: &str, stage: usize) -> anyhow::Result<Self> {
        Ok(Self {
            done: admin.all_marks(name, stage, batch::DONE).await?,
            out: admin.all_marks(name, stage, batch::OUT).await?,
            failed: admin.all_marks(name, stage, batch::FAILED).await?,
        })
    }

    fn of(&self, item: u64) -> Mark {
        match () {
            () if is_set(&self.done, item) => Mark::Done,
            () if is_set(&self.out, item) => Mark::Out,
            () if is_set(&self.failed, item) => Mark::Failed,
            () => Mark::New,
        }
    }
}

/// Compares all stages, or one, with what lies in the bucket.
pub(crate) async fn compare(
    admin: &Admin,
    storage: &Storage,
    loaded: &mut Loaded,
    name: &str,
    only: Option<usize>,
) -> anyhow::Result<Comparison> {
    let plan = Arc::clone(&loaded.plan);
    let globs = Globs::of(&plan);
    let mut stages = Vec::new();
    for (number, stage) in plan.stages().iter().enumerate() {
        let mut compared = Compared {
            name: stage.name.clone(),
            total: plan.total(number).unwrap_or(0),
            is_compared: !stage.work.expect.is_empty() && only.is_none_or(|only| only == number),
            ..Compared::default()
        };
        if compared.is_compared {
            let marks = Marks::read(admin, name, number).await?;
            look(storage, loaded, number, &marks, &globs, &mut compared).await?;
        }
        stages.push(compared);
    }
    Ok(Comparison { stages })
}

async fn look(
    storage: &Storage,
    loaded: &mut Loaded,
    stage: usize,
    marks: &Marks,
    globs: &Globs,
    compared: &mut Compared,
) -> anyhow::Result<()> {
    let (prefixes, with_keys) = loaded.listings(stage);
    let outputs = Outputs::list(storage, &prefixes, with_keys).await?;
    let mut met = 0;
    for item in loaded.items(stage) {
        let (key, expected) = loaded.expected(Some(storage), stage, item).await?;
        let (mut found, mut whole) = (Found::Missing, 0);
        for expected in &expected {
            match outputs.has(expected, &key, globs) {
                Part::Whole(objects) => {
                    met += objects;
                    whole += 1;
                }
                Part::Broken(objects) => {
                    met += objects;
                    found = Found::Partial;
                }
                Part::Missing => {}
            }
        }
        if whole == expected.len() {
            found = Found::Present;
        } else if whole > 0 {
            found = Found::Partial;
        }
        let mark = marks.of(item);
        compared.counts[found as usize] += 1;
        compared.out += u64::from(mark == Mark::Out);
        compared.failed += u64::from(mark == Mark::Failed);
        match (found, mark) {
            (Found::Present, Mark::Done | Mark::Out) => {}
            (Found::Present, _) => compared.unknown.push((item, mark)),
            (_, Mark::Done | Mark::Failed) => {
                let row = loaded.row(Some(storage), stage, item).await?;
                let below = loaded.plan.children(stage, item, row.as_ref());
                compared.missing.push((item, mark, below));
                if compared.examples.len() < EXAMPLES {
                    let (id, _) = loaded.identity(Some(storage), stage, item).await?;
                    compared.examples.push(id);
                }
            }
            // It will run, or runs.
            (_, Mark::New | Mark::Out) => {}
        }
    }
    compared.orphans = outputs.len().saturating_sub(met);
    Ok(())
}

/// What becomes of an item's mark: it is worked again; …
const AGAIN: &str = "again";
/// … it is not done any more, and follows when those below it are; …
const CLEAR: &str = "clear";
/// … it is done.
const ADOPT: &str = "adopt";

impl Comparison {
    /// What is to be done. Of a chain only the first item is worked again: those above it follow by themselves.
    pub(crate) fn todo(&self, repair: Repair) -> Todo {
        let mut todo = Todo::default();
        let mut redone = vec![HashSet::new(); self.stages.len()];
        for (number, stage) in self.stages.iter().enumerate() {
            if repair.adopts {
                for (item, _) in &stage.unknown {
                    todo.add(number, ADOPT, *item);
                }
            }
            for (item, mark, below) in &stage.missing {
                if *mark == Mark::Failed && !repair.with_failed {
                    continue;
                }
                let follows = below.iter().any(|(below, children)| {
                    children.iter().any(|child| redone[*below].contains(child))
                });
                let what = if follows { CLEAR } else { AGAIN };
                todo.add(number, what, *item);
                redone[number].insert(*item);
            }
        }
        todo
    }
}

impl Todo {
    fn add(&mut self, stage: usize, what: &'static str, item: u64) {
        let of_stage = self.0.entry(stage).or_default();
        of_stage.entry(what).or_default().push(item);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn counts(&self, what: &str) -> BTreeMap<usize, usize> {
        let counts = self.0.iter();
        counts
            .filter_map(|(stage, items)| Some((*stage, items.get(what)?.len())))
            .collect()
    }

    /// How many items of each stage are worked again.
    pub(crate) fn again(&self) -> BTreeMap<usize, usize> {
        self.counts(AGAIN)
    }

    /// How many follow those.
    pub(crate) fn cleared(&self) -> BTreeMap<usize, usize> {
        self.counts(CLEAR)
    }

    /// How many are done already.
    pub(crate) fn adopted(&self) -> BTreeMap<usize, usize> {
        self.counts(ADOPT)
    }

    /// Does it, and computes anew what stages above know of their children. May be broken off and done again.
    pub(crate) async fn apply(
        &self,
        admin: &Admin,
        storage: &Storage,
        loaded: &mut Loaded,
        name: &str,
    ) -> anyhow::Result<()> {
        for (stage, items) in &self.0 {
            for (what, items) in items {
                let remark = match *what {
                    ADOPT => Remark::Adopt,
                    CLEAR => Remark::Clear,
                    _ => Remark::Again,
                };
                for step in items.chunks(STEP) {
                    admin.remark(name, *stage, remark, step).await?;
                }
            }
        }
        for stage in 0..loaded.plan.stages().len() {
            if loaded.plan.is_gathered(stage) {
                count_anew(admin, storage, loaded, name, stage).await?;
            }
        }
        Ok(())
    }
}

/// Computes how many children of each item of a stage have ended, from their marks, and who is ready.
async fn count_anew(
    admin: &Admin,
    storage: &Storage,
    loaded: &mut Loaded,
    name: &str,
    stage: usize,
) -> anyhow::Result<()> {
    let plan = Arc::clone(&loaded.plan);
    // The items of a sample have the numbers that they have in the whole.
    let size = plan.size(stage).unwrap_or(0);
    let bytes_each = usize::from(plan.counter_bits(stage).unwrap_or(32)) / 8;
    for _ in 0..TRIES {
        let below: Vec<_> = plan.below(stage).collect();
        let state = admin.batch(name).await?.unwrap_or_default();
        let ended = |below: usize| state.stages[below].done + state.stages[below].failed;
        let known: Vec<_> = below.iter().map(|below| (*below, ended(*below))).collect();
        let mut seen = vec![0_u32; size as usize];
        let mut wanted = vec![0_u32; size as usize];
        for &below in &below {
            let marks = Marks::read(admin, name, below).await?;
            let goes_on = plan.stages()[below].work.on_failure == batch_plan::work::OnFailure::GoOn;
            for item in loaded.items(below) {
                let mark = marks.of(item);
                let row = loaded.row(Some(storage), below, item).await?;
                for up in plan.ups(below, item, row.as_ref()) {
                    if up.stage != stage {
                        continue;
                    }
                    wanted[up.parent as usize] = up.children as u32;
                    let counts = mark == Mark::Done || (goes_on && mark == Mark::Failed);
                    seen[up.parent as usize] += u32::from(counts);
                }
            }
        }
        // In this order: what is fed in between is under way.
        let again = admin.all_marks(name, stage, batch::AGAIN).await?;
        let marks = Marks::read(admin, name, stage).await?;
        let mut counters = Vec::with_capacity(seen.len() * bytes_each);
        let mut ready = vec![0_u8; size.div_ceil(8) as usize];
        let mut count = 0_u64;
        for (item, (seen, wanted)) in seen.iter().zip(&wanted).enumerate() {
            counters.extend_from_slice(&seen.to_be_bytes()[4 - bytes_each..]);
            let is_ready = *wanted > 0 && seen >= wanted && marks.of(item as u64) == Mark::New;
            if is_ready && !is_set(&again, item as u64) {
                ready[item / 8] |= 0x80 >> (item % 8);
                count += 1;
            }
        }
        if admin
            .swap_counters(name, stage, &known, &counters, &ready, count)
            .await?
        {
            return Ok(());
        }
    }
    anyhow::bail!(
        "items of the stages below {} end too fast for its counters to be computed anew: pause the batch first",
        plan.stages()[stage].name
    )
}
