//! Connected components and consecutive numbering.
//!
//! Border: which pixels belong together; what is done with small or hollow components is
//! `region`'s business.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::plane::{STRIP, as_row_major, from_values, values_mut};

/// Fewest rows that are worth a task of their own.
const ROWS: usize = 64;

/// Which neighbors of a pixel are connected to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connectivity {
    /// Those above, left, right and below.
    Four,
    /// All that touch it, also at a corner.
    Eight,
}

/// The connected components of equal value in a plane `[row, column]`, numbered 1, 2, 3 … in raster
/// order of their first pixels. As scikit-image's `label`.
///
/// The default value (0, `false`) is background and stays 0.
///
/// ```
/// # use cell_analysis::segmentation::{Connectivity, label};
/// # use ndarray::array;
/// let mask = array![[true, false, true], [true, false, false], [false, true, true]];
/// let labels = label(mask.view(), Connectivity::Four);
/// assert_eq!(labels, array![[1, 0, 2], [1, 0, 0], [0, 3, 3]]);
/// ```
#[must_use]
pub fn label<T>(image: ArrayView2<'_, T>, connectivity: Connectivity) -> Array2<u32>
where
    T: Copy + Default + PartialEq + Send + Sync,
{
    let image = image.as_standard_layout();
    let (rows, columns) = image.dim();
    from_values(
        [rows, columns],
        label_values(as_row_major(&image), columns, connectivity),
    )
}

/// A label image `[row, column]` with its labels renumbered to 1 … n in ascending order; 0 stays.
/// As scikit-image's `relabel_sequential`.
#[must_use]
pub fn relabel_sequential(mut labels: Array2<u32>) -> Array2<u32> {
    relabel(values_mut(&mut labels));
    labels
}

/// [`label`] of the pixels of a plane with `columns` columns, row by row.
pub(super) fn label_values<T>(image: &[T], columns: usize, connectivity: Connectivity) -> Vec<u32>
where
    T: Copy + Default + PartialEq + Send + Sync,
{
    if image.is_empty() {
        return Vec::new();
    }
    let runs = Runs::new(image, columns, connectivity);
    let numbers = runs.numbers();
    let mut labels = vec![0; image.len()];
    for (run, number) in runs.runs.iter().zip(numbers) {
        labels[run.start..run.end].fill(number);
    }
    labels
}

/// The runs of foreground pixels of a plane with `columns` columns, component after component, each with the number that
/// [`label`] gives its component.
pub(super) fn component_runs(
    image: &[bool],
    columns: usize,
    connectivity: Connectivity,
) -> Vec<(u32, Range<usize>)> {
    if image.is_empty() {
        return Vec::new();
    }
    let runs = Runs::new(image, columns, connectivity);
    let numbers = runs.numbers();
    let mut numbered: Vec<_> = numbers
        .into_iter()
        .zip(runs.runs.iter().map(|run| run.start..run.end))
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered
}

/// [`relabel_sequential`] in place.
pub(super) fn relabel(labels: &mut [u32]) {
    let highest = highest(labels) as usize;
    if highest > labels.len().max(1 << 16) {
        return relabel_sparse(labels);
    }
    let present: Vec<AtomicBool> = std::iter::repeat_with(AtomicBool::default)
        .take(highest + 1)
        .collect();
    labels.par_chunks(STRIP).for_each(|labels| {
        let runs = labels.chunk_by(|a, b| a == b);
        runs.for_each(|run| present[run[0] as usize].store(true, Ordering::Relaxed));
    });
    let mut count = 0;
    let mut numbers = vec![0; present.len()];
    for (number, present) in numbers.iter_mut().zip(present).skip(1) {
        if present.into_inner() {
            count += 1;
            *number = count;
        }
    }
    if count as usize != highest {
        labels
            .par_iter_mut()
            .with_min_len(STRIP)
            .for_each(|label| *label = numbers[*label as usize]);
    }
}

/// The highest label, 0 if there is none.
pub(super) fn highest(labels: &[u32]) -> u32 {
    labels
        .par_chunks(STRIP)
        .map(|labels| labels.iter().copied().fold(0, u32::max))
        .max()
        .unwrap_or(0)
}

/// [`relabel`] for labels too high to have a table.
fn relabel_sparse(labels: &mut [u32]) {
    let mut present: Vec<u32> = labels.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
    present.sort_unstable();
    present.dedup();
    present.retain(|&label| label > 0);
    let mut last = (0, 0);
    for label in labels {
        if *label != last.0 {
            let number = present.partition_point(|present| present <= label) as u32;
            last = (*label, number);
        }
        *label = if *label == 0 { 0 } else { last.1 };
    }
}

/// A stretch of equal foreground pixels in one row.
struct Run<T> {
    start: usize,
    end: usize,
    value: T,
}

/// The runs of a plane in raster order and the forest of those that belong together, in which
/// every root is the first run of its component.
struct Runs<T> {
    runs: Vec<Run<T>>,
    parents: Vec<u32>,
}

impl<T: Copy + Default + PartialEq + Send + Sync> Runs<T> {
    fn new(image: &[T], columns: usize, connectivity: Connectivity) -> Self {
        let rows = image
            .par_chunks_exact(columns)
            .with_min_len(ROWS)
            .enumerate();
        let rows: Vec<Vec<Run<T>>> = rows
            .map(|(row, pixels)| Self::of_row(pixels, row * columns))
            .collect();
        let count = rows.iter().map(Vec::len).sum();
        let mut this = Self {
            runs: Vec::with_capacity(count),
            parents: (0..count as u32).collect(),
        };
        let reach = usize::from(connectivity == Connectivity::Eight);
        // Rows are split into runs side by side, but joined one after the other: that takes one look at each run.
        let mut above = 0;
        for row in rows {
            let first = this.runs.len();
            this.runs.extend(row);
            this.join(above..first, columns, reach);
            above = first;
        }
        this
    }

    /// The runs of one row, whose first pixel is `start`.
    fn of_row(pixels: &[T], mut start: usize) -> Vec<Run<T>> {
        let mut runs = Vec::new();
        for run in pixels.chunk_by(|a, b| a == b) {
            let end = start + run.len();
            if run[0] != T::default() {
                runs.push(Run {
                    start,
                    end,
                    value: run[0],
                });
            }
            start = end;
        }
        runs
    }

    /// Joins the runs of the last row to those `above` that touch them.
    fn join(&mut self, above: Range<usize>, columns: usize, reach: usize) {
        let mut candidate = above.start;
        for below in above.end..self.runs.len() {
            let Run { start, end, value } = self.runs[below];
            // Runs go from left to right in both rows: one that ends left of this run also ends left of all that follow.
            while candidate < above.end && self.runs[candidate].end + columns + reach <= start {
                candidate += 1;
            }
            for upper in candidate..above.end {
                if self.runs[upper].start + columns >= end + reach {
                    break;
                }
                if self.runs[upper].value == value {
                    self.unite(upper, below);
                }
            }
        }
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (first, second) = (a.min(b), a.max(b));
        self.parents[second] = first as u32;
    }

    fn root(&mut self, mut run: usize) -> usize {
        while self.parents[run] as usize != run {
            let grandparent = self.parents[self.parents[run] as usize];
            self.parents[run] = grandparent;
            run = grandparent as usize;
        }
        run
    }

    fn numbers(&self) -> Vec<u32> {
        // A root comes before all others of its component, so that its number is known when they ask for it.
        let mut numbers: Vec<u32> = Vec::with_capacity(self.runs.len());
        let mut count = 0;
        for (run, &parent) in self.parents.iter().enumerate() {
            let number = if parent as usize == run {
                count += 1;
                count
            } else {
                numbers[parent as usize]
            };
            numbers.push(number);
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    /// Floods one component after the other.
    fn slow(image: &Array2<u32>, connectivity: Connectivity) -> Array2<u32> {
        let mut labels = Array2::zeros(image.dim());
        let mut count = 0;
        for (origin, &value) in image.indexed_iter() {
            if value == 0 || labels[origin] > 0 {
                continue;
            }
            count += 1;
            let mut waiting = vec![origin];
            while let Some((row, column)) = waiting.pop() {
                labels[[row, column]] = count;
                for ((y, x), &other) in image.indexed_iter() {
                    let (down, across) = (y.abs_diff(row), x.abs_diff(column));
                    let touches = match connectivity {
                        Connectivity::Four => down + across == 1,
                        Connectivity::Eight => down.max(across) == 1,
                    };
                    if touches && other == value && labels[[y, x]] == 0 {
                        waiting.push((y, x));
                    }
                }
            }
        }
        labels
    }

    proptest! {
        #[test]
        fn components_are_those_of_a_flood(image in strategies::labels(12)) {
            for connectivity in [Connectivity::Four, Connectivity::Eight] {
                prop_assert_eq!(label(image.view(), connectivity), slow(&image, connectivity));
            }
        }

        #[test]
        fn renumbering_keeps_the_order(image in strategies::labels(6), factor in 1..1_000_000_000_u32) {
            let scaled = image.mapv(|label| label * factor);
            let mut present: Vec<u32> = image.iter().copied().filter(|&label| label > 0).collect();
            present.sort_unstable();
            present.dedup();
            let number = |label: u32| present.iter().position(|&p| p == label).map_or(0, |place| place as u32 + 1);
            prop_assert_eq!(relabel_sequential(scaled), image.mapv(number));
        }
    }

    #[test]
    fn corners_connect_eight_neighbors_only() {
        let image = array![[true, false], [false, true]];
        assert_eq!(
            label(image.view(), Connectivity::Four),
            array![[1, 0], [0, 2]]
        );
        assert_eq!(
            label(image.view(), Connectivity::Eight),
            array![[1, 0], [0, 1]]
        );
    }
}
