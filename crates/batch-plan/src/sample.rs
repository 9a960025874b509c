//! A part of a plan that runs like the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Map;

use crate::group::Grid;
use crate::job::{RenderError, Renderer};
use crate::layout::Link;
use crate::list::{Arena, List, Lists, sibling, text_link};
use crate::problem::{PlanError, hint, shown};
use crate::range::{Axis, Range};
use crate::resolved::{Items, Resolved};
use crate::source::ListError;

/// Items of a stage that a sample has at most: they are stored in the plan.
pub const MAX_SAMPLE: u64 = 10_000;

/// Which items a sample has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// So many of each stage that has items of its own: members of the middle group, and of those around it; without groups,
    /// of grids those around the center, of lists some that are spread evenly.
    Count(u64),
    /// The members of a group, by the identity that it has in the first stage that groups items of the first one.
    Group(String),
}

/// Why a sample cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// What was asked for does not exist.
    #[error("{0}")]
    Choice(String),
    /// The plan does not fit together any more.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A list of the plan cannot be read again.
    #[error(transparent)]
    List(#[from] ListError),
    /// The identity of a group cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
}

impl Resolved {
    /// Leaves only the items of a sample, in a plan that was resolved as one and whose lists were read.
    ///
    /// Stages of grids keep the numbers of their items and know which are [`chosen`](crate::Stage::chosen); lists become shorter.
    /// Stages above keep those items that gather at least one; how many they wait for is counted in the sample, so that every
    /// stage runs.
    ///
    /// # Errors
    ///
    /// The plan is not resolved as a sample; more than [`MAX_SAMPLE`] items are asked for; there is no such group.
    pub fn choose(&mut self, lists: &mut Lists, choice: &Choice) -> Result<(), SampleError> {
        if !self.sample || self.stages.iter().any(|stage| stage.chosen.is_some()) {
            let message = "the plan was not resolved as a sample, or is one already";
            return Err(SampleError::Choice(message.to_owned()));
        }
        let plan = Arc::new(self.clone());
        let chooser = Chooser { plan: &plan, lists };
        let (first, count) = match choice {
            Choice::Count(count) => (None, *count),
            Choice::Group(id) => {
                let members = chooser.group(id)?;
                let count = members.len() as u64;
                (Some(members), count)
            }
        };
        if !(1..=MAX_SAMPLE).contains(&count) {
            let message = format!("a sample has 1 to {MAX_SAMPLE} items of a stage, not {count}");
            return Err(SampleError::Choice(message));
        }
        let mut chosen: Vec<Option<Vec<u64>>> = Vec::new();
        for (k, stage) in plan.stages.iter().enumerate() {
            chosen.push(match (&stage.items, k, &first) {
                (None, ..) => chooser.parents(k, &chosen),
                (Some(_), 0, Some(members)) => Some(members.clone()),
                (Some(_), ..) => chooser.some(k, count),
            });
        }
        lists.lists = shorter(&plan, lists, &chosen);
        let stages = std::mem::take(&mut self.stages);
        self.layouts.clear();
        for (k, mut stage) in stages.into_iter().enumerate() {
            match &mut stage.items {
                // Feeders without a bucket read what stands here, so only the sample does.
                Some(Items::List(values)) => {
                    *values = lists.get(k).map(values_of).unwrap_or_default();
                    stage.shuffle = None;
                }
                _ if plan.grid(k).is_some() => stage.chosen.clone_from(&chosen[k]),
                _ => {}
            }
            self.push(stage)
                .map_err(|problems| PlanError { problems })?;
        }
        // Groups of groups may come in another order when they are made of fewer items.
        lists.lists.extend(self.inline_lists()?.lists);
        self.note(&lists.lists);
        Ok(())
    }
}

/// The elements that a list's rows were made of.
fn values_of(list: &List) -> Vec<serde_json::Value> {
    (0..list.len())
        .filter_map(|item| list.row(item))
        .map(|mut row| match row.vars.len() {
            1 => row.vars.remove("item").unwrap_or(row.vars.into()),
            _ => row.vars.into(),
        })
        .collect()
}

struct Chooser<'a> {
    plan: &'a Arc<Resolved>,
    lists: &'a Lists,
}

impl Chooser<'_> {
    /// Some items of a stage that has its own.
    fn some(&self, k: usize, count: u64) -> Option<Vec<u64>> {
        let mut items = match self.plan.grid(k) {
            Some(range) => {
                let grids = self.plan.layouts[k].above.iter();
                let grid = grids
                    .filter_map(|(_, link)| match link {
                        Link::Grid(grid) => Some(grid.clone()),
                        Link::Same | Link::Text(_) => None,
                    })
                    .next()
                    .unwrap_or_else(|| Grid::new(range, &[]));
                around_the_center(&grid, count)
            }
            None => {
                let list = self.lists.get(k)?;
                match self.groups_of(k) {
                    Some(groups) => from_the_middle(groups, count),
                    None => {
                        let count = count.min(list.len());
                        (0..count).map(|index| index * list.len() / count).collect()
                    }
                }
            }
        };
        items.sort_unstable();
        Some(items)
    }

    /// The list of the groups of a list.
    fn groups_of(&self, base: usize) -> Option<&List> {
        let groups = (0..self.plan.stages.len()).find(|&k| {
            text_link(self.plan, k).is_some_and(|(j, _)| self.plan.layouts[j].base == base)
        });
        self.lists.get(groups?)
    }

    /// Members of a group of the first stage.
    fn group(&self, id: &str) -> Result<Vec<u64>, SampleError> {
        let above = self
            .plan
            .layouts
            .first()
            .map(|layout| layout.above.as_slice());
        let mut above = above.unwrap_or_default().iter();
        let grouping = above.find(|(_, link)| !matches!(link, Link::Same));
        let Some((k, link)) = grouping else {
            let message = "no stage groups the items of the first one";
            return Err(SampleError::Choice(message.to_owned()));
        };
        let renderer = Renderer::new(Arc::clone(self.plan), *k)?;
        let mut ids = Vec::new();
        for group in 0..self.plan.size(*k).unwrap_or(0) {
            let row = self.lists.get(*k).and_then(|list| list.row(group));
            let found = renderer.item_id(group, row.as_ref())?;
            if found != id {
                // Enough for a near name.
                if ids.len() < 1000 {
                    ids.push(found);
                }
                continue;
            }
            if let Link::Grid(grid) = link {
                // A group may be larger than all that is allowed.
                let limit = usize::try_from(MAX_SAMPLE + 1).unwrap_or(usize::MAX);
                return Ok(grid.children(group).take(limit).collect());
            }
            let members = row.and_then(|row| Some((row.first?, row.count()?)));
            let (first, count) = members.unwrap_or_default();
            return Ok((first..first + count).collect());
        }
        let near = hint(id, ids.iter().map(String::as_str));
        let stage = &self.plan.stages[*k].name;
        let message = format!("stage `{stage}` has no item `{}`{near}", shown(id));
        Err(SampleError::Choice(message))
    }

    /// Items that gather at least one that was chosen.
    fn parents(&self, k: usize, chosen: &[Option<Vec<u64>>]) -> Option<Vec<u64>> {
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
}

/// Children of the parents around the center, nearest first.
fn around_the_center(grid: &Grid, count: u64) -> Vec<u64> {
    let parents = grid.parent();
    let center: Vec<u64> = parents
        .axes
        .iter()
        .map(|axis| axis.from + axis.len() / 2)
        .collect();
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    for radius in 0.. {
        // The box of this radius; of it, only what is new.
        let axes: Vec<Axis> = parents
            .axes
            .iter()
            .zip(&center)
            .map(|(axis, &at)| Axis {
                name: String::new(),
                from: at.saturating_sub(radius).max(axis.from),
                to: at.saturating_add(radius).saturating_add(1).min(axis.to),
            })
            .collect();
        let block = Range { axes };
        let size = block.size().unwrap_or(0);
        for number in 0..size {
            let point = block.point(number);
            let distance = point.iter().zip(&center).map(|(a, b)| a.abs_diff(*b)).max();
            if distance != Some(radius) {
                continue;
            }
            if let Some(parent) = parents.number(&point) {
                items.extend(grid.children(parent).take(wanted - items.len()));
            }
            if items.len() >= wanted {
                return items;
            }
        }
        if Some(size) == parents.size() {
            break;
        }
    }
    items
}

/// Members of the middle group, then of its neighbors in turn.
fn from_the_middle(groups: &List, count: u64) -> Vec<u64> {
    let middle = groups.len() / 2;
    let order = (0..groups.len()).flat_map(|distance| {
        let below = middle.checked_sub(distance).filter(|_| distance > 0);
        let above = Some(middle + distance).filter(|&group| group < groups.len());
        [above, below].into_iter().flatten()
    });
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut items: Vec<u64> = Vec::new();
    for group in order {
        let row = groups.row(group);
        let members = row.and_then(|row| Some((row.first?, row.count()?)));
        let (first, count) = members.unwrap_or_default();
        items.extend((first..first + count).take(wanted - items.len()));
        if items.len() >= wanted {
            break;
        }
    }
    items
}

/// The lists with only those rows that were chosen.
fn shorter(plan: &Resolved, lists: &Lists, chosen: &[Option<Vec<u64>>]) -> BTreeMap<usize, List> {
    let mut short = BTreeMap::new();
    for (k, list) in lists.iter() {
        let Some(items) = &chosen[k] else { continue };
        let mut kept = list.only(items);
        let base = text_link(plan, k).map(|(j, _)| plan.layouts[j].base);
        if let Some(base) = base {
            if let Some(same) = sibling(plan, &short, k, base) {
                short.insert(k, same);
                continue;
            }
            if let Some(members) = short.get_mut(&base) {
                kept.regroup(members, items);
            }
        }
        short.insert(k, kept);
    }
    short
}

impl List {
    /// Some rows, in their order.
    fn only(&self, items: &[u64]) -> Self {
        let pick = |values: &[u32]| -> Vec<u32> {
            let found = items
                .iter()
                .filter_map(|&item| values.get(usize::try_from(item).ok()?));
            found.copied().collect()
        };
        Self {
            order: pick(&self.order),
            groups: self.groups.as_deref().map(pick),
            ..self.clone()
        }
    }

    /// Numbers and counts the groups of a shorter list again. `numbers` are the old numbers of the groups that are left.
    fn regroup(&mut self, members: &mut Self, numbers: &[u64]) {
        let new: BTreeMap<u64, u32> = numbers.iter().copied().zip(0..).collect();
        let mut counts = vec![0_u32; numbers.len()];
        let mut firsts = vec![u32::MAX; numbers.len()];
        for (position, group) in (0_u32..).zip(members.groups.iter_mut().flatten()) {
            *group = new.get(&u64::from(*group)).copied().unwrap_or(0);
            if let Some(count) = counts.get_mut(*group as usize) {
                *count += 1;
            }
            if let Some(first) = firsts.get_mut(*group as usize) {
                *first = position.min(*first);
            }
        }
        let mut arena = Arena::default();
        for (item, count) in (0..self.len()).zip(&counts) {
            let mut vars = self.row(item).map_or_else(Map::new, |row| row.vars);
            vars.insert("count".to_owned(), (*count).into());
            // Rows that were there before fit again.
            let _ = arena.push(&vars);
        }
        members.counts = counts;
        *self = Self {
            groups: self.groups.take(),
            counts: std::mem::take(&mut self.counts),
            firsts: Some(firsts),
            ..Self::new(arena)
        };
    }
}
