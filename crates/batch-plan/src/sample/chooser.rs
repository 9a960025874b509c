//! Chooses the items of a sample, stage by stage.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::center::around_the_center;
use super::choice::{Choice, MAX_SAMPLE, SampleError};
use crate::group::Grid;
use crate::job::Renderer;
use crate::layout::Link;
use crate::list::{List, Lists};
use crate::problem::{hint, shown};
use crate::resolved::Resolved;
use crate::row::Row;

/// Identities among which a near one is looked for.
const MAX_HINTS: usize = 1000;

/// The numbers of the chosen items, by stage, in order; `None` for stages whose list was not read.
pub(super) type Chosen = Vec<Option<Vec<u64>>>;

/// Chooses items of a whole plan.
pub(super) struct Chooser<'a> {
    pub(super) plan: &'a Arc<Resolved>,
    pub(super) lists: &'a Lists,
}

impl Chooser<'_> {
    pub(super) fn choose(&self, choice: &Choice) -> Result<Chosen, SampleError> {
        let (members, count) = match choice {
            Choice::Count(count) => (None, *count),
            Choice::Group(id) => {
                let members = self.members_of(id)?;
                let count = members.len() as u64;
                (Some(members), count)
            }
        };
        if !(1..=MAX_SAMPLE).contains(&count) {
            let message = format!("a sample has 1 to {MAX_SAMPLE} items of a stage, not {count}");
            return Err(SampleError::Choice(message));
        }
        let mut chosen = Vec::new();
        for (k, stage) in self.plan.stages.iter().enumerate() {
            chosen.push(match (&stage.items, k, &members) {
                (None, ..) => self.parents(k, &chosen),
                (Some(_), 0, Some(members)) => Some(members.clone()),
                (Some(_), ..) => self.some(k, count),
            });
        }
        Ok(chosen)
    }

    /// Members of a group of items of the first stage.
    fn members_of(&self, id: &str) -> Result<Vec<u64>, SampleError> {
        let mut above = self
            .plan
            .layouts
            .iter()
            .take(1)
            .flat_map(|first| &first.above);
        let Some((k, link)) = above.find(|(_, link)| *link != Link::Same) else {
            let message = "no stage groups the items of the first one";
            return Err(SampleError::Choice(message.to_owned()));
        };
        let renderer = Renderer::new(Arc::clone(self.plan), *k)?;
        let mut others = Vec::new();
        for group in 0..self.plan.size(*k).unwrap_or(0) {
            let row = self.lists.get(*k).and_then(|list| list.row(group));
            let found = renderer.item_id(group, row.as_ref())?;
            if found == id {
                return Ok(match link {
                    Link::Grid(grid) => first_children(grid, group),
                    Link::Same | Link::Text(_) => row.map(members).unwrap_or_default(),
                });
            }
            if others.len() < MAX_HINTS {
                others.push(found);
            }
        }
        let near = hint(id, others.iter().map(String::as_str));
        let stage = &self.plan.stages[*k].name;
        let message = format!("stage `{stage}` has no item `{}`{near}", shown(id));
        Err(SampleError::Choice(message))
    }

    /// Items of a stage that gather at least one that was chosen.
    fn parents(&self, k: usize, chosen: &Chosen) -> Option<Vec<u64>> {
        let mut parents = BTreeSet::new();
        for (j, link) in &self.plan.layouts[k].below {
            for &child in chosen[*j].iter().flatten() {
                match link {
                    Link::Same => _ = parents.insert(child),
                    Link::Grid(grid) => parents.extend(grid.parent_of(child)),
                    Link::Text(_) => {
                        let row = self.lists.get(self.plan.layouts[*j].base)?.row(child)?;
                        parents.extend(row.group.map(|(group, _)| group));
                    }
                }
            }
        }
        Some(parents.into_iter().collect())
    }

    /// Some items of a stage that has its own.
    fn some(&self, k: usize, count: u64) -> Option<Vec<u64>> {
        let mut items = match self.plan.grid(k) {
            Some(range) => {
                let above = self.plan.layouts[k].above.iter();
                let grid = above.map(|(_, link)| link).find_map(Link::grid);
                let alone = || Grid::new(range, &[]);
                around_the_center(&grid.cloned().unwrap_or_else(alone), count)
            }
            None => {
                let list = self.lists.get(k)?;
                let groups = self.plan.groupings(k).next();
                match groups.and_then(|groups| self.lists.get(groups)) {
                    Some(groups) => from_the_middle(groups, count),
                    None => spread(list.len(), count),
                }
            }
        };
        items.sort_unstable();
        Some(items)
    }
}

/// The children of a parent, or so many that they are too many for a sample.
fn first_children(grid: &Grid, parent: u64) -> Vec<u64> {
    let limit = usize::try_from(MAX_SAMPLE + 1).unwrap_or(usize::MAX);
    grid.children(parent).take(limit).collect()
}

fn members(group: Row) -> Vec<u64> {
    group.members().into_iter().flatten().collect()
}

/// Members of the middle group, then of its neighbors in turn.
fn from_the_middle(groups: &List, count: u64) -> Vec<u64> {
    let middle = groups.len() / 2;
    let order = (0..groups.len()).flat_map(|distance| {
        let below = middle.checked_sub(distance).filter(|_| distance > 0);
        let above = Some(middle + distance).filter(|&group| group < groups.len());
        [above, below].into_iter().flatten()
    });
    let members = order.filter_map(|group| groups.row(group)?.members());
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    members.flatten().take(wanted).collect()
}

/// Numbers that are spread evenly.
fn spread(len: u64, count: u64) -> Vec<u64> {
    let count = count.min(len);
    (0..count).map(|index| index * len / count).collect()
}
