//! The flows that a label image stands for: from a source in the middle of each cell, heat spreads, and flows lead up to it.
//!
//! Border: labels to flows; what flows are compared with is `check`'s business.

use fearless_simd::{Level, Simd, SimdBase, SimdFloatElement, dispatch};
use ndarray::{Array3, ArrayView2};
use rayon::prelude::*;

use super::cells::{Run, bounds, cells, center, connected, runs_by_label};
use crate::plane::as_row_major;

/// The flows `[2, row, column]` of a label image, rows first, of length 1, or 0 outside of cells and where heat is even.
///
/// For 2 (height + width + 2) steps of the cell for which that is most, the pixel of each cell that is nearest to its
/// center of mass gets 1, and then every pixel the mean of what it and those of its eight neighbors have that have the
/// same label, the others counting as 0. A flow is the difference of the neighbors below and above, and right and left,
/// whatever their labels. In `f64`, as `masks_to_flows_gpu` of Cellpose; as there, heat is `f32` if the image with a
/// margin of one pixel has more than 40 million pixels. Equal to the last bit with torch on one thread; with several,
/// torch adds in another order.
#[must_use]
pub fn masks_to_flows(labels: ArrayView2<'_, u32>) -> Array3<f64> {
    let (rows, columns) = labels.dim();
    let labels = ndarray::CowArray::from(labels);
    let labels = labels.as_standard_layout();
    let runs = runs_by_label(as_row_major(&labels), columns);
    let heat = Heat::new(as_row_major(&labels), [rows, columns], &runs);
    let mut flows = Array3::zeros((2, rows, columns));
    for run in &runs {
        for column in run.columns() {
            let [down, across] = heat.flow([run.row, column]);
            flows[[0, run.row, column]] = down;
            flows[[1, run.row, column]] = across;
        }
    }
    flows
}

/// How warm every pixel of an image is.
pub(super) enum Heat {
    Double(Plane<f64>),
    Single(Plane<f32>),
}

/// Pixels of an image, with its margin, above which heat is kept in single precision.
const LARGE: f64 = 4e7;

impl Heat {
    /// Heats the cells of a label image of `[rows, columns]`, whose runs come by label.
    pub(super) fn new(labels: &[u32], image: [usize; 2], runs: &[Run]) -> Self {
        let [rows, columns] = image.map(|length| length as f64 + 2.0);
        if rows * columns > LARGE {
            Self::Single(Plane::new(labels, image, runs))
        } else {
            Self::Double(Plane::new(labels, image, runs))
        }
    }

    /// The flow of a pixel of a cell, rows first.
    pub(super) fn flow(&self, at: [usize; 2]) -> [f64; 2] {
        let [down, across] = match self {
            Self::Double(plane) => plane.differences(at),
            Self::Single(plane) => plane.differences(at),
        };
        let length = 1e-60 + (down * down + across * across).sqrt();
        [down / length, across / length]
    }
}

/// Heat with a margin of one pixel.
pub(super) struct Plane<T> {
    values: Vec<T>,
    stride: usize,
}

/// Cells that are heated at a time: their heat is in memory twice.
const CELLS: usize = 4096;

impl<T: SimdFloatElement + Into<f64> + Send + Sync> Plane<T> {
    fn new(labels: &[u32], [rows, columns]: [usize; 2], runs: &[Run]) -> Self {
        let cells = cells(runs);
        let rest = runs.iter().map(Run::len).sum::<usize>() % (TORCH_BLOCK / size_of::<T>());
        let last = last_pixels(labels, columns, rest);
        let stride = columns + 2;
        let mut plane = Self {
            values: vec![T::default(); (rows + 2) * stride],
            stride,
        };
        let extent = |runs: &&[Run]| bounds(runs).iter().map(|range| range.len()).sum::<usize>();
        let steps = 2 * (cells.iter().map(extent).max().unwrap_or(0) + 2);
        let level = Level::new();
        for cells in cells.chunks(CELLS) {
            let warm: Vec<Vec<(Run, Vec<T>)>> = cells
                .par_iter()
                .map(|runs| Cell::new(runs, last).heated(level, steps))
                .collect();
            for (run, values) in warm.into_iter().flatten() {
                let start = (run.row + 1) * stride + run.start + 1;
                plane.values[start..start + values.len()].copy_from_slice(&values);
            }
        }
        plane
    }

    /// Below less above, and right less left, each in the plane's precision.
    fn differences(&self, [row, column]: [usize; 2]) -> [f64; 2] {
        let at = (row + 1) * self.stride + column + 1;
        let heat = |at: usize| self.values[at];
        [
            heat(at + self.stride) - heat(at - self.stride),
            heat(at + 1) - heat(at - 1),
        ]
        .map(Into::into)
    }
}

/// Bytes that torch sums at a time: four AVX registers, on machines with AVX-512 too.
const TORCH_BLOCK: usize = 128;

/// Row and column of the first of the last `count` pixels of cells.
fn last_pixels(labels: &[u32], columns: usize, count: usize) -> [usize; 2] {
    let cells = labels.iter().enumerate().filter(|&(_, &label)| label != 0);
    let first = cells.rev().take(count).last();
    first.map_or([usize::MAX; 2], |(at, _)| [at / columns, at % columns])
}

/// What of a cell hangs together with its center: the rest stays cold.
struct Cell {
    runs: Vec<Run>,
    /// Those of its pixels that torch sums alone, in another order.
    alone: Vec<[usize; 2]>,
    center: [usize; 2],
    /// Row and column of the upper left pixel of the box.
    origin: [usize; 2],
    /// Pixels of a row of the box, and one that is always cold.
    stride: usize,
    /// Pixels of the box with cold ones around.
    len: usize,
}

impl Cell {
    /// Of the pixels from `last` on torch sums each alone.
    fn new(runs: &[Run], last: [usize; 2]) -> Self {
        let center = center(runs);
        let runs = connected(runs, center);
        let [rows, columns] = bounds(&runs);
        let stride = columns.len() + 1;
        let alone = runs.iter().filter(|run| [run.row, run.end] > last);
        let alone = alone.flat_map(|run| run.columns().map(|column| [run.row, column]));
        let alone = alone.filter(|&pixel| pixel >= last).collect();
        Self {
            runs,
            alone,
            center,
            origin: [rows.start, columns.start],
            stride,
            len: (rows.len() + 2) * stride + 1,
        }
    }

    /// Index of a pixel in the box.
    fn place(&self, row: usize, column: usize) -> usize {
        (row - self.origin[0] + 1) * self.stride + (column - self.origin[1]) + 1
    }

    /// The heat of the runs after so many steps.
    fn heated<T: SimdFloatElement>(&self, level: Level, steps: usize) -> Vec<(Run, Vec<T>)> {
        let heat: Vec<T> = dispatch!(level, simd => simd.vectorize(
            #[inline(always)]
            || spread(simd, self, steps)
        ));
        let runs = self.runs.iter().map(|run| {
            let start = self.place(run.row, run.start);
            (*run, heat[start..start + run.len()].to_vec())
        });
        runs.collect()
    }
}

/// Heats a cell: its box row by row, after `steps` steps.
#[inline(always)]
fn spread<S: Simd, T: SimdFloatElement>(simd: S, cell: &Cell, steps: usize) -> Vec<T> {
    let lanes = T::Native::<S>::LEN;
    let len = cell.len + lanes;
    let (mut old, mut new) = (vec![T::default(); len], vec![T::default(); len]);
    let mut inside = vec![T::default(); len];
    let mut blocks = Vec::new();
    for run in &cell.runs {
        let places = cell.place(run.row, run.start)..cell.place(run.row, run.end);
        blocks.extend(places.clone().step_by(lanes));
        inside[places].fill(T::from(1_u8));
    }
    let alone = cell.alone.iter();
    let alone: Vec<usize> = alone
        .map(|&[row, column]| cell.place(row, column))
        .collect();
    let center = cell.place(cell.center[0], cell.center[1]);
    for _ in 0..steps {
        old[center] += T::from(1_u8);
        for &at in &blocks {
            // Lanes beyond the end of a run are computed twice, or are outside and stay cold.
            let mean = mean_near::<S, T>(simd, &old, (at, cell.stride));
            let mean = mean * T::Native::<S>::from_slice(simd, &inside[at..at + lanes]);
            mean.store_slice(&mut new[at..at + lanes]);
        }
        for &at in &alone {
            new[at] = mean_alone(&old, (at, cell.stride));
        }
        std::mem::swap(&mut old, &mut new);
    }
    old
}

/// The mean of nine pixels for each pixel from `at` on, summed in torch's order.
#[inline(always)]
fn mean_near<S: Simd, T: SimdFloatElement>(
    simd: S,
    heat: &[T],
    (at, stride): (usize, usize),
) -> T::Native<S> {
    let width = T::Native::<S>::LEN + 2;
    let above = &heat[at - stride - 1..][..width];
    let here = &heat[at - 1..][..width];
    let below = &heat[at + stride - 1..][..width];
    let sum = from::<S, T>(simd, here, 1) + from::<S, T>(simd, above, 1);
    let sum = sum + from::<S, T>(simd, below, 1) + from::<S, T>(simd, here, 0);
    let sum = sum + from::<S, T>(simd, here, 2) + from::<S, T>(simd, above, 0);
    let sum = sum + from::<S, T>(simd, above, 2) + from::<S, T>(simd, below, 0);
    (sum + from::<S, T>(simd, below, 2)) / T::from(9_u8)
}

/// The mean of nine pixels in the order in which torch sums what does not fill a block.
fn mean_alone<T: SimdFloatElement>(heat: &[T], (at, stride): (usize, usize)) -> T {
    let (above, below) = (at - stride, at + stride);
    let first = (heat[at] + heat[at + 1]) + heat[below + 1];
    let second = heat[above] + heat[above - 1];
    let third = heat[below] + heat[above + 1];
    let fourth = heat[at - 1] + heat[below - 1];
    (((first + second) + third) + fourth) / T::from(9_u8)
}

/// Values from a place on.
#[inline(always)]
fn from<S: Simd, T: SimdFloatElement>(simd: S, values: &[T], start: usize) -> T::Native<S> {
    T::Native::<S>::from_slice(simd, &values[start..start + T::Native::<S>::LEN])
}

#[cfg(test)]
mod tests {
    use std::ops::{Add, AddAssign, Div};

    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;
    use crate::strategies::labels;

    /// All pixels at once, as it is defined.
    fn heat<T>(labels: &Array2<u32>, block: usize) -> Array2<T>
    where
        T: Copy + Default + From<u8> + Add<Output = T> + AddAssign + Div<Output = T>,
    {
        let (rows, columns) = labels.dim();
        let values: Vec<u32> = labels.iter().copied().collect();
        let runs = runs_by_label(&values, columns);
        let extent = |runs: &&[Run]| bounds(runs)[0].len() + bounds(runs)[1].len() + 2;
        let steps = 2 * cells(&runs).iter().map(extent).max().unwrap_or(0);
        let pixels: Vec<(usize, usize)> = labels
            .indexed_iter()
            .filter_map(|(at, &label)| (label > 0).then_some(at))
            .collect();
        let in_blocks = pixels.len() - pixels.len() % block;
        let mut heat = Array2::from_elem((rows, columns), T::default());
        for _ in 0..steps {
            for runs in cells(&runs) {
                heat[center(runs)] += T::from(1);
            }
            let old = heat.clone();
            for (index, &(row, column)) in pixels.iter().enumerate() {
                let near = |down: isize, across: isize| {
                    let at = row
                        .checked_add_signed(down)
                        .zip(column.checked_add_signed(across));
                    let at = at.filter(|&at| labels.get(at) == Some(&labels[[row, column]]));
                    at.map_or(T::default(), |at| old[at])
                };
                let terms = [
                    near(0, 0),
                    near(-1, 0),
                    near(1, 0),
                    near(0, -1),
                    near(0, 1),
                    near(-1, -1),
                    near(-1, 1),
                    near(1, -1),
                    near(1, 1),
                ];
                let sum = |terms: &[T]| terms.iter().fold(T::default(), |sum, &term| sum + term);
                let total = if index < in_blocks {
                    sum(&terms)
                } else {
                    let lane = |lane: usize| {
                        let terms: Vec<T> = terms.iter().skip(lane).step_by(4).copied().collect();
                        sum(&terms)
                    };
                    sum(&[lane(0), lane(1), lane(2), lane(3)])
                };
                heat[[row, column]] = total / T::from(9);
            }
        }
        heat
    }

    fn plane<T: SimdFloatElement + Into<f64> + Send + Sync>(labels: &Array2<u32>) -> Array2<T> {
        let (rows, columns) = labels.dim();
        let values: Vec<u32> = labels.iter().copied().collect();
        let plane = Plane::<T>::new(&values, [rows, columns], &runs_by_label(&values, columns));
        Array2::from_shape_fn((rows, columns), |(row, column)| {
            plane.values[(row + 1) * plane.stride + column + 1]
        })
    }

    proptest! {
        #[test]
        fn heat_spreads_as_it_is_defined(labels in labels(14)) {
            prop_assert_eq!(plane::<f64>(&labels), heat::<f64>(&labels, 16));
            prop_assert_eq!(plane::<f32>(&labels), heat::<f32>(&labels, 32));
        }

        #[test]
        fn flows_are_differences_of_heat_and_have_length_one(labels in labels(14)) {
            let heat = heat::<f64>(&labels, 16);
            let at = |row: Option<usize>, column: Option<usize>| {
                row.zip(column).and_then(|at| heat.get(at)).copied().unwrap_or(0.0)
            };
            let flows = masks_to_flows(labels.view());
            for ((row, column), &label) in labels.indexed_iter() {
                let down = at(Some(row + 1), Some(column)) - at(row.checked_sub(1), Some(column));
                let across = at(Some(row), Some(column + 1)) - at(Some(row), column.checked_sub(1));
                let length = 1e-60 + (down * down + across * across).sqrt();
                let flow = [flows[[0, row, column]], flows[[1, row, column]]];
                let expected = [down / length, across / length].map(|flow| if label > 0 { flow } else { 0.0 });
                prop_assert_eq!(flow, expected);
            }
        }

        #[test]
        fn heat_does_not_depend_on_instructions(labels in labels(14)) {
            let values: Vec<u32> = labels.iter().copied().collect();
            for runs in cells(&runs_by_label(&values, labels.ncols())) {
                let cell = Cell::new(runs, [usize::MAX; 2]);
                let best = cell.heated::<f64>(Level::new(), 40);
                prop_assert_eq!(cell.heated(Level::baseline(), 40), best);
            }
        }
    }

    #[test]
    fn only_what_hangs_together_with_the_center_is_warm() {
        let labels = ndarray::array![[1, 1, 1, 0, 1_u32]];
        let heat = plane::<f64>(&labels);
        assert!(heat[[0, 0]] > 0.0 && heat[[0, 2]] > 0.0);
        assert_eq!(heat[[0, 4]], 0.0);
    }

    #[test]
    fn nothing_flows_without_cells() {
        assert_eq!(
            masks_to_flows(Array2::zeros((3, 4)).view()),
            Array3::<f64>::zeros((2, 3, 4))
        );
        assert_eq!(
            masks_to_flows(Array2::zeros((0, 4)).view()).dim(),
            (2, 0, 4)
        );
        assert_eq!(
            masks_to_flows(Array2::zeros((4, 0)).view()).dim(),
            (2, 4, 0)
        );
    }
}
