//! How the stages of a plan hang together: whose items become whose.

mod check;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::group::Grid;
use crate::problem::{Problem, hint, shown};
use crate::range::Range;
use crate::resolved::{Group, Items, Resolved, Stage};
use crate::row::Row;
use crate::shuffle::Permutation;

/// Items that a stage has at most.
pub const MAX_ITEMS: u64 = 1 << 31;

/// A stage among the others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    pub(crate) units: Units,
    /// The stage whose rows are the items; itself, unless the stage follows another one by one.
    pub(crate) base: usize,
    /// Stages whose items become the items of this one.
    pub(crate) below: Vec<(usize, Link)>,
    /// Stages that gather items of this one.
    pub(crate) above: Vec<(usize, Link)>,
    /// Stages that have to be complete.
    pub(crate) barriers: Vec<usize>,
    pub(crate) permutation: Option<Permutation>,
    /// In a sample: children by the stage below and the parent.
    sampled: HashMap<(usize, u64), u64>,
}

/// What items are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    Grid(Range),
    Rows,
}

/// How an item below becomes an item above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Same,
    Grid(Grid),
    Text(String),
}

/// An item above that is told of the end of one below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Up {
    /// Number of the stage.
    pub stage: usize,
    /// Number of its item.
    pub parent: u64,
    /// How many items below it waits for.
    pub children: u64,
}

/// Adds a stage to those that it stands below.
pub(crate) fn push(
    stages: &[Stage],
    stage: &Stage,
    layouts: &mut Vec<Layout>,
    set: &BTreeMap<String, Value>,
) -> Result<(), Vec<Problem>> {
    let k = stages.len();
    let mut problems = Vec::new();
    let path = |what: &str| format!("stages.{}.{what}", stage.name);
    let mut below: Vec<(usize, Link)> = Vec::new();
    let mut barriers = Vec::new();
    let mut units = None;
    for (index, after) in stage.after.iter().enumerate() {
        let path = path(&format!("after[{index}]"));
        let Some(j) = stages.iter().position(|other| other.name == after.stage) else {
            let message = format!(
                "no stage `{}` stands above{}",
                shown(&after.stage),
                hint(&after.stage, stages.iter().map(|stage| stage.name.as_str()))
            );
            problems.push(Problem::new(path, message));
            continue;
        };
        if stage.after[..index]
            .iter()
            .any(|other| other.stage == after.stage)
        {
            problems.push(Problem::new(path, "the stage is named twice"));
            continue;
        }
        if after.all {
            if after.group.is_some() {
                problems.push(Problem::new(path, "`group` and `all` exclude each other"));
            }
            barriers.push(j);
            continue;
        }
        match link(&layouts[j], after.group.as_ref()) {
            Ok((link, mut found)) => {
                // Items that are rows are those of the stage that has them; groups are the stage's own.
                if let Unit::Rows(base) = &mut found
                    && matches!(link, Link::Text(_))
                {
                    *base = k;
                }
                if units.as_ref().is_some_and(|units| *units != found)
                    || (!below.is_empty()
                        && (matches!(link, Link::Text(_))
                            || below.iter().any(|(_, link)| matches!(link, Link::Text(_)))))
                {
                    let message = "the stages it follows give it different items: only those that give the same can be \
                                   gathered together, and groups by a text not at all";
                    problems.push(Problem::new(path, message));
                }
                units.get_or_insert(found);
                below.push((j, link));
            }
            Err(message) => problems.push(Problem::new(path, message)),
        }
    }
    check::texts(stages, layouts, stage, &below, &mut problems);
    check::shape(stage, &below, &barriers, set, &mut problems);
    let own = match &stage.items {
        Some(Items::Range(range)) => Unit::Grid(range.clone()),
        _ => Unit::Rows(k),
    };
    let (units, base) = match units.unwrap_or(own) {
        Unit::Grid(range) => (Units::Grid(range), k),
        Unit::Rows(base) => (Units::Rows, base),
    };
    if let Units::Grid(range) = &units {
        check::size(range, &path("items"), &mut problems);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let permutation = match (&units, stage.shuffle, &stage.chosen) {
        (Units::Grid(range), Some(seed), None) => {
            range.size().map(|size| Permutation::new(size, seed))
        }
        _ => None,
    };
    check::chosen(stage, &units).map_err(|problem| vec![problem])?;
    let sampled = sampled(stages, &below);
    for (j, link) in &below {
        layouts[*j].above.push((k, link.clone()));
    }
    layouts.push(Layout {
        units,
        base,
        below,
        above: Vec::new(),
        barriers,
        permutation,
        sampled,
    });
    Ok(())
}

#[derive(Clone, PartialEq, Eq)]
enum Unit {
    Grid(Range),
    Rows(usize),
}

/// What joins a stage to one below, and what its items are by that.
fn link(below: &Layout, group: Option<&Group>) -> Result<(Link, Unit), String> {
    match (group, &below.units) {
        (None, Units::Grid(range)) => Ok((Link::Same, Unit::Grid(range.clone()))),
        (None, Units::Rows) => Ok((Link::Same, Unit::Rows(below.base))),
        (Some(Group::Text(text)), Units::Rows) => {
            Ok((Link::Text(text.clone()), Unit::Rows(below.base)))
        }
        (Some(Group::Text(_)), Units::Grid(_)) => {
            Err("a grid is grouped by factors of its axes, such as {x: 2}".to_owned())
        }
        (Some(Group::Grid(_)), Units::Rows) => {
            Err("a list is grouped by a text, such as \"{{ movie }}\"".to_owned())
        }
        (Some(Group::Grid(factors)), Units::Grid(range)) => {
            let names = || range.axes.iter().map(|axis| axis.name.as_str());
            if let Some(name) = factors.keys().find(|name| range.axis(name).is_none()) {
                let near = hint(name, names());
                return Err(format!("the grid has no axis `{}`{near}", shown(name)));
            }
            if factors.values().any(|&factor| factor == 0) {
                return Err("a factor is 0".to_owned());
            }
            let by: Vec<_> = names()
                .map(|name| factors.get(name).copied().unwrap_or(1))
                .collect();
            let grid = Grid::new(range, &by);
            let unit = Unit::Grid(grid.parent().clone());
            Ok((Link::Grid(grid), unit))
        }
    }
}

/// Children of each parent, if only some items of the stages below are worked.
fn sampled(stages: &[Stage], below: &[(usize, Link)]) -> HashMap<(usize, u64), u64> {
    let mut counts = HashMap::new();
    for (j, link) in below {
        for &child in stages[*j].chosen.iter().flatten() {
            let parent = match link {
                Link::Same => Some(child),
                Link::Grid(grid) => grid.parent_of(child),
                Link::Text(_) => None,
            };
            if let Some(parent) = parent {
                *counts.entry((*j, parent)).or_default() += 1;
            }
        }
    }
    counts
}

impl Layout {
    /// How many items of a stage below become this one; nothing for groups by a text, which know it themselves.
    fn count(&self, stages: &[Stage], j: usize, link: &Link, parent: u64) -> Option<u64> {
        if stages[j].chosen.is_some() {
            return Some(self.sampled.get(&(j, parent)).copied().unwrap_or(0));
        }
        match link {
            Link::Same => Some(1),
            Link::Grid(grid) => Some(grid.count(parent)),
            Link::Text(_) => None,
        }
    }
}

impl Resolved {
    /// Item numbers of a stage are below this; nothing while its list was not read.
    pub fn size(&self, stage: usize) -> Option<u64> {
        let layout = self.layouts.get(stage)?;
        match &layout.units {
            Units::Grid(range) => range.size(),
            Units::Rows => Some(self.stages[layout.base].listed.as_ref()?.total),
        }
    }

    /// How many items of a stage are to be done: in a sample of a grid, less than [`size`](Self::size).
    pub fn total(&self, stage: usize) -> Option<u64> {
        match &self.stages.get(stage)?.chosen {
            Some(chosen) => Some(chosen.len() as u64),
            None => self.size(stage),
        }
    }

    /// The item at a position, for positions below [`total`](Self::total).
    pub fn item_at(&self, stage: usize, position: u64) -> Option<u64> {
        if position >= self.total(stage)? {
            return None;
        }
        if let Some(chosen) = &self.stages[stage].chosen {
            return chosen.get(usize::try_from(position).ok()?).copied();
        }
        Some(match &self.layouts[stage].permutation {
            Some(permutation) => permutation.item(position),
            None => position,
        })
    }

    /// The grid of a stage's items, unless they are rows.
    pub fn grid(&self, stage: usize) -> Option<&Range> {
        match &self.layouts.get(stage)?.units {
            Units::Grid(range) => Some(range),
            Units::Rows => None,
        }
    }

    /// The stage whose stored rows are the items of this one: itself, or the one that it follows one by one. Nothing for grids.
    pub fn rows_of(&self, stage: usize) -> Option<usize> {
        let layout = self.layouts.get(stage)?;
        matches!(layout.units, Units::Rows).then_some(layout.base)
    }

    /// The stages that have to be complete before this one begins.
    pub fn barriers(&self, stage: usize) -> &[usize] {
        self.layouts
            .get(stage)
            .map_or(&[], |layout| &layout.barriers)
    }

    /// Whether items of this stage are released one at a time, by the ends of items below.
    pub fn is_gathered(&self, stage: usize) -> bool {
        self.layouts
            .get(stage)
            .is_some_and(|layout| !layout.below.is_empty())
    }

    /// The stages whose items become items of this one.
    pub fn below(&self, stage: usize) -> impl Iterator<Item = usize> + '_ {
        let layout = self.layouts.get(stage);
        layout
            .into_iter()
            .flat_map(|layout| layout.below.iter().map(|(j, _)| *j))
    }

    /// The stages that are told of the ends of this one's items.
    pub fn above(&self, stage: usize) -> impl Iterator<Item = usize> + '_ {
        let layout = self.layouts.get(stage);
        layout
            .into_iter()
            .flat_map(|layout| layout.above.iter().map(|(k, _)| *k))
    }

    /// The items above that are told of the end of this one. Items of lists have their row.
    pub fn ups(&self, stage: usize, item: u64, row: Option<&Row>) -> Vec<Up> {
        let Some(layout) = self.layouts.get(stage) else {
            return Vec::new();
        };
        let up = |(k, link): &(usize, Link)| {
            let (parent, children) = match link {
                Link::Text(_) => row?.group?,
                Link::Same => (item, self.children_count(*k, item)?),
                Link::Grid(grid) => {
                    let parent = grid.parent_of(item)?;
                    (parent, self.children_count(*k, parent)?)
                }
            };
            Some(Up {
                stage: *k,
                parent,
                children,
            })
        };
        layout.above.iter().filter_map(up).collect()
    }

    /// How many items below an item waits for; nothing for groups by a text, whose row says it.
    fn children_count(&self, stage: usize, item: u64) -> Option<u64> {
        let layout = &self.layouts[stage];
        layout.below.iter().try_fold(0_u64, |sum, (j, link)| {
            Some(sum + layout.count(&self.stages, *j, link, item)?)
        })
    }

    /// The items below that an item waits for, by stage. Groups by a text have their row.
    pub fn children(&self, stage: usize, item: u64, row: Option<&Row>) -> Vec<(usize, Vec<u64>)> {
        let Some(layout) = self.layouts.get(stage) else {
            return Vec::new();
        };
        let all = |(j, link): &(usize, Link)| {
            let mut items: Vec<u64> = match link {
                Link::Same => vec![item],
                Link::Grid(grid) => grid.children(item).collect(),
                Link::Text(_) => row
                    .and_then(|row| {
                        let first = row.first?;
                        let end = first.checked_add(row.count()?)?;
                        // A row that is not of this list could ask for any number of items.
                        (end <= self.size(*j)?).then(|| (first..end).collect())
                    })
                    .unwrap_or_default(),
            };
            if let Some(chosen) = &self.stages[*j].chosen {
                items.retain(|item| chosen.binary_search(item).is_ok());
            }
            (*j, items)
        };
        layout.below.iter().map(all).collect()
    }

    /// The most items below that an item of this stage waits for, which a counter has to hold. Nothing for stages that gather
    /// nothing, and while lists were not read.
    pub fn largest_group(&self, stage: usize) -> Option<u64> {
        let layout = self.layouts.get(stage)?;
        if layout.below.is_empty() {
            return None;
        }
        layout.below.iter().try_fold(0_u64, |sum, (_, link)| {
            let largest = match link {
                Link::Same => 1,
                Link::Grid(grid) => grid.largest(),
                Link::Text(_) => self.stages[stage].listed.as_ref()?.largest?,
            };
            Some(sum.saturating_add(largest))
        })
    }

    /// The bits of that counter: 8, 16 or 32.
    pub fn counter_bits(&self, stage: usize) -> Option<u8> {
        self.largest_group(stage).map(|largest| match largest {
            0..=0xff => 8,
            0x100..=0xffff => 16,
            _ => 32,
        })
    }
}
