//! How stages and their items are joined.

use std::collections::HashMap;

use crate::group::Grid;
use crate::range::Range;
use crate::resolved::Stage;
use crate::shuffle::Permutation;

/// The most items of a stage.
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
    /// Stages that have to be complete before this one begins.
    pub(crate) barriers: Vec<usize>,
    pub(crate) permutation: Option<Permutation>,
    /// In a sample: the number of children, by the stage below and the parent.
    pub(super) sampled: HashMap<(usize, u64), u64>,
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
    /// One by one.
    Same,
    /// Coordinates are divided.
    Grid(Grid),
    /// Rows for which a template gives the same text become one item.
    Text(String),
}

/// An item above that is told when one below has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Up {
    /// Number of the stage.
    pub stage: usize,
    /// Number of its item.
    pub parent: u64,
    /// How many items below it waits for.
    pub children: u64,
}

impl Link {
    pub(crate) fn grid(&self) -> Option<&Grid> {
        match self {
            Self::Grid(grid) => Some(grid),
            Self::Same | Self::Text(_) => None,
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

impl Layout {
    /// The stage whose items this one groups by a template, and the template.
    pub(crate) fn text_link(&self) -> Option<(usize, &str)> {
        text_link(&self.below)
    }

    /// How many items of a stage below become the item `parent` of this one. `None` for groups by a template: their rows know it.
    pub(super) fn count(
        &self,
        stages: &[Stage],
        j: usize,
        link: &Link,
        parent: u64,
    ) -> Option<u64> {
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

/// The stage below whose items are grouped by a template, and the template.
pub(super) fn text_link(below: &[(usize, Link)]) -> Option<(usize, &str)> {
    below.iter().find_map(|(j, link)| match link {
        Link::Text(text) => Some((*j, text.as_str())),
        Link::Same | Link::Grid(_) => None,
    })
}

/// The stage whose rows a stage groups by a template.
pub(crate) fn grouped_rows(layouts: &[Layout], stage: usize) -> Option<usize> {
    let (below, _) = layouts[stage].text_link()?;
    Some(layouts[below].base)
}

/// The stages that group the rows of a stage by a template.
pub(crate) fn groupings(layouts: &[Layout], rows_of: usize) -> impl Iterator<Item = usize> + '_ {
    (0..layouts.len()).filter(move |&stage| grouped_rows(layouts, stage) == Some(rows_of))
}
