//! Points of a grid that become one point of a coarser grid.

use crate::range::{Axis, Range};

/// What joins a grid to the one above: a parent's coordinates are a child's, divided and rounded down.
///
/// Axes that do not begin at 0 keep their coordinates: the children 7 to 9 in pairs have the parents 3 and 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    child: Range,
    parent: Range,
    by: Vec<u64>,
}

impl Grid {
    /// The grid above, each axis divided by its factor. Factors of 0 and missing ones count as 1.
    pub fn new(child: &Range, by: &[u64]) -> Self {
        let by: Vec<_> = (0..child.axes.len())
            .map(|index| by.get(index).copied().unwrap_or(1).max(1))
            .collect();
        let axes = child
            .axes
            .iter()
            .zip(&by)
            .map(|(axis, &by)| Axis {
                name: axis.name.clone(),
                from: axis.from / by,
                to: axis.to.div_ceil(by),
            })
            .collect();
        Self {
            child: child.clone(),
            parent: Range { axes },
            by,
        }
    }

    /// The grid below.
    pub fn child(&self) -> &Range {
        &self.child
    }

    /// The grid above.
    pub fn parent(&self) -> &Range {
        &self.parent
    }

    /// The parent of a child; nothing if there is no such child.
    pub fn parent_of(&self, child: u64) -> Option<u64> {
        let mut point = self.child.point(child);
        for (at, by) in point.iter_mut().zip(&self.by) {
            *at /= by;
        }
        self.parent.number(&point)
    }

    /// How many children a parent has: less at the edges.
    pub fn count(&self, parent: u64) -> u64 {
        self.spans(parent).map(|(from, to)| to - from).product()
    }

    /// The children of a parent, in the order of their numbers.
    pub fn children(&self, parent: u64) -> impl Iterator<Item = u64> + '_ {
        let axes = self
            .spans(parent)
            .zip(&self.child.axes)
            .map(|((from, to), axis)| Axis {
                name: axis.name.clone(),
                from,
                to,
            })
            .collect();
        let block = Range { axes };
        (0..block.size().unwrap_or(0))
            .filter_map(move |number| self.child.number(&block.point(number)))
    }

    /// How many children the parent with the most of them has.
    pub fn largest(&self) -> u64 {
        let longest = |axis: &Axis, by: u64| {
            // The inner parents of an axis are whole; if there is none, one of the two at the edges is the largest.
            let parents = axis.from / by..axis.to.div_ceil(by);
            match parents.end.saturating_sub(parents.start) {
                0 => 0,
                1 => axis.len(),
                2 => {
                    let edge = (axis.from / by + 1) * by;
                    (edge - axis.from).max(axis.to - edge)
                }
                _ => by,
            }
        };
        self.child
            .axes
            .iter()
            .zip(&self.by)
            .map(|(axis, &by)| longest(axis, by))
            .fold(1, u64::saturating_mul)
    }

    /// From where to where a parent reaches on each axis of the grid below.
    fn spans(&self, parent: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.parent
            .point(parent)
            .into_iter()
            .zip(&self.by)
            .zip(&self.child.axes)
            .map(|((at, &by), axis)| {
                let from = at.saturating_mul(by).clamp(axis.from, axis.to);
                let to = at
                    .saturating_add(1)
                    .saturating_mul(by)
                    .clamp(axis.from, axis.to);
                (from, to)
            })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::range::tests::{points, range, small_range};

    #[test]
    fn starts_other_than_0_keep_their_coordinates() {
        let grid = Grid::new(&range(&[("x", 7, 10)]), &[2]);
        assert_eq!(grid.parent(), &range(&[("x", 3, 5)]));
        assert_eq!(grid.children(0).collect::<Vec<_>>(), [0]);
        assert_eq!(grid.children(1).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((grid.count(0), grid.count(1), grid.largest()), (1, 2, 2));
    }

    proptest! {
        #[test]
        fn groups_are_those_of_counting(child in small_range(), by in prop::collection::vec(1_u64..5, 3)) {
            let grid = Grid::new(&child, &by);
            let mut slow: BTreeMap<Vec<u64>, Vec<u64>> = BTreeMap::new();
            for (number, point) in points(&child).iter().enumerate() {
                let parent: Vec<_> = point.iter().zip(&by).map(|(at, by)| at / by).collect();
                slow.entry(parent).or_default().push(number as u64);
            }
            prop_assert_eq!(grid.parent().size(), Some(slow.len() as u64));
            for (number, (point, children)) in slow.iter().enumerate() {
                let number = number as u64;
                prop_assert_eq!(&grid.parent().point(number), point);
                prop_assert_eq!(grid.count(number), children.len() as u64);
                prop_assert_eq!(&grid.children(number).collect::<Vec<_>>(), children);
                for &child in children {
                    prop_assert_eq!(grid.parent_of(child), Some(number));
                }
            }
            let largest = slow.values().map(Vec::len).max().unwrap_or(0) as u64;
            prop_assert_eq!(grid.largest(), largest);
        }
    }
}
