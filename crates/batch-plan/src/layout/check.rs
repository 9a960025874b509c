//! Refuses a stage that makes no sense where it stands.

use super::join::Joining;
use super::links::{MAX_ITEMS, Units, grouped_rows, groupings, text_link};
use crate::names::refuse_variable;
use crate::problem::shown;
use crate::range::Range;
use crate::resolved::{Group, Items, Stage};
use crate::units::Amount;

const MAX_AXES: usize = 16;

impl<'a> Joining<'a> {
    /// Looks at groups by a template. Rows of a group are stored side by side, so a list can be grouped in one way only.
    pub(super) fn check_text_groups(&mut self) {
        let Some((below, text)) = text_link(&self.below) else {
            return;
        };
        let rows_of = self.layouts[below].base;
        let other = self.other_grouping(rows_of, text);
        let other = other.map(|stage| stage.name.as_str());
        if self.are_shared_groups(rows_of) {
            self.wrong(
                "after",
                "groups that two stages share are not grouped again: follow one of the stages one by one",
            );
        }
        if let Some(name) = other {
            let message = format!(
                "stage `{name}` groups the same items otherwise; a list is grouped and sorted in one way"
            );
            self.wrong("after", message);
        }
    }

    /// Whether rows are groups that another stage has as well, or have other groups that are grouped again. Equal groups have the
    /// same numbers only as long as no stage puts them in another order.
    fn are_shared_groups(&self, rows_of: usize) -> bool {
        let layouts = self.layouts;
        let has_sibling = grouped_rows(layouts, rows_of)
            .is_some_and(|members| groupings(layouts, members).any(|stage| stage != rows_of));
        let mut siblings = groupings(layouts, rows_of);
        has_sibling || siblings.any(|stage| groupings(layouts, stage).next().is_some())
    }

    /// A stage that groups the same rows in another way.
    fn other_grouping(&self, rows_of: usize, text: &str) -> Option<&'a Stage> {
        let is_other = |stage: &usize| {
            let other_text = self.layouts[*stage].text_link().map(|(_, text)| text);
            other_text != Some(text) || self.stages[*stage].work.sort != self.stage.work.sort
        };
        let stage = groupings(self.layouts, rows_of).find(is_other)?;
        Some(&self.stages[stage])
    }

    /// Looks for settings that have no meaning where the stage stands.
    pub(super) fn check_settings(&mut self) {
        self.check_source();
        self.check_group_settings();
        self.check_barrier_settings();
        if let Some(Items::Range(range)) = &self.stage.items {
            self.check_axes(range);
        }
    }

    fn check_source(&mut self) {
        let is_gathered = self.stage.after.iter().any(|after| !after.all);
        match (&self.stage.items, is_gathered) {
            (Some(_), true) => self.wrong(
                "items",
                "its items follow from those of the stage it comes after; it has none of its own",
            ),
            (None, false) => self.wrong(
                "items",
                "missing: only a stage after another one by one, or by groups, has none",
            ),
            _ => {}
        }
        if self.stage.shuffle.is_some() && is_gathered {
            self.wrong(
                "shuffle",
                "its items come when those of the stage below have ended, in no order of their own",
            );
        }
    }

    fn check_group_settings(&mut self) {
        let groups = || self.stage.after.iter().flat_map(|after| &after.group);
        let is_grouped = groups().next().is_some();
        let is_grouped_by_text = groups().any(|group| matches!(group, Group::Text(_)));
        if self.stage.work.manifest && !is_grouped {
            self.wrong(
                "manifest",
                "only a stage with a `group` has children to list",
            );
        }
        if self.stage.work.sort.is_some() && !is_grouped_by_text {
            self.wrong("sort", "only groups by a text are sorted");
        }
    }

    fn check_barrier_settings(&mut self) {
        let has_barrier = !self.barriers.is_empty();
        let has_list = self.stage.items.as_ref().is_some_and(Items::is_list);
        if self.stage.work.allow_failed != Amount::default() && !has_barrier {
            self.wrong(
                "allow_failed",
                "only a stage with `after: {all: true}` waits for a whole stage",
            );
        }
        if self.stage.work.late && !(has_barrier && has_list) {
            self.wrong(
                "late",
                "only a list of a stage with `after: {all: true}` is read later",
            );
        }
    }

    fn check_axes(&mut self, range: &Range) {
        for index in 0..range.axes.len() {
            if let Some(message) = self.refuse_axis(range, index) {
                let path = format!("items.range.{}", shown(&range.axes[index].name));
                self.wrong(&path, message);
            }
        }
        if !(1..=MAX_AXES).contains(&range.axes.len()) {
            self.wrong("items.range", format!("a grid has 1 to {MAX_AXES} axes"));
        }
    }

    fn refuse_axis(&self, range: &Range, index: usize) -> Option<String> {
        let axis = &range.axes[index];
        let name = axis.name.as_str();
        if let Some(why) = refuse_variable(name) {
            Some(why.to_owned())
        } else if self.set.contains_key(name) || self.stage.vars.contains_key(name) {
            Some(format!("`{name}` is a value of the plan already"))
        } else if range.axis(name) != Some(index) {
            Some("two axes have this name".to_owned())
        } else if axis.is_empty() {
            Some(format!(
                "from {} to {} there is nothing",
                axis.from, axis.to
            ))
        } else {
            None
        }
    }

    /// Looks at the number of items. Those of a sample are items of a grid, in order.
    pub(super) fn check_items(&mut self, units: &Units) {
        let size = match units {
            Units::Grid(range) => range.size(),
            Units::Rows => Some(0),
        };
        match size {
            Some(size) if size <= MAX_ITEMS => {}
            Some(size) => self.wrong(
                "items",
                format!("{size} items, and a stage has at most {MAX_ITEMS}"),
            ),
            None => self.wrong(
                "items",
                format!("more items than a stage has, which are {MAX_ITEMS}"),
            ),
        }
        let chosen = self.stage.chosen.as_deref().unwrap_or_default();
        let is_ordered = chosen.windows(2).all(|pair| pair[0] < pair[1]);
        let is_inside = chosen.last().is_none_or(|&last| Some(last) < size);
        if !is_ordered || !is_inside {
            self.wrong("chosen", "not items of the stage in their order");
        }
    }
}
