//! The items of stages, by number: how many there are, and which become which.

use super::links::{Link, Units, Up, grouped_rows, groupings};
use crate::range::Range;
use crate::resolved::{Items, Resolved};
use crate::row::Row;

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

    /// Whether the list that its items are, or that they group, is read only when a barrier opens.
    pub fn is_late(&self, stage: usize) -> bool {
        let rows_of = self.grouped_rows(stage).or(self.rows_of(stage));
        match rows_of {
            Some(rows_of) if rows_of != stage => self.is_late(rows_of),
            _ => self.stages[stage].work.late,
        }
    }

    /// Where the rows come from that are the items of a stage. `None` for grids and groups.
    pub(crate) fn row_source(&self, stage: usize) -> Option<&Items> {
        self.stages[self.rows_of(stage)?].items.as_ref()
    }

    /// The stage whose rows this one groups by a template.
    pub(crate) fn grouped_rows(&self, stage: usize) -> Option<usize> {
        grouped_rows(&self.layouts, stage)
    }

    /// The stages that group the rows of this one by a template.
    pub(crate) fn groupings(&self, rows_of: usize) -> impl Iterator<Item = usize> + '_ {
        groupings(&self.layouts, rows_of)
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
                // A row that is not of this list could ask for any number of items.
                Link::Text(_) => row
                    .and_then(Row::members)
                    .filter(|members| self.size(*j).is_some_and(|size| members.end <= size))
                    .map(Iterator::collect)
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
