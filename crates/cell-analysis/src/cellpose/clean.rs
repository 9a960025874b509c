//! Fills the holes of cells and drops small cells.
//!
//! Border: label images of any origin.

use std::ops::Range;

use ndarray::Array2;
use rayon::prelude::*;

use super::cells::{Run, bounds, cells, draw, runs_by_label, size, sort_by_appearance};
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
    let runs = runs_by_label(values, columns);
    let mut cells = cells(&runs);
    let has_background = has_background(&cells, values.len());
    if min_size > 0 {
        cells = large(cells, values.len(), min_size);
    }
    draw(&cells, values, columns);
    let has_filled = fill_holes(&cells, values, columns);
    // Without background, a label was spared before that may be dropped now.
    if min_size > 0 && (has_filled || !has_background) {
        drop_small(values, columns, min_size);
    }
    labels
}

/// Whether cells leave some of the pixels of their image.
fn has_background(cells: &[&[Run]], pixels: usize) -> bool {
    cells.iter().map(|runs| size(runs)).sum::<usize>() < pixels
}

/// Drops labels of fewer than `min_size` pixels and numbers the others in order of appearance.
fn drop_small(labels: &mut [u32], columns: usize, min_size: usize) {
    let runs = runs_by_label(labels, columns);
    let cells = large(cells(&runs), labels.len(), min_size);
    draw(&cells, labels, columns);
}

/// The cells of at least `min_size` pixels in order of appearance, out of all cells of an image of so many pixels.
fn large(cells: Vec<&[Run]>, pixels: usize, min_size: usize) -> Vec<&[Run]> {
    // There, the first of the labels that are present is taken for the background.
    let spared = usize::from(!has_background(&cells, pixels)).min(cells.len());
    let (spared, others) = cells.split_at(spared);
    let others = others.iter().filter(|runs| size(runs) >= min_size);
    let mut large: Vec<&[Run]> = spared.iter().chain(others).copied().collect();
    sort_by_appearance(&mut large);
    large
}

/// Fills the holes of cells that have their numbers from 1 on; whether there are any.
fn fill_holes(cells: &[&[Run]], labels: &mut [u32], columns: usize) -> bool {
    // A hole lies between two runs of a row. A cell without one has none either after others have filled theirs.
    let may_have_hole = |runs: &[Run]| runs.windows(2).any(|runs| runs[0].row == runs[1].row);
    let candidates = (1..).zip(cells).filter(|(_, runs)| may_have_hole(runs));
    let candidates: Vec<(u32, &&[Run])> = candidates.collect();
    let with_holes: Vec<(u32, &&[Run])> = candidates
        .into_par_iter()
        .filter(|(number, runs)| {
            !Window::new(labels, columns, (runs, *number))
                .holes()
                .is_empty()
        })
        .collect();
    for &(number, runs) in &with_holes {
        for hole in Window::new(labels, columns, (runs, number)).holes() {
            labels[hole].fill(number);
        }
    }
    !with_holes.is_empty()
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
    /// Around the label that these runs had before holes were filled.
    fn new(labels: &[u32], columns: usize, (runs, label): (&[Run], u32)) -> Self {
        let [rows, across] = bounds(runs);
        let width = across.len() + 2;
        let mut pixels = vec![Pixel::Unknown; (rows.len() + 2) * width];
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
    fn without_background_the_first_label_is_spared() {
        let labels = array![[1, 1, 1_u32]];
        assert_eq!(fill_holes_and_remove_small_masks(labels.clone(), 9), labels);
        // The other one goes, and then there is background.
        let labels = array![[2, 1, 1_u32]];
        assert_eq!(
            fill_holes_and_remove_small_masks(labels, 9),
            array![[0, 0, 0]]
        );
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
