//! What cannot be done, said before anything is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::links::{Layout, Link, MAX_ITEMS, Units};
use crate::names::refuse_variable;
use crate::problem::{Problem, shown};
use crate::range::Range;
use crate::resolved::{Group, Items, Stage};
use crate::units::Amount;

const MAX_AXES: usize = 16;

/// What a stage says that has no meaning where it stands.
pub(super) fn shape(
    stage: &Stage,
    below: &[(usize, Link)],
    barriers: &[usize],
    set: &BTreeMap<String, Value>,
    problems: &mut Vec<Problem>,
) {
    let mut wrong = |what: &str, message: &str| {
        problems.push(Problem::new(
            format!("stages.{}.{what}", stage.name),
            message,
        ));
    };
    let gathers = stage.after.iter().any(|after| !after.all);
    match (&stage.items, gathers) {
        (Some(_), true) => wrong(
            "items",
            "its items follow from those of the stage it comes after; it has none of its own",
        ),
        (None, false) => wrong(
            "items",
            "missing: only a stage after another one by one, or by groups, has none",
        ),
        _ => {}
    }
    if stage.shuffle.is_some() && gathers {
        wrong(
            "shuffle",
            "its items come when those of the stage below have ended, in no order of their own",
        );
    }
    let grouped = stage.after.iter().any(|after| after.group.is_some());
    if stage.work.manifest && !grouped {
        wrong(
            "manifest",
            "only a stage with a `group` has children to list",
        );
    }
    let by_text = below.iter().any(|(_, link)| matches!(link, Link::Text(_)))
        || stage
            .after
            .iter()
            .any(|after| matches!(after.group, Some(Group::Text(_))));
    if stage.work.sort.is_some() && !by_text {
        wrong("sort", "only groups by a text are sorted");
    }
    if stage.work.allow_failed != Amount::default() && barriers.is_empty() {
        wrong(
            "allow_failed",
            "only a stage with `after: {all: true}` waits for a whole stage",
        );
    }
    let is_list = matches!(&stage.items, Some(items) if !matches!(items, Items::Range(_)));
    if stage.work.late && (barriers.is_empty() || !is_list) {
        wrong(
            "late",
            "only a list of a stage with `after: {all: true}` is read later",
        );
    }
    if let Some(Items::Range(range)) = &stage.items {
        axes(stage, range, set, problems);
    }
}

fn axes(stage: &Stage, range: &Range, set: &BTreeMap<String, Value>, problems: &mut Vec<Problem>) {
    for (index, axis) in range.axes.iter().enumerate() {
        let name = axis.name.as_str();
        let message = if let Some(why) = refuse_variable(name) {
            why.to_owned()
        } else if set.contains_key(name) || stage.vars.contains_key(name) {
            format!("`{name}` is a value of the plan already")
        } else if range.axis(name) != Some(index) {
            "two axes have this name".to_owned()
        } else if axis.is_empty() {
            format!("from {} to {} there is nothing", axis.from, axis.to)
        } else {
            continue;
        };
        let path = format!("stages.{}.items.range.{}", stage.name, shown(name));
        problems.push(Problem::new(path, message));
    }
    if !(1..=MAX_AXES).contains(&range.axes.len()) {
        let path = format!("stages.{}.items.range", stage.name);
        problems.push(Problem::new(
            path,
            format!("a grid has 1 to {MAX_AXES} axes"),
        ));
    }
}

pub(super) fn size(range: &Range, path: &str, problems: &mut Vec<Problem>) {
    let message = match range.size() {
        Some(size) if size <= MAX_ITEMS => return,
        Some(size) => format!("{size} items, and a stage has at most {MAX_ITEMS}"),
        None => format!("more items than a stage has, which are {MAX_ITEMS}"),
    };
    problems.push(Problem::new(path, message));
}

/// Members of a group stand together in their list, which they can do for one grouping only.
pub(super) fn texts(
    stages: &[Stage],
    layouts: &[Layout],
    stage: &Stage,
    below: &[(usize, Link)],
    problems: &mut Vec<Problem>,
) {
    for (j, link) in below {
        let Link::Text(text) = link else { continue };
        let base = layouts[*j].base;
        let other = stages.iter().zip(layouts).find(|(other, layout)| {
            layout.below.iter().any(|(i, link)| {
                layouts[*i].base == base
                    && matches!(link, Link::Text(other_text)
                        if other_text != text || other.work.sort != stage.work.sort)
            })
        });
        let groups_of = |base: usize| {
            let groups = layouts.iter().enumerate().filter(move |(_, layout)| {
                layout
                    .below
                    .iter()
                    .any(|(i, link)| layouts[*i].base == base && matches!(link, Link::Text(_)))
            });
            groups.map(|(k, _)| k)
        };
        // The numbers of equal groups are the same only as long as none of them is put in another order.
        let lower = layouts[base]
            .below
            .iter()
            .find(|(_, link)| matches!(link, Link::Text(_)));
        let has_sibling =
            lower.is_some_and(|(i, _)| groups_of(layouts[*i].base).any(|k| k != base));
        if has_sibling || groups_of(base).any(|k| groups_of(k).next().is_some()) {
            let message = "groups that two stages share are not grouped again: follow one of the stages one by one";
            problems.push(Problem::new(
                format!("stages.{}.after", stage.name),
                message,
            ));
        }
        if let Some((other, _)) = other {
            let message = format!(
                "stage `{}` groups the same items otherwise; a list is grouped and sorted in one way",
                other.name
            );
            problems.push(Problem::new(
                format!("stages.{}.after", stage.name),
                message,
            ));
        }
    }
}

/// Items of a sample are items of a grid, in order.
pub(super) fn chosen(stage: &Stage, units: &Units) -> Result<(), Problem> {
    let Some(chosen) = &stage.chosen else {
        return Ok(());
    };
    let size = match units {
        Units::Grid(range) => range.size().unwrap_or(0),
        Units::Rows => 0,
    };
    let ordered = chosen.windows(2).all(|pair| pair[0] < pair[1]);
    if ordered && chosen.last().is_none_or(|&last| last < size) {
        return Ok(());
    }
    let path = format!("stages.{}.chosen", stage.name);
    Err(Problem::new(path, "not items of the stage in their order"))
}
