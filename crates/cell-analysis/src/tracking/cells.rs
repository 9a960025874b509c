//! The cells of one frame: number, size and shape of each, from two passes over the frame.
//!
//! Border: label images only; pixels of the movie are read in `features`.

use std::ops::Range;

use ndarray::ArrayViewMut2;

/// A cell of a frame: all pixels of one label, connected or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its label in the input.
    pub label: i32,
    /// Pixels.
    pub area: usize,
    /// Rows of its bounding box.
    pub rows: Range<usize>,
    /// Columns of its bounding box.
    pub columns: Range<usize>,
    /// Mean row and column of its pixels.
    pub centroid: [f64; 2],
    /// Length of its outline in pixels, see [`number_cells`].
    pub perimeter: f64,
    /// Of the ellipse with the same second moments, 0 (a disk) to 1 (a line).
    pub eccentricity: f64,
}

/// Why a frame's labels cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A label below 0.
    #[error("label {0} is negative")]
    Negative(i32),
    /// Cells everywhere: such a frame has no features, the reference fails.
    #[error("no pixel is background (label 0)")]
    NoBackground,
}

/// The cells of a frame of labels `[row, column]` in ascending order of their labels; the frame is renumbered in place to
/// their positions in this list, from 1.
///
/// Area, centroid, perimeter and eccentricity are those of scikit-image's `regionprops`.
///
/// The perimeter follows Benkrid and Crookes, "Design and FPGA Implementation of a Perimeter Estimator", 2000, as
/// scikit-image has it: border pixels are those with one of four neighbors outside the cell (or the image), and each
/// counts 1, √2 or their mean by the border pixels around it. One or two pixels have none.
///
/// # Errors
///
/// [`LabelError::Negative`] for a label below 0.
///
/// # Panics
///
/// If the frame is not in standard layout.
pub fn number_cells(mut frame: ArrayViewMut2<'_, i32>) -> Result<Vec<Cell>, LabelError> {
    let columns = frame.ncols();
    let plane = frame
        .as_slice_mut()
        .expect("a frame in standard layout is one slice");
    let runs = runs(plane, columns);
    if let Some(run) = runs.iter().find(|run| run.label < 0) {
        return Err(LabelError::Negative(run.label));
    }
    let mut labels: Vec<i32> = runs.iter().map(|run| run.label).collect();
    labels.sort_unstable();
    labels.dedup();
    let mut sums: Vec<Sums> = labels.iter().map(|_| Sums::default()).collect();
    for run in &runs {
        let cell = labels.partition_point(|&label| label < run.label);
        sums[cell].add(run);
        let line = run.row * columns;
        plane[line + run.columns.start..line + run.columns.end].fill(cell as i32 + 1);
    }
    let perimeters = perimeters(plane, columns, labels.len());
    let cells = labels.into_iter().zip(sums).zip(perimeters);
    Ok(cells
        .map(|((label, sums), perimeter)| sums.cell(label, perimeter))
        .collect())
}

/// Neighboring pixels of one label in one row.
struct Run {
    row: usize,
    columns: Range<usize>,
    label: i32,
}

/// The runs of all labels but 0, row by row.
fn runs(plane: &[i32], columns: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    for (row, line) in plane.chunks_exact(columns.max(1)).enumerate() {
        let mut start = 0;
        for pixels in line.chunk_by(|a, b| a == b) {
            let end = start + pixels.len();
            if pixels[0] != 0 {
                runs.push(Run {
                    row,
                    columns: start..end,
                    label: pixels[0],
                });
            }
            start = end;
        }
    }
    runs
}

/// Sums over the pixels of a cell, exact; rows and columns count from its first run, so that squares stay small.
#[derive(Default)]
struct Sums {
    area: i64,
    origin: [i64; 2],
    rows: Range<i64>,
    columns: Range<i64>,
    row: i64,
    column: i64,
    row_row: i64,
    row_column: i64,
    column_column: i64,
}

impl Sums {
    fn add(&mut self, run: &Run) {
        let (row, start, end) = (
            run.row as i64,
            run.columns.start as i64,
            run.columns.end as i64,
        );
        if self.area == 0 {
            self.origin = [row, start];
            self.rows = row..row + 1;
            self.columns = start..end;
        }
        self.rows.end = row + 1;
        self.columns = self.columns.start.min(start)..self.columns.end.max(end);
        let (r, first, count) = (row - self.origin[0], start - self.origin[1], end - start);
        let last = first + count - 1;
        let sum = (first + last) * count / 2;
        self.area += count;
        self.row += r * count;
        self.column += sum;
        self.row_row += r * r * count;
        self.row_column += r * sum;
        self.column_column += sum_of_squares(last) - sum_of_squares(first - 1);
    }

    fn cell(self, label: i32, perimeter: f64) -> Cell {
        let area = self.area as f64;
        let centroid = [
            self.row + self.origin[0] * self.area,
            self.column + self.origin[1] * self.area,
        ];
        Cell {
            label,
            area: self.area as usize,
            rows: indices(&self.rows),
            columns: indices(&self.columns),
            centroid: centroid.map(|sum| sum as f64 / area),
            perimeter,
            eccentricity: self.eccentricity(),
        }
    }

    fn eccentricity(&self) -> f64 {
        let area = self.area as f64;
        let central = |product: i64, a: i64, b: i64| {
            // In integers up to the division: differences of large squares would lose digits as floats.
            let exact = i128::from(self.area) * i128::from(product) - i128::from(a) * i128::from(b);
            exact as f64 / (area * area)
        };
        let a = central(self.row_row, self.row, self.row);
        let b = central(self.row_column, self.row, self.column);
        let d = central(self.column_column, self.column, self.column);
        let (middle, half) = (
            f64::midpoint(a, d),
            (((a - d) / 2.0).powi(2) + b * b).sqrt(),
        );
        let (major, minor) = ((middle + half).max(0.0), (middle - half).max(0.0));
        if major == 0.0 {
            0.0
        } else {
            (1.0 - minor / major).sqrt()
        }
    }
}

/// Of the integers from 1 to `n`.
fn sum_of_squares(n: i64) -> i64 {
    n * (n + 1) * (2 * n + 1) / 6
}

fn indices(range: &Range<i64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Perimeters of the cells 1 … `count` of a numbered plane.
fn perimeters(plane: &[i32], columns: usize, count: usize) -> Vec<f64> {
    let width = columns + 2;
    let borders = borders(plane, columns);
    let mut counts = vec![[0_u64; 4]; count + 1];
    for (at, &cell) in borders.iter().enumerate().filter(|(_, cell)| **cell != 0) {
        let same = |places: [usize; 4]| {
            places
                .into_iter()
                .filter(|&place| borders[place] == cell)
                .count()
        };
        let direct = same([at - width, at - 1, at + 1, at + width]);
        let diagonal = same([
            at - width - 1,
            at - width + 1,
            at + width - 1,
            at + width + 1,
        ]);
        counts[cell as usize][KINDS[diagonal][direct]] += 1;
    }
    counts[1..].iter().map(outline_length).collect()
}

/// The length of an outline from how many of its pixels are of each of the [`KINDS`].
fn outline_length([_, straight, diagonal, mixed]: &[u64; 4]) -> f64 {
    let root = std::f64::consts::SQRT_2;
    *straight as f64 + *diagonal as f64 * root + *mixed as f64 * f64::midpoint(1.0, root)
}

/// What a border pixel adds, by its diagonal and direct neighbors on the border: 0 nothing, 1 one, 2 √2, 3 their mean.
const KINDS: [[usize; 5]; 5] = [
    [0, 0, 1, 1, 0],
    [0, 3, 1, 1, 0],
    [2, 3, 1, 1, 0],
    [0, 2, 0, 0, 0],
    [0, 0, 0, 0, 0],
];

/// The border pixels of a numbered plane with their numbers, all others 0, in a margin of one pixel.
fn borders(plane: &[i32], columns: usize) -> Vec<i32> {
    let width = columns + 2;
    let rows = plane.len() / columns.max(1);
    let outside = vec![0; columns];
    let mut borders = vec![0; (rows + 2) * width];
    let lines = borders
        .chunks_exact_mut(width)
        .skip(1)
        .zip(plane.chunks_exact(columns.max(1)));
    for (row, (out, here)) in lines.enumerate() {
        let line = |row: usize| {
            plane
                .get(row * columns..(row + 1) * columns)
                .unwrap_or(&outside)
        };
        let (above, below) = (
            row.checked_sub(1).map_or(outside.as_slice(), line),
            line(row + 1),
        );
        // Pixels in the first and the last column always have a neighbor outside: only those between are compared.
        let out = &mut out[1..=columns];
        out.copy_from_slice(here);
        let (left, right) = (here, here.get(2..).unwrap_or_default());
        let inner = out
            .iter_mut()
            .zip(above)
            .zip(below)
            .skip(1)
            .zip(left)
            .zip(right);
        for ((((out, &above), &below), &left), &right) in inner {
            let here = *out;
            let inside = (above == here) & (below == here) & (left == here) & (right == here);
            *out = if inside { 0 } else { here };
        }
    }
    borders
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    fn frame(side: usize) -> impl Strategy<Value = Array2<i32>> {
        let labels = prop_oneof![4 => Just(0), 3 => Just(7), 2 => Just(900_000_001), 1 => Just(3)];
        (
            1..=side,
            1..=side,
            1..4_usize,
            proptest::collection::vec(labels, side * side),
        )
            .prop_map(|(rows, columns, patch, values)| {
                Array2::from_shape_fn((rows, columns), |(row, column)| {
                    values[row / patch * columns + column / patch]
                })
            })
    }

    /// Everything from the definition, cell by cell over the whole frame.
    fn slow(frame: &Array2<i32>, label: i32) -> Cell {
        let is_cell = |row: isize, column: isize| {
            let place = usize::try_from(row).ok().zip(usize::try_from(column).ok());
            place.and_then(|place| frame.get(place)) == Some(&label)
        };
        let pixels: Vec<(isize, isize)> = frame
            .indexed_iter()
            .filter(|(_, value)| **value == label)
            .map(|((row, column), _)| (row as isize, column as isize))
            .collect();
        let direct = [(-1, 0), (0, -1), (0, 1), (1, 0)];
        let diagonal = [(-1, -1), (-1, 1), (1, -1), (1, 1)];
        let is_border = |(row, column): (isize, isize)| {
            is_cell(row, column) && direct.iter().any(|(y, x)| !is_cell(row + y, column + x))
        };
        let around = |(row, column): (isize, isize), steps: [(isize, isize); 4]| {
            steps
                .into_iter()
                .filter(|(y, x)| is_border((row + y, column + x)))
                .count()
        };
        let root = 2.0_f64.sqrt();
        let weight = |&pixel: &(isize, isize)| match 1
            + 2 * around(pixel, direct)
            + 10 * around(pixel, diagonal)
        {
            5 | 7 | 15 | 17 | 25 | 27 => 1.0,
            21 | 33 => root,
            13 | 23 => (1.0 + root) / 2.0,
            _ => 0.0,
        };
        let mean = |values: &dyn Fn(&(isize, isize)) -> f64| {
            pixels.iter().map(values).sum::<f64>() / pixels.len() as f64
        };
        let (r, c) = (mean(&|pixel| pixel.0 as f64), mean(&|pixel| pixel.1 as f64));
        let a = mean(&|pixel| (pixel.0 as f64 - r).powi(2));
        let b = mean(&|pixel| (pixel.0 as f64 - r) * (pixel.1 as f64 - c));
        let d = mean(&|pixel| (pixel.1 as f64 - c).powi(2));
        let half = (((a - d) / 2.0).powi(2) + b * b).sqrt();
        let (major, minor) = (
            ((a + d) / 2.0 + half).max(0.0),
            ((a + d) / 2.0 - half).max(0.0),
        );
        let (row, column) = (
            pixels.iter().map(|p| p.0 as usize),
            pixels.iter().map(|p| p.1 as usize),
        );
        Cell {
            label,
            area: pixels.len(),
            rows: row.clone().min().unwrap()..row.max().unwrap() + 1,
            columns: column.clone().min().unwrap()..column.max().unwrap() + 1,
            centroid: [r, c],
            perimeter: pixels
                .iter()
                .filter(|pixel| is_border(**pixel))
                .map(weight)
                .sum(),
            eccentricity: if major == 0.0 {
                0.0
            } else {
                (1.0 - minor / major).sqrt()
            },
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn one_pass_gives_what_each_cell_by_itself_would(labels in frame(14)) {
            let mut frame = labels.clone();
            let cells = number_cells(frame.view_mut()).expect("no label is negative");
            for (number, cell) in (1..).zip(&cells) {
                let expected = slow(&labels, cell.label);
                prop_assert_eq!(cell.area, expected.area);
                prop_assert_eq!(&cell.rows, &expected.rows);
                prop_assert_eq!(&cell.columns, &expected.columns);
                prop_assert_eq!(cell.centroid, expected.centroid);
                prop_assert!((cell.perimeter - expected.perimeter).abs() < 1e-9);
                prop_assert!((cell.eccentricity - expected.eccentricity).abs() < 1e-6);
                prop_assert!(frame.iter().zip(&labels).all(|(a, b)| (*a == number) == (*b == cell.label)));
            }
            prop_assert!(cells.is_sorted_by(|a, b| a.label < b.label));
            prop_assert!(frame.iter().zip(&labels).all(|(a, b)| (*a == 0) == (*b == 0)));
        }
    }

    #[test]
    fn a_negative_label_is_refused_and_no_cells_are_none() {
        assert_eq!(
            number_cells(array![[0, -3]].view_mut()),
            Err(LabelError::Negative(-3))
        );
        assert_eq!(number_cells(Array2::zeros((0, 4)).view_mut()), Ok(vec![]));
        assert_eq!(number_cells(Array2::zeros((2, 2)).view_mut()), Ok(vec![]));
    }
}
