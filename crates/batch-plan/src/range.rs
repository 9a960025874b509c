//! Grids: items that are computed from their number, and never stored.

use serde::{Deserialize, Serialize};

/// One axis of a grid: whole numbers, half open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// The variable of templates.
    pub name: String,
    /// The first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub from: u64,
    /// One behind the last.
    pub to: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Axis {
    /// How many numbers are on it.
    pub fn len(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Whether no number is on it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The points of a grid by number: row-major, the last axis fastest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Range {
    /// From the slowest to the fastest.
    pub axes: Vec<Axis>,
}

impl Range {
    /// How many points there are; nothing if that is more than 64 bits hold.
    pub fn size(&self) -> Option<u64> {
        self.axes
            .iter()
            .try_fold(1_u64, |size, axis| size.checked_mul(axis.len()))
    }

    /// The coordinates of a point. Numbers from [`size`](Self::size) on give points beyond the slowest axis.
    pub fn point(&self, number: u64) -> Vec<u64> {
        let mut point = vec![0; self.axes.len()];
        let mut rest = number;
        for (index, axis) in self.axes.iter().enumerate().rev() {
            // The slowest axis takes what is left, and an empty one is never divided by.
            let len = if index == 0 {
                u64::MAX
            } else {
                axis.len().max(1)
            };
            point[index] = axis.from.saturating_add(rest % len);
            rest /= len;
        }
        point
    }

    /// The number of a point; nothing if it is outside.
    pub fn number(&self, point: &[u64]) -> Option<u64> {
        if point.len() != self.axes.len() {
            return None;
        }
        self.axes
            .iter()
            .zip(point)
            .try_fold(0_u64, |number, (axis, &at)| {
                let inside = (axis.from..axis.to).contains(&at);
                inside
                    .then(|| number.checked_mul(axis.len())?.checked_add(at - axis.from))
                    .flatten()
            })
    }

    /// Where the axis of this name is.
    pub fn axis(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis.name == name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn range(axes: &[(&str, u64, u64)]) -> Range {
        Range {
            axes: axes
                .iter()
                .map(|&(name, from, to)| Axis {
                    name: name.to_owned(),
                    from,
                    to,
                })
                .collect(),
        }
    }

    /// Every point, by counting.
    pub(crate) fn points(range: &Range) -> Vec<Vec<u64>> {
        let mut points = vec![vec![]];
        for axis in &range.axes {
            points = points
                .into_iter()
                .flat_map(|point: Vec<u64>| {
                    (axis.from..axis.to).map(move |at| [point.clone(), vec![at]].concat())
                })
                .collect();
        }
        points
    }

    pub(crate) fn small_range() -> impl Strategy<Value = Range> {
        prop::collection::vec((0_u64..9, 1_u64..7), 1..4).prop_map(|axes| Range {
            axes: axes
                .into_iter()
                .zip(["x", "y", "z"])
                .map(|((from, len), name)| Axis {
                    name: name.to_owned(),
                    from,
                    to: from + len,
                })
                .collect(),
        })
    }

    #[test]
    fn the_last_axis_is_the_fastest() {
        let range = range(&[("x", 0, 3), ("y", 16, 18)]);
        assert_eq!(range.size(), Some(6));
        assert_eq!(range.point(1), [0, 17]);
        assert_eq!(range.point(2), [1, 16]);
        assert_eq!(range.number(&[2, 17]), Some(5));
        assert_eq!(range.number(&[2, 18]), None);
    }

    #[test]
    fn sizes_that_do_not_fit_are_no_sizes() {
        assert_eq!(
            range(&[("x", 0, u64::MAX), ("y", 0, u64::MAX)]).size(),
            None
        );
    }

    proptest! {
        #[test]
        fn numbers_and_points_are_those_of_counting(range in small_range()) {
            let points = points(&range);
            prop_assert_eq!(range.size(), Some(points.len() as u64));
            for (number, point) in points.iter().enumerate() {
                prop_assert_eq!(&range.point(number as u64), point);
                prop_assert_eq!(range.number(point), Some(number as u64));
            }
        }
    }
}
