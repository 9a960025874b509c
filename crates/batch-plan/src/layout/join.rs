//! Joins a stage to the stages before it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::links::{Layout, Link, Units};
use crate::group::Grid;
use crate::problem::{Problem, hint, shown};
use crate::range::Range;
use crate::resolved::{After, Group, Items, Stage};
use crate::shuffle::Permutation;

/// Adds a stage to the stages before it.
pub(crate) fn push(
    stages: &[Stage],
    stage: &Stage,
    layouts: &mut Vec<Layout>,
    set: &BTreeMap<String, Value>,
) -> Result<(), Vec<Problem>> {
    let joining = Joining {
        stages,
        layouts,
        stage,
        set,
        below: Vec::new(),
        barriers: Vec::new(),
        unit: None,
        problems: Vec::new(),
    };
    let layout = joining.finish()?;
    for (j, link) in &layout.below {
        layouts[*j].above.push((stages.len(), link.clone()));
    }
    layouts.push(layout);
    Ok(())
}

/// A stage that is being joined to the stages before it.
pub(super) struct Joining<'a> {
    pub(super) stages: &'a [Stage],
    pub(super) layouts: &'a [Layout],
    pub(super) stage: &'a Stage,
    /// Values of the plan.
    pub(super) set: &'a BTreeMap<String, Value>,
    pub(super) below: Vec<(usize, Link)>,
    pub(super) barriers: Vec<usize>,
    /// What its items are, by the stages below.
    unit: Option<Unit>,
    problems: Vec<Problem>,
}

/// What items are; rows with the stage that has them.
#[derive(Clone, PartialEq, Eq)]
enum Unit {
    Grid(Range),
    Rows(usize),
}

impl Joining<'_> {
    pub(super) fn wrong(&mut self, what: &str, message: impl Into<String>) {
        let path = format!("stages.{}.{what}", self.stage.name);
        self.problems.push(Problem::new(path, message));
    }

    fn finish(mut self) -> Result<Layout, Vec<Problem>> {
        for (index, after) in self.stage.after.iter().enumerate() {
            if let Err(message) = self.condition(index, after) {
                self.wrong(&format!("after[{index}]"), message);
            }
        }
        let (units, base) = self.units();
        self.check_text_groups();
        self.check_settings();
        self.check_items(&units);
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let permutation = match (&units, self.stage.shuffle, &self.stage.chosen) {
            (Units::Grid(range), Some(seed), None) => {
                range.size().map(|size| Permutation::new(size, seed))
            }
            _ => None,
        };
        Ok(Layout {
            units,
            base,
            sampled: sampled(self.stages, &self.below),
            below: self.below,
            above: Vec::new(),
            barriers: self.barriers,
            permutation,
        })
    }

    /// Notes the stage that a condition waits for.
    fn condition(&mut self, index: usize, after: &After) -> Result<(), String> {
        let names = || self.stages.iter().map(|stage| stage.name.as_str());
        let Some(j) = names().position(|name| name == after.stage) else {
            let near = hint(&after.stage, names());
            let name = shown(&after.stage);
            return Err(format!("no stage `{name}` stands above{near}"));
        };
        let mut earlier = self.stage.after[..index].iter();
        if earlier.any(|other| other.stage == after.stage) {
            return Err("the stage is named twice".to_owned());
        }
        if !after.all {
            let (link, unit) = self.link(j, after.group.as_ref())?;
            return self.gather(j, link, unit);
        }
        self.barriers.push(j);
        match after.group {
            Some(_) => Err("`group` and `all` exclude each other".to_owned()),
            None => Ok(()),
        }
    }

    /// What joins the stage to one below, and what its items are by that.
    fn link(&self, j: usize, group: Option<&Group>) -> Result<(Link, Unit), String> {
        let below = &self.layouts[j];
        match (group, &below.units) {
            (None, Units::Grid(range)) => Ok((Link::Same, Unit::Grid(range.clone()))),
            (None, Units::Rows) => Ok((Link::Same, Unit::Rows(below.base))),
            (Some(Group::Grid(factors)), Units::Grid(range)) => {
                let grid = coarser(range, factors)?;
                let unit = Unit::Grid(grid.parent().clone());
                Ok((Link::Grid(grid), unit))
            }
            // Groups are rows of their own.
            (Some(Group::Text(text)), Units::Rows) => {
                Ok((Link::Text(text.clone()), Unit::Rows(self.stages.len())))
            }
            (Some(Group::Text(_)), Units::Grid(_)) => {
                Err("a grid is grouped by factors of its axes, such as {x: 2}".to_owned())
            }
            (Some(Group::Grid(_)), Units::Rows) => {
                Err("a list is grouped by a text, such as \"{{ movie }}\"".to_owned())
            }
        }
    }

    /// Adds a stage below. All of them have to give the same items.
    fn gather(&mut self, j: usize, link: Link, unit: Unit) -> Result<(), String> {
        self.below.push((j, link));
        let has_text = self.below.iter().any(|(_, link)| link.is_text());
        let is_other = *self.unit.get_or_insert_with(|| unit.clone()) != unit;
        if is_other || has_text && self.below.len() > 1 {
            let message = "the stages it follows give it different items: only those that give the same can be \
                           gathered together, and groups by a text not at all";
            return Err(message.to_owned());
        }
        Ok(())
    }

    /// What the items are, and the stage whose rows they are.
    fn units(&self) -> (Units, usize) {
        let k = self.stages.len();
        match (&self.unit, &self.stage.items) {
            (Some(Unit::Grid(range)), _) | (None, Some(Items::Range(range))) => {
                (Units::Grid(range.clone()), k)
            }
            (Some(Unit::Rows(base)), _) => (Units::Rows, *base),
            (None, _) => (Units::Rows, k),
        }
    }
}

/// A grid whose axes are divided by factors.
fn coarser(range: &Range, factors: &BTreeMap<String, u64>) -> Result<Grid, String> {
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
    Ok(Grid::new(range, &by))
}

/// The number of children of each parent, if only some items of the stages below are in a sample.
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
