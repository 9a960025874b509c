//! A batch made to agree with what lies in the bucket.

use std::collections::{BTreeMap, HashSet};

use batch_plan::Resolved;

use super::comparison::{Comparison, Missing};
use super::counters::count_anew;
use super::loaded::Loaded;
use crate::queue::Admin;
use crate::queue::control::Remark;

/// Items whose marks are changed by one script.
const STEP: usize = 500;

/// What is to be repaired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repair {
    /// Outputs that are there count, whatever was known of their items.
    pub(crate) adopts: bool,
    /// Failed items without outputs are worked again.
    pub(crate) with_failed: bool,
    /// So many items at most are worked again.
    pub(crate) most_again: usize,
}

/// What is to be done, by stage.
#[derive(Default)]
pub(crate) struct Todo {
    marks: BTreeMap<usize, BTreeMap<Remark, Vec<u64>>>,
    /// Stages whose counters are wrong.
    counters: Vec<usize>,
}

impl Comparison {
    /// What is to be done. Of a chain only the first item is worked again: those above it follow by themselves.
    pub(crate) fn todo(&self, repair: Repair) -> Todo {
        let mut todo = Todo::default();
        let mut redone = vec![HashSet::new(); self.stages.len()];
        let mut left_out = redone.clone();
        let mut room = repair.most_again;
        for (number, stage) in self.stages.iter().enumerate() {
            if repair.adopts {
                let adopted = stage.unknown.iter();
                adopted.for_each(|item| todo.add(number, Remark::Adopt, *item));
            }
            for missing in &stage.missing {
                if missing.has_failed && !repair.with_failed {
                    continue;
                }
                let remark = match missing.is_above(&redone) {
                    true => Remark::Clear,
                    false => Remark::Again,
                };
                let has_room = remark == Remark::Clear || room > 0;
                // What it needs is not there, and will not be.
                if missing.is_above(&left_out) || !has_room {
                    left_out[number].insert(missing.item);
                    continue;
                }
                room -= usize::from(remark == Remark::Again);
                todo.add(number, remark, missing.item);
                redone[number].insert(missing.item);
            }
        }
        todo
    }
}

impl Missing {
    /// Whether one of these items is below it.
    fn is_above(&self, items_of: &[HashSet<u64>]) -> bool {
        let mut below = self.below.iter();
        below.any(|(stage, items)| items.iter().any(|item| items_of[*stage].contains(item)))
    }
}

impl Todo {
    /// An item that has ended is to be worked once more.
    pub(crate) fn again(&mut self, stage: usize, item: u64) {
        self.add(stage, Remark::Again, item);
    }

    fn add(&mut self, stage: usize, remark: Remark, item: u64) {
        let of_stage = self.marks.entry(stage).or_default();
        of_stage.entry(remark).or_default().push(item);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.counters.is_empty()
    }

    /// Counters of these stages are wrong, too.
    pub(crate) fn with_counters(mut self, stages: Vec<usize>) -> Self {
        self.counters = stages;
        self
    }

    /// Stages whose counters are wrong.
    pub(crate) fn counters(&self) -> &[usize] {
        &self.counters
    }

    /// Of how many items of a stage the mark changes in this way.
    pub(crate) fn count(&self, stage: usize, remark: Remark) -> usize {
        let of_stage = self.marks.get(&stage);
        let items = of_stage.and_then(|items| items.get(&remark));
        items.map_or(0, Vec::len)
    }

    /// Does it, and computes anew what stages above know of their children. May be broken off and done again.
    pub(crate) async fn apply(&self, admin: &Admin, loaded: &mut Loaded) -> anyhow::Result<()> {
        for (stage, items) in &self.marks {
            for (remark, items) in items {
                for step in items.chunks(STEP) {
                    let name = loaded.plan.name();
                    admin.remark(name, *stage, *remark, step).await?;
                }
            }
        }
        for stage in 0..loaded.plan.stages().len() {
            if loaded.plan.is_gathered(stage) && self.touches(&loaded.plan, stage) {
                count_anew(admin, loaded, stage).await?;
            }
        }
        Ok(())
    }

    /// Whether counters of a stage change with it: its own items do, or those below.
    fn touches(&self, plan: &Resolved, stage: usize) -> bool {
        let mut stages = plan.below(stage).chain([stage]);
        self.counters.contains(&stage) || stages.any(|stage| self.marks.contains_key(&stage))
    }
}
