//! The middle of a grid.

use crate::group::Grid;
use crate::range::{Axis, Range};

/// Children of the parents around the center, nearest first.
pub(super) fn around_the_center(grid: &Grid, count: u64) -> Vec<u64> {
    let parents = grid.parent();
    let middle = |axis: &Axis| axis.from + axis.len() / 2;
    let center: Vec<u64> = parents.axes.iter().map(middle).collect();
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    for radius in 0.. {
        let cube = cube(parents, &center, radius);
        let size = cube.size().unwrap_or(0);
        for point in (0..size).map(|number| cube.point(number)) {
            // Nearer points were in the cubes before.
            if distance(&point, &center) != Some(radius) {
                continue;
            }
            if let Some(parent) = parents.number(&point) {
                items.extend(grid.children(parent).take(wanted - items.len()));
            }
            if items.len() >= wanted {
                return items;
            }
        }
        if Some(size) == parents.size() {
            break;
        }
    }
    items
}

/// The points that are no farther from the center than this on each axis.
fn cube(grid: &Range, center: &[u64], radius: u64) -> Range {
    let axes = grid.axes.iter().zip(center);
    let near = |(axis, &at): (&Axis, &u64)| Axis {
        name: String::new(),
        from: at.saturating_sub(radius).max(axis.from),
        to: at.saturating_add(radius).saturating_add(1).min(axis.to),
    };
    Range {
        axes: axes.map(near).collect(),
    }
}

/// The distance on the axis on which it is greatest.
fn distance(point: &[u64], center: &[u64]) -> Option<u64> {
    let axes = point.iter().zip(center);
    axes.map(|(at, middle)| at.abs_diff(*middle)).max()
}
