//! Fills the holes of cells and drops small cells.
//!
//! Border: label images of any origin.

use std::ops::Range;

use ndarray::Array2;
use rayon::prelude::*;

use super::cells::{Run, bounds, cells, runs_by_label};
use super::labels::{counts, drop_labels, in_ascending_order, in_order_of_appearance};
use crate::plane::values_mut;

/// Labels `[row, column]` without holes, and without those of fewer than `min_size` pixels.
///
/// First small labels go, and the others are numbered in order of appearance. Then each label fills its holes, in
/// ascending order: background and other labels that are cut off, over the sides of pixels, from the edge of the box
/// around the label, which is that from before any hole was filled. At last small labels go once more. With a `min_size`
/// of 0 only holes are filled, and labels are numbered in ascending order first. As `fill_holes_and_remove_small_masks` of
/// Cellpose; as there, the smallest label is never small where no pixel is background.
#[must_use]
pub fn fill_holes_and_remove_small_masks(mut labels: Array2<u32>, min_size: usize) -> Array2<u32> {
    let columns = labels.ncols();
    let values = values_mut(&mut labels);
    let last = in_ascending_order(values);
    if min_size > 0 {
        drop_small(values, last, min_size);
    }
    let runs = runs_by_label(values, columns);
    let cells = cells(&runs);
    // A label without a hole has none either after others have filled theirs.
    let with_holes: Vec<&[Run]> = cells
        .into_par_iter()
        .filter(|runs| !Window::new(values, columns, runs).holes().is_empty())
        .collect();
    for runs in with_holes {
        for hole in Window::new(values, columns, runs).holes() {
            values[hole].fill(runs[0].label);
        }
    }
    if min_size > 0 {
        drop_small(values, last, min_size);
    }
    labels
}

/// Drops labels of fewer than `min_size` pixels and numbers the others in order of appearance.
fn drop_small(labels: &mut [u32], last: usize, min_size: usize) {
    let sizes = counts(labels, last);
    let mut is_small: Vec<bool> = sizes.iter().map(|&size| size < min_size).collect();
    // There, the first of the labels that are present is taken for the background.
    if let Some(first) = sizes.iter().position(|&size| size > 0) {
        is_small[first] = false;
    }
    drop_labels(labels, &is_small);
    in_order_of_appearance(labels, last);
}

/// The box around a label, with a margin of one pixel.
struct Window {
    pixels: Vec<Pixel>,
    width: usize,
    /// Index in the image of the first pixel within the margin.
    origin: usize,
    columns: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pixel {
    /// Of the label.
    Cell,
    /// Not of the label, and not yet reached from outside.
    Unknown,
    /// Reached from outside.
    Outside,
}

impl Window {
    fn new(labels: &[u32], columns: usize, runs: &[Run]) -> Self {
        let [rows, across] = bounds(runs);
        let width = across.len() + 2;
        let mut pixels = vec![Pixel::Unknown; (rows.len() + 2) * width];
        let label = runs.first().map_or(0, |run| run.label);
        let lines = pixels.chunks_exact_mut(width).skip(1).zip(rows.clone());
        for (line, row) in lines {
            let labels = &labels[row * columns..][across.clone()];
            for (pixel, &other) in line[1..].iter_mut().zip(labels) {
                if other == label {
                    *pixel = Pixel::Cell;
                }
            }
        }
        Self {
            pixels,
            width,
            origin: rows.start * columns + across.start,
            columns,
        }
    }

    /// The stretches of an image that are holes of the label.
    fn holes(mut self) -> Vec<Range<usize>> {
        self.flood();
        let mut holes = Vec::new();
        for (row, line) in self.pixels.chunks_exact(self.width).enumerate() {
            let mut column = 0;
            for stretch in line.chunk_by(|a, b| a == b) {
                if stretch[0] == Pixel::Unknown {
                    // Holes lie within the margin.
                    let start = self.origin + (row - 1) * self.columns + column - 1;
                    holes.push(start..start + stretch.len());
                }
                column += stretch.len();
            }
        }
        holes
    }

    /// Finds what is outside, from the corner of the margin.
    fn flood(&mut self) {
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if self.pixels.get(at) != Some(&Pixel::Unknown) {
                continue;
            }
            self.pixels[at] = Pixel::Outside;
            // Indices run on over the ends of rows, from margin to margin.
            open.extend([at + 1, at + self.width]);
            open.extend(at.checked_sub(1));
            open.extend(at.checked_sub(self.width));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::strategies::labels;

    fn small_gone(labels: &mut Array2<u32>, min_size: usize) {
        let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
        labels
            .iter()
            .for_each(|&label| *sizes.entry(label).or_default() += 1);
        sizes.pop_first();
        labels.mapv_inplace(|label| match sizes.get(&label) {
            Some(&size) if size < min_size => 0,
            _ => label,
        });
        let mut numbers = BTreeMap::from([(0, 0)]);
        labels.mapv_inplace(|label| {
            let next = numbers.len() as u32;
            *numbers.entry(label).or_insert(next)
        });
    }

    /// Label by label, each filled whether it has a hole or not.
    fn slowly(mut labels: Array2<u32>, min_size: usize) -> Array2<u32> {
        if min_size > 0 {
            small_gone(&mut labels, min_size);
        }
        let before = labels.clone();
        let mut present: BTreeSet<u32> = before.iter().copied().collect();
        present.remove(&0);
        for (number, label) in (1..).zip(present) {
            let of_label = before.indexed_iter().filter(|&(_, &other)| other == label);
            let (rows, columns): (Vec<usize>, Vec<usize>) = of_label.map(|(at, _)| at).unzip();
            let (top, bottom) = (rows[0], rows[rows.len() - 1]);
            let (left, right) = (
                *columns.iter().min().unwrap(),
                *columns.iter().max().unwrap(),
            );
            let mut outside: BTreeSet<(usize, usize)> = BTreeSet::new();
            loop {
                let more = ndarray::indices((bottom - top + 1, right - left + 1)).into_iter();
                let more = more
                    .map(|(row, column)| (top + row, left + column))
                    .filter(|&at| {
                        let (row, column) = at;
                        let at_edge =
                            row == top || row == bottom || column == left || column == right;
                        let mut near = outside.iter();
                        labels[at] != label
                            && (at_edge
                                || near.any(|&(a, b)| row.abs_diff(a) + column.abs_diff(b) <= 1))
                    });
                let more: BTreeSet<_> = more.collect();
                if more == outside {
                    break;
                }
                outside = more;
            }
            let present = labels.iter().any(|&other| other == label);
            for ((row, column), other) in labels.indexed_iter_mut() {
                let in_box = (top..=bottom).contains(&row) && (left..=right).contains(&column);
                if present && in_box && !outside.contains(&(row, column)) {
                    *other = number;
                }
            }
        }
        if min_size > 0 {
            small_gone(&mut labels, min_size);
        }
        labels
    }

    proptest! {
        #[test]
        fn holes_and_small_labels_go_as_one_label_after_the_other(
            labels in labels(12), min_size in 0..9_usize, factor in 1..4_u32, shift in 0..2_u32,
        ) {
            let labels = labels.mapv(|label| label * factor + shift);
            let expected = slowly(labels.clone(), min_size);
            prop_assert_eq!(fill_holes_and_remove_small_masks(labels, min_size), expected);
        }
    }

    #[test]
    fn a_cell_in_a_hole_is_swallowed() {
        let labels = array![
            [1, 1, 1, 1, 0],
            [1, 2, 0, 1, 2],
            [1, 0, 0, 1, 2],
            [1, 1, 1, 1_u32, 2]
        ];
        let filled = array![
            [1, 1, 1, 1, 0],
            [1, 1, 1, 1, 2],
            [1, 1, 1, 1, 2],
            [1, 1, 1, 1_u32, 2]
        ];
        assert_eq!(fill_holes_and_remove_small_masks(labels.clone(), 0), filled);
        let large = filled.mapv(|label| u32::from(label == 1));
        assert_eq!(fill_holes_and_remove_small_masks(labels, 4), large);
    }

    #[test]
    fn any_labels_and_shapes_are_taken() {
        let labels = array![[u32::MAX, 0, 7_u32]];
        assert_eq!(
            fill_holes_and_remove_small_masks(labels.clone(), 0),
            array![[2, 0, 1]]
        );
        assert_eq!(
            fill_holes_and_remove_small_masks(labels, 2),
            array![[0, 0, 0]]
        );
        for shape in [(0, 0), (0, 3), (3, 0)] {
            assert_eq!(
                fill_holes_and_remove_small_masks(Array2::zeros(shape), 15).dim(),
                shape
            );
        }
    }
}
