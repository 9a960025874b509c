//! The cells of a label image as runs of pixels: their order, boxes, centers, and what hangs together.
//!
//! Border: where the pixels of a label lie; which cells are kept is others' business.

use std::ops::Range;

use rayon::prelude::*;

/// Neighboring pixels of one row with the same label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) label: u32,
    pub(super) row: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Run {
    /// The columns.
    pub(super) fn columns(&self) -> Range<usize> {
        self.start..self.end
    }

    /// How many pixels there are.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }
}

/// The runs of all labels but 0, by label, then row by row.
pub(super) fn runs_by_label(labels: &[u32], columns: usize) -> Vec<Run> {
    if columns == 0 {
        return Vec::new();
    }
    let strips = labels.par_chunks(STRIP * columns).enumerate();
    let mut runs: Vec<Run> = strips
        .flat_map_iter(|(strip, labels)| {
            let lines = labels.chunks_exact(columns).enumerate();
            lines.flat_map(move |(row, line)| runs_of_row(strip * STRIP + row, line))
        })
        .collect();
    // Stable: the runs of a label stay row by row.
    runs.par_sort_by_key(|run| run.label);
    runs
}

/// Rows that one task reads.
const STRIP: usize = 64;

fn runs_of_row(row: usize, line: &[u32]) -> impl Iterator<Item = Run> {
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = end + line[end..].iter().position(|&label| label != 0)?;
        let label = line[start];
        let length = line[start..].iter().position(|&other| other != label);
        end = length.map_or(line.len(), |length| start + length);
        Some(Run {
            label,
            row,
            start,
            end,
        })
    })
}

/// The runs of each label, ascending.
pub(super) fn cells(runs: &[Run]) -> Vec<&[Run]> {
    runs.chunk_by(|a, b| a.label == b.label).collect()
}

/// How many pixels a cell has.
pub(super) fn size(runs: &[Run]) -> usize {
    runs.iter().map(Run::len).sum()
}

/// Brings cells into the order in which they appear in the image.
pub(super) fn sort_by_appearance(cells: &mut [&[Run]]) {
    cells.sort_unstable_by_key(|runs| runs.first().map(|run| (run.row, run.start)));
}

/// Makes a label image of cells, numbered from 1 in their order.
pub(super) fn draw(cells: &[&[Run]], labels: &mut [u32], columns: usize) {
    labels.fill(0);
    for (number, runs) in (1..).zip(cells) {
        for run in *runs {
            labels[run.row * columns..][run.columns()].fill(number);
        }
    }
}

/// The rows and columns that runs row by row extend over.
pub(super) fn bounds(runs: &[Run]) -> [Range<usize>; 2] {
    let (first, last) = (runs.first(), runs.last());
    let rows = first.map_or(0, |run| run.row)..last.map_or(0, |run| run.row + 1);
    let start = runs.iter().map(|run| run.start).min().unwrap_or(0);
    let end = runs.iter().map(|run| run.end).max().unwrap_or(0);
    [rows, start..end]
}

/// The pixel of a cell that is nearest to its center of mass, `[row, column]`.
///
/// The center is rounded to a pixel first, half to even, counted from the corner of the cell's box; of several pixels at
/// the same distance the first counts.
pub(super) fn center(runs: &[Run]) -> [usize; 2] {
    let [rows, columns] = bounds(runs);
    let (mut count, mut row_sum, mut column_sum) = (0_usize, 0_usize, 0_usize);
    for run in runs {
        let (start, end) = (run.start - columns.start, run.end - columns.start);
        count += run.len();
        row_sum += (run.row - rows.start) * run.len();
        column_sum += (start + end - 1) * run.len() / 2;
    }
    let mean = |sum: usize| (sum as f64 / count as f64).round_ties_even() as usize;
    let mean = [rows.start + mean(row_sum), columns.start + mean(column_sum)];
    let nearest = |run: &Run| [run.row, mean[1].clamp(run.start, run.end - 1)];
    let distance =
        |[row, column]: [usize; 2]| row.abs_diff(mean[0]).pow(2) + column.abs_diff(mean[1]).pow(2);
    let candidates = runs.iter().map(nearest);
    candidates.min_by_key(|&at| distance(at)).unwrap_or(mean)
}

/// The runs that hang together with the one that a pixel lies in, over sides and corners, row by row.
pub(super) fn connected(runs: &[Run], [row, column]: [usize; 2]) -> Vec<Run> {
    let is_seed = |run: &Run| run.row == row && run.columns().contains(&column);
    let seed = runs.iter().position(is_seed);
    let mut reached = vec![false; runs.len()];
    let mut open: Vec<usize> = seed.into_iter().collect();
    open.iter().for_each(|&run| reached[run] = true);
    while let Some(run) = open.pop() {
        for neighbor in neighbors(runs, &runs[run]) {
            if !std::mem::replace(&mut reached[neighbor], true) {
                open.push(neighbor);
            }
        }
    }
    let reached = runs.iter().zip(reached).filter(|&(_, reached)| reached);
    reached.map(|(&run, _)| run).collect()
}

/// The runs in the rows above and below that touch a run, at least at a corner.
fn neighbors<'a>(runs: &'a [Run], run: &'a Run) -> impl Iterator<Item = usize> + 'a {
    let rows = [run.row.checked_sub(1), Some(run.row + 1)];
    rows.into_iter().flatten().flat_map(move |row| {
        let first = runs.partition_point(|other| (other.row, other.end) < (row, run.start));
        let touching = runs[first..].iter();
        let touching = touching.take_while(move |other| other.row == row && other.start <= run.end);
        (first..).zip(touching).map(|(index, _)| index)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::strategies::labels;

    fn pixels(runs: &[Run]) -> BTreeSet<[usize; 2]> {
        let pixels = |run: &Run| {
            run.columns()
                .map(|column| [run.row, column])
                .collect::<Vec<_>>()
        };
        runs.iter().flat_map(pixels).collect()
    }

    fn pixels_of(labels: &Array2<u32>, label: u32) -> BTreeSet<[usize; 2]> {
        let pixels = labels.indexed_iter().filter(|&(_, &other)| other == label);
        pixels.map(|((row, column), _)| [row, column]).collect()
    }

    fn runs(labels: &Array2<u32>) -> Vec<Run> {
        let values: Vec<u32> = labels.iter().copied().collect();
        runs_by_label(&values, labels.ncols())
    }

    proptest! {
        #[test]
        fn runs_are_the_pixels_of_labels(labels in labels(12)) {
            for runs in cells(&runs(&labels)) {
                let pixels = pixels(runs);
                prop_assert_eq!(&pixels, &pixels_of(&labels, runs[0].label));
                let [rows, columns] = bounds(runs);
                prop_assert_eq!(rows.start, pixels.iter().map(|at| at[0]).min().unwrap());
                prop_assert_eq!(rows.end, pixels.iter().map(|at| at[0] + 1).max().unwrap());
                prop_assert_eq!(columns.start, pixels.iter().map(|at| at[1]).min().unwrap());
                prop_assert_eq!(columns.end, pixels.iter().map(|at| at[1] + 1).max().unwrap());
            }
        }

        #[test]
        fn the_center_is_the_first_of_the_nearest_pixels(labels in labels(12)) {
            for runs in cells(&runs(&labels)) {
                let pixels = pixels(runs);
                let corner = bounds(runs).map(|range| range.start);
                let mean = [0, 1].map(|axis| {
                    let sum: usize = pixels.iter().map(|at| at[axis] - corner[axis]).sum();
                    let mean = (sum as f64 / pixels.len() as f64).round_ties_even();
                    corner[axis] as f64 + mean
                });
                let distance = |at: &[usize; 2]| {
                    (at[0] as f64 - mean[0]).powi(2) + (at[1] as f64 - mean[1]).powi(2)
                };
                let least = pixels.iter().map(distance).fold(f64::INFINITY, f64::min);
                let first = pixels.iter().find(|&at| distance(at) == least);
                prop_assert_eq!(center(runs), *first.unwrap());
            }
        }

        #[test]
        fn what_hangs_together_is_found_over_corners(labels in labels(12)) {
            for runs in cells(&runs(&labels)) {
                let all = pixels(runs);
                let mut expected: BTreeSet<_> = [center(runs)].into();
                loop {
                    let near = |at: &&[usize; 2]| expected.iter().any(|other| {
                        at[0].abs_diff(other[0]) <= 1 && at[1].abs_diff(other[1]) <= 1
                    });
                    let more: BTreeSet<_> = all.iter().filter(near).copied().collect();
                    if more == expected {
                        break;
                    }
                    expected = more;
                }
                prop_assert_eq!(pixels(&connected(runs, center(runs))), expected);
            }
        }
    }

    #[test]
    fn cells_are_drawn_in_the_order_in_which_they_appear() {
        let mut labels = ndarray::array![[0, 9, 9, 4], [u32::MAX, 0, 4, 4]];
        let runs = runs(&labels);
        let mut cells = cells(&runs);
        assert_eq!(
            cells.iter().map(|runs| size(runs)).collect::<Vec<_>>(),
            [3, 2, 1]
        );
        sort_by_appearance(&mut cells);
        draw(&cells[..2], labels.as_slice_mut().unwrap(), 4);
        assert_eq!(labels, ndarray::array![[0, 1, 1, 2], [0, 0, 2, 2]]);
    }

    #[test]
    fn an_image_without_pixels_has_no_cells() {
        assert_eq!(runs_by_label(&[], 0), []);
        assert_eq!(runs_by_label(&[], 7), []);
    }

    #[test]
    fn halves_are_rounded_to_even_from_the_corner_of_the_box() {
        // Two pixels in columns 1 and 2: the mean is half a pixel behind the corner, which is rounded down.
        let labels = ndarray::array![[0, 7, 7, 0_u32]];
        assert_eq!(center(&runs(&labels)), [0, 1]);
        let labels = ndarray::array![[0, 7, 7, 7, 7_u32]];
        assert_eq!(center(&runs(&labels)), [0, 3]);
    }
}
