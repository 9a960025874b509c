//! Sums over the pixels of a region, and the sizes and shapes that follow from them.

use std::ops::Range;

use super::runs::Run;

/// Sums over the pixels of a region, exact; rows and columns count from its first run, so that squares stay small.
#[derive(Default)]
pub(crate) struct Moments {
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

impl Moments {
    /// Adds a run; those of a region come row by row.
    pub(crate) fn add<T>(&mut self, run: &Run<T>) {
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

    /// Pixels.
    pub(crate) fn area(&self) -> usize {
        self.area as usize
    }

    /// Rows of the bounding box.
    pub(crate) fn rows(&self) -> Range<usize> {
        indices(&self.rows)
    }

    /// Columns of the bounding box.
    pub(crate) fn columns(&self) -> Range<usize> {
        indices(&self.columns)
    }

    /// Mean row and column.
    pub(crate) fn centroid(&self) -> [f64; 2] {
        let sums = [
            self.row + self.origin[0] * self.area,
            self.column + self.origin[1] * self.area,
        ];
        sums.map(|sum| sum as f64 / self.area as f64)
    }

    /// Of the ellipse with the same second moments, 0 (a disk) to 1 (a line).
    pub(crate) fn eccentricity(&self) -> f64 {
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
