//! Reads the lists of a plan and puts them in order.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::groups;
use super::rows::List;
use crate::job::Renderer;
use crate::problem::shown;
use crate::resolved::{Items, Listed, Resolved};
use crate::shuffle::Permutation;
use crate::source::{self, ListError, Nothing, Supply};

/// The lists of a plan, by the stage that has them.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    pub(crate) lists: BTreeMap<usize, List>,
}

impl Lists {
    /// The list of a stage; nothing for grids, and for stages that follow another one by one.
    pub fn get(&self, stage: usize) -> Option<&List> {
        self.lists.get(&stage)
    }

    /// All lists with their stages.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &List)> {
        self.lists.iter().map(|(&stage, list)| (stage, list))
    }
}

impl Resolved {
    /// Reads all lists but those that are late, and makes groups by a text. From then on stages know their totals, and the digest
    /// holds what was read.
    ///
    /// A row takes its JSON, some 30 bytes beside it, and 50 for each group.
    ///
    /// # Errors
    ///
    /// A source cannot be read, is empty, or has a row that is wrong; two items have one identity.
    pub fn read_lists(&mut self, supply: &mut dyn Supply) -> Result<Lists, ListError> {
        let stages = self.listed_stages(|_, late| !late);
        self.read_stages(&stages, supply)
    }

    /// Reads one list that is late, which may be empty.
    ///
    /// # Errors
    ///
    /// As [`read_lists`](Self::read_lists).
    pub fn read_late(&mut self, stage: usize, supply: &mut dyn Supply) -> Result<Lists, ListError> {
        let stages = self.listed_stages(|k, late| late && k == stage);
        self.read_stages(&stages, supply)
    }

    /// Takes over what the same plan knows of its late lists.
    pub fn keep_late(&mut self, other: &Self) {
        for stage in 0..self.stages.len() {
            let same = other.stage_number(&self.stages[stage].name);
            if self.is_late(stage)
                && let Some(same) = same
            {
                self.stages[stage].listed = other.stages[same].listed.clone();
            }
        }
    }

    /// The lists that stand in the plan itself, for feeders without a bucket.
    ///
    /// # Errors
    ///
    /// As [`read_lists`](Self::read_lists).
    pub fn inline_lists(&self) -> Result<Lists, ListError> {
        let stages = self
            .listed_stages(|k, late| !late && matches!(self.stages[k].items, Some(Items::List(_))));
        self.clone().read_stages(&stages, &mut Nothing)
    }

    fn listed_stages(&self, wanted: impl Fn(usize, bool) -> bool) -> Vec<usize> {
        let stages = self.stages.iter().enumerate();
        stages
            .filter(|(_, stage)| stage.items.as_ref().is_some_and(Items::is_list))
            .filter(|(k, stage)| wanted(*k, stage.work.late))
            .map(|(k, _)| k)
            .collect()
    }

    fn read_stages(
        &mut self,
        stages: &[usize],
        supply: &mut dyn Supply,
    ) -> Result<Lists, ListError> {
        let mut lists = BTreeMap::new();
        for &k in stages {
            // What was known of a former reading would be held against this one.
            self.stages[k].listed = None;
            let arena = source::read(self, k, supply)?;
            if arena.len() == 0 && !self.stages[k].work.late {
                return Err(ListError::Size {
                    stage: self.stages[k].name.clone(),
                    message: nothing_in(self.stages[k].items.as_ref()),
                });
            }
            lists.insert(k, List::new(arena));
        }
        let plan = Arc::new(self.clone());
        for (&k, list) in &mut lists {
            for stage in (k..plan.stages.len()).filter(|&stage| plan.rows_of(stage) == Some(k)) {
                unique(&plan, stage, list)?;
            }
            if let Some(seed) = plan.stages[k].shuffle {
                let permutation = Permutation::new(list.len(), seed);
                list.order = (0..list.len())
                    .filter_map(|position| u32::try_from(permutation.item(position)).ok())
                    .collect();
            }
        }
        groups::group(&plan, &mut lists)?;
        self.note(&lists);
        Ok(Lists { lists })
    }

    /// Notes what the plan has to know of its lists.
    pub(crate) fn note(&mut self, lists: &BTreeMap<usize, List>) {
        for (&k, list) in lists {
            let members = self.grouped_rows(k).and_then(|rows_of| lists.get(&rows_of));
            let largest =
                members.map(|members| members.counts.iter().copied().max().unwrap_or(0).into());
            self.stages[k].listed = Some(Listed {
                total: list.len(),
                digest: list.digest(),
                largest,
            });
        }
    }
}

/// What is said of a source without items.
fn nothing_in(items: Option<&Items>) -> String {
    match items {
        Some(Items::Files { path, .. }) => {
            format!("there is no item: no file in `{}` is one", shown(path))
        }
        _ => "there is no item".to_owned(),
    }
}

/// Looks for two items of one identity. Only 16 bytes an item are kept: texts are made again for those that seem equal.
fn unique(plan: &Arc<Resolved>, stage: usize, list: &List) -> Result<(), ListError> {
    let renderer = Renderer::new(Arc::clone(plan), stage)?;
    let id = |item: u64| renderer.item_id(item, list.row(item).as_ref());
    let mut hashes = Vec::with_capacity(list.order.len());
    for item in 0..list.len() {
        let mut hasher = DefaultHasher::new();
        id(item)?.hash(&mut hasher);
        hashes.push((hasher.finish(), u32::try_from(item).unwrap_or(u32::MAX)));
    }
    hashes.sort_unstable();
    for pair in hashes.windows(2) {
        let ((one, first), (other, second)) = (pair[0], pair[1]);
        if one != other {
            continue;
        }
        let text = id(first.into())?;
        if text == id(second.into())? {
            return Err(ListError::Duplicate {
                stage: plan.stages[stage].name.clone(),
                id: text,
                first: u64::from(first) + 1,
                second: u64::from(second) + 1,
            });
        }
    }
    Ok(())
}
