//! Joins a stage to those that it stands below.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::check;
use super::links::{Layout, Link, Units};
use crate::group::Grid;
use crate::problem::{Problem, hint, shown};
use crate::range::Range;
use crate::resolved::{Group, Items, Stage};
use crate::shuffle::Permutation;

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
