//! Clean-up of label images: erosion, small objects, holes.
//!
//! Border: one label image in, one out, in place.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::label::{Connectivity, highest, label_values};
use crate::plane::{STRIP, values_mut};

/// Fewest rows that are worth a task of their own.
const MIN_ROWS: usize = 128;

/// Clears the inner boundary of every label of a label image `[row, column]` in place, `width`
/// times: `erode_edges` of `DeepCell`'s toolbox, with scikit-image's `find_boundaries(mode="inner")`.
///
/// A pixel is boundary if one of its four neighbors inside the image has another value; the border
/// of the image does not count as one.
pub fn erode_edges(labels: &mut Array2<u32>, width: usize) {
    let (rows, columns) = labels.dim();
    for _ in 0..width {
        let new = values_mut(labels);
        let old = new.to_vec();
        new.par_chunks_mut(columns.max(1))
            .enumerate()
            .for_each(|(row, new)| {
                let line = row * columns;
                for (index, new) in (line..).zip(new) {
                    let value = old[index];
                    let inner = (row == 0 || old[index - columns] == value)
                        && (row + 1 == rows || old[index + columns] == value)
                        && (index == line || old[index - 1] == value)
                        && (index + 1 == line + columns || old[index + 1] == value);
                    *new = if inner { value } else { 0 };
                }
            });
    }
}

/// Clears every label of a label image `[row, column]` that has fewer than `min_size` pixels in
/// all, connected or not, in place. As scikit-image's `remove_small_objects`.
pub fn remove_small_objects(labels: &mut Array2<u32>, min_size: usize) {
    let labels = values_mut(labels);
    let labels_and_zero = highest(labels) as usize + 1;
    let sizes: Vec<AtomicUsize> = std::iter::repeat_with(AtomicUsize::default)
        .take(labels_and_zero)
        .collect();
    labels.par_chunks(STRIP).for_each(|labels| {
        for run in labels.chunk_by(|a, b| a == b) {
            sizes[run[0] as usize].fetch_add(run.len(), Ordering::Relaxed);
        }
    });
    // What each label becomes: itself, or background.
    let kept: Vec<u32> = (0..)
        .zip(sizes)
        .map(|(label, size)| match size.into_inner() {
            size if size < min_size => 0,
            _ => label,
        })
        .collect();
    labels
        .par_iter_mut()
        .with_min_len(STRIP)
        .for_each(|label| *label = kept[*label as usize]);
}

/// Fills the holes of fewer than `size` pixels in every label of a label image `[row, column]`, in
/// place: `fill_holes` of `DeepCell`'s toolbox.
///
/// Labels are taken in ascending order, and only those whose Euler number (8-connected parts
/// less holes) is below one. In the label's bounding box everything else is split into
/// 4-connected parts; small ones get the label, also where they are another label or touch
/// the edge of the box.
pub fn fill_holes(labels: &mut Array2<u32>, size: usize) {
    let count = highest(values_mut(labels)) as usize + 1;
    let hollow: Vec<(u32, Extent)> = extents(labels, count)
        .into_iter()
        .zip(0..)
        .filter(|(extent, label)| *label > 0 && extent.quads > 0 && extent.euler < 4)
        .map(|(extent, label)| (label, extent))
        .collect();
    // One after the other: boxes overlap, and a label may fill what the next one would have been measured by.
    for (label, extent) in hollow {
        let rows = labels.slice_axis_mut(Axis(0), (extent.top..extent.bottom).into());
        let window = rows.slice_axis_move(Axis(1), (extent.left..extent.right).into());
        fill_window(window, label, size);
    }
}

/// Bounding box and four times the Euler number of a label.
#[derive(Clone)]
struct Extent {
    top: usize,
    bottom: usize,
    left: usize,
    right: usize,
    euler: i64,
    quads: u64,
}

/// Extents of the `count` labels by number, from one pass over all squares of two by two pixels.
///
/// Four times the Euler number is the number of squares with one pixel of the label, less
/// those with three, less twice those with two at opposite corners (Gray, "Local properties
/// of binary images in two dimensions", 1971).
fn extents(labels: &Array2<u32>, count: usize) -> Vec<Extent> {
    let rows = labels.nrows() + 1;
    let strip = rows.div_ceil(rayon::current_num_threads()).max(MIN_ROWS);
    let strips: Vec<_> = (0..rows)
        .step_by(strip)
        .map(|top| top..(top + strip).min(rows))
        .collect();
    let found = strips
        .into_par_iter()
        .map(|strip| extents_of_strip(labels, strip, count));
    found.reduce(
        || vec![Extent::NONE; count],
        |mut one, other| {
            one.iter_mut()
                .zip(&other)
                .for_each(|(one, other)| one.join(other));
            one
        },
    )
}

/// Puts a row of labels into a line with a margin of one pixel; zeros below the last row.
fn copy_row(labels: &Array2<u32>, row: usize, line: &mut [u32]) {
    match (row < labels.nrows()).then(|| labels.row(row)) {
        Some(labels) => labels
            .iter()
            .zip(&mut line[1..])
            .for_each(|(&label, to)| *to = label),
        None => line.fill(0),
    }
}

/// Counts the squares whose lower pixels are in these rows.
fn extents_of_strip(labels: &Array2<u32>, strip: Range<usize>, count: usize) -> Vec<Extent> {
    let columns = labels.ncols();
    let mut extents = vec![Extent::NONE; count];
    let [mut above, mut below] = [vec![0; columns + 2], vec![0; columns + 2]];
    if let Some(row) = strip.start.checked_sub(1) {
        copy_row(labels, row, &mut above);
    }
    for row in strip {
        copy_row(labels, row, &mut below);
        for column in 0..=columns {
            let quad = [
                above[column],
                above[column + 1],
                below[column],
                below[column + 1],
            ];
            // Inside a label and in the background all four are equal, which adds nothing.
            if quad[0] == quad[1] && quad[2] == quad[3] && quad[0] == quad[2] {
                continue;
            }
            for (corner, &label) in quad.iter().enumerate() {
                if label > 0 && !quad[..corner].contains(&label) {
                    extents[label as usize].add(quad, label, [row, column]);
                }
            }
        }
        std::mem::swap(&mut above, &mut below);
    }
    extents
}

impl Extent {
    /// That of a label without pixels.
    const NONE: Self = Self {
        top: usize::MAX,
        bottom: 0,
        left: usize::MAX,
        right: 0,
        euler: 0,
        quads: 0,
    };

    /// Adds what was seen in other rows.
    fn join(&mut self, other: &Self) {
        (self.top, self.bottom) = (self.top.min(other.top), self.bottom.max(other.bottom));
        (self.left, self.right) = (self.left.min(other.left), self.right.max(other.right));
        (self.euler, self.quads) = (self.euler + other.euler, self.quads + other.quads);
    }

    /// Counts the square whose lower right pixel is at `[row, column]`.
    fn add(&mut self, quad: [u32; 4], label: u32, [row, column]: [usize; 2]) {
        let [a, b, c, d] = quad.map(|other| other == label);
        self.quads += 1;
        self.euler += match u8::from(a) + u8::from(b) + u8::from(c) + u8::from(d) {
            1 => 1,
            3 => -1,
            2 if a == d => -2,
            _ => 0,
        };
        if a || b {
            (self.top, self.bottom) = (self.top.min(row - 1), self.bottom.max(row));
        }
        if c || d {
            (self.top, self.bottom) = (self.top.min(row), self.bottom.max(row + 1));
        }
        if a || c {
            (self.left, self.right) = (self.left.min(column - 1), self.right.max(column));
        }
        if b || d {
            (self.left, self.right) = (self.left.min(column), self.right.max(column + 1));
        }
    }
}

fn fill_window(mut window: ArrayViewMut2<'_, u32>, label: u32, size: usize) {
    let outside: Vec<bool> = window.iter().map(|&other| other != label).collect();
    let parts = label_values(&outside, window.ncols(), Connectivity::Four);
    let count = parts.iter().copied().max().unwrap_or(0) as usize;
    let mut sizes = vec![0_usize; count + 1];
    parts.iter().for_each(|&part| sizes[part as usize] += 1);
    sizes[0] = usize::MAX;
    for (pixel, part) in window.iter_mut().zip(parts) {
        if sizes[part as usize] < size {
            *pixel = label;
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::segmentation::label::label;
    use crate::strategies;

    fn components(mask: &Array2<bool>, connectivity: Connectivity) -> i64 {
        i64::from(
            label(mask.view(), connectivity)
                .iter()
                .copied()
                .max()
                .unwrap_or(0),
        )
    }

    /// Objects less holes, where the outside is one background component around the object.
    fn euler_number(labels: &Array2<u32>, number: u32) -> i64 {
        let (rows, columns) = labels.dim();
        let outside = Array2::from_shape_fn((rows + 2, columns + 2), |(row, column)| {
            let label = row
                .checked_sub(1)
                .zip(column.checked_sub(1))
                .and_then(|pixel| labels.get(pixel));
            label != Some(&number)
        });
        let object = labels.mapv(|label| label == number);
        components(&object, Connectivity::Eight) - (components(&outside, Connectivity::Four) - 1)
    }

    fn slow_fill(labels: &Array2<u32>, size: usize) -> Array2<u32> {
        let mut filled = labels.clone();
        for number in 1..=3 {
            let pixels = || {
                labels
                    .indexed_iter()
                    .filter(|(_, label)| **label == number)
                    .map(|(pixel, _)| pixel)
            };
            if pixels().count() == 0 || euler_number(labels, number) >= 1 {
                continue;
            }
            let rows =
                pixels().map(|p| p.0).min().unwrap()..pixels().map(|p| p.0).max().unwrap() + 1;
            let columns =
                pixels().map(|p| p.1).min().unwrap()..pixels().map(|p| p.1).max().unwrap() + 1;
            let window = filled.slice_axis_mut(Axis(0), rows.into());
            let mut window = window.slice_axis_move(Axis(1), columns.into());
            let parts = label(
                window.mapv(|label| label != number).view(),
                Connectivity::Four,
            );
            for (pixel, part) in window.iter_mut().zip(&parts) {
                if *part > 0 && parts.iter().filter(|other| *other == part).count() < size {
                    *pixel = number;
                }
            }
        }
        filled
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn holes_are_filled_in_hollow_labels_only(labels in strategies::labels(14), size in 1..12_usize) {
            let mut filled = labels.clone();
            fill_holes(&mut filled, size);
            prop_assert_eq!(filled, slow_fill(&labels, size));
        }

        #[test]
        fn erosion_clears_what_touches_another_value(labels in strategies::labels(12), width in 0..3_usize) {
            let mut expected = labels.clone();
            for _ in 0..width {
                let before = expected.clone();
                for ((row, column), label) in expected.indexed_iter_mut() {
                    let touches = before.indexed_iter().any(|((y, x), other)| {
                        y.abs_diff(row) + x.abs_diff(column) == 1 && other != label
                    });
                    *label = if touches { 0 } else { *label };
                }
            }
            let mut eroded = labels;
            erode_edges(&mut eroded, width);
            prop_assert_eq!(eroded, expected);
        }
    }

    #[test]
    fn small_objects_are_counted_over_all_their_parts() {
        let mut labels = array![[1, 0, 1], [0, 2, 0], [3, 3, 3]];
        remove_small_objects(&mut labels, 2);
        assert_eq!(labels, array![[1, 0, 1], [0, 0, 0], [3, 3, 3]]);
    }
}
