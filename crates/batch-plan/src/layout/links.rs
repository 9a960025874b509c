//! How stages and their items are joined.

use std::collections::HashMap;

use crate::group::Grid;
use crate::range::Range;
use crate::resolved::Stage;
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

impl Layout {
    /// How many items of a stage below become this one; nothing for groups by a text, which know it themselves.
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
