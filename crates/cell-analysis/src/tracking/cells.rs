//! The cells of one frame: number, size and shape of each, from two passes over the frame.
//!
//! Border: label images only; pixels of the movie are read in `features`.

use std::ops::Range;

use ndarray::ArrayViewMut2;

use crate::regions::{Moments, perimeters, runs};

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
/// The perimeter is scikit-image's with four neighbors. One or two pixels have none.
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
    let mut moments: Vec<Moments> = labels.iter().map(|_| Moments::default()).collect();
    for run in &runs {
        let cell = labels.partition_point(|&label| label < run.label);
        moments[cell].add(run);
        let line = run.row * columns;
        plane[line + run.columns.start..line + run.columns.end].fill(cell as i32 + 1);
    }
    let perimeters = perimeters(plane, columns, labels.len(), |number| number as usize - 1);
    let cells = labels.into_iter().zip(moments).zip(perimeters);
    Ok(cells
        .map(|((label, moments), perimeter)| Cell::new(label, &moments, perimeter))
        .collect())
}

impl Cell {
    fn new(label: i32, moments: &Moments, perimeter: f64) -> Self {
        Self {
            label,
            area: moments.area(),
            rows: moments.rows(),
            columns: moments.columns(),
            centroid: moments.centroid(),
            perimeter,
            eccentricity: moments.eccentricity(),
        }
    }
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
