//! Polygons painted into a label image: a pixel is painted if its center is inside or on the edge, as `polygon` of
//! scikit-image decides it.
//!
//! On which side of the edges a pixel lies is asked as in O'Rourke, "Computational Geometry in C" (1998), chapter 7: they
//! cross its row to the right of it, and to the left, an even number of times if it is outside. Here an edge is asked only
//! near the column in which it crosses a row, since the answer changes nowhere else.

/// How near a corner is to the center of a pixel that it is on, in pixels.
const ON_PIXEL: f64 = 1e-12;

/// A polygon to be painted.
pub(super) struct Polygon {
    /// Rows and columns of the corners.
    corners: Vec<[f64; 2]>,
    /// First and last row that it may touch.
    row_range: [usize; 2],
    /// First and last column.
    column_range: [usize; 2],
}

/// An edge that crosses a row: its ends, with the row as row 0.
#[derive(Clone, Copy)]
struct Crossing {
    from: [f64; 2],
    to: [f64; 2],
}

impl Crossing {
    /// How many columns to the right of this one the edge crosses the row.
    fn distance(&self, column: usize) -> f64 {
        let ([y1, x1], [y0, x0]) = (self.from, self.to);
        let (x1, x0) = (x1 - column as f64, x0 - column as f64);
        (x0 * y1 - x1 * y0) / (y1 - y0)
    }

    /// The first of some columns from which on pixels are on another side of the edge than those before.
    fn side_change(&self, columns: [usize; 2], is_before: impl Fn(f64) -> bool) -> usize {
        let guess = self.distance(0).ceil().max(0.0) as usize;
        let mut column = guess.clamp(columns[0], columns[1] + 1);
        while column > columns[0] && !is_before(self.distance(column - 1)) {
            column -= 1;
        }
        while column <= columns[1] && is_before(self.distance(column)) {
            column += 1;
        }
        column
    }
}

/// From which columns on an edge counts on the right no more, and on the left.
#[derive(Default)]
pub(super) struct Sides {
    right: Vec<usize>,
    left: Vec<usize>,
}

impl Polygon {
    /// A polygon within an image of this shape. None if nothing of it can be seen, or a corner is not finite.
    pub(super) fn new([rows, columns]: [Vec<f32>; 2], shape: [usize; 2]) -> Option<Self> {
        let corners = rows.iter().zip(&columns);
        Some(Self {
            corners: corners
                .map(|(&row, &column)| [f64::from(row), f64::from(column)])
                .collect(),
            row_range: visible_range(&rows, shape[0])?,
            column_range: visible_range(&columns, shape[1])?,
        })
    }

    pub(super) fn row_range(&self) -> [usize; 2] {
        self.row_range
    }

    /// Paints what lies in a band of rows of the image, which begins at row `top`.
    pub(super) fn paint(&self, label: u32, band: &mut [u32], top: usize, width: usize) {
        let [first, last] = self.row_range;
        let [left, right] = self.column_range;
        let mut sides = Sides::default();
        for (row, line) in (top..).zip(band.chunks_exact_mut(width)) {
            if row < first || row > last {
                continue;
            }
            self.find_sides(row, &mut sides);
            sides.paint([left, right + 1], label, line);
        }
        for &[row, column] in &self.corners {
            let (at_row, at_column) = (row.round(), column.round());
            let is_on_pixel =
                (row - at_row).abs() < ON_PIXEL && (column - at_column).abs() < ON_PIXEL;
            if !is_on_pixel || at_row < top as f64 || at_column < 0.0 {
                continue;
            }
            let (at_row, at_column) = (at_row as usize, at_column as usize);
            if at_row <= last
                && at_column <= right
                && let Some(pixel) = band.get_mut((at_row - top) * width + at_column)
            {
                *pixel = label;
            }
        }
    }

    fn find_sides(&self, row: usize, sides: &mut Sides) {
        sides.right.clear();
        sides.left.clear();
        let Some(last) = self.corners.last() else {
            return;
        };
        let shifted = |[y, x]: [f64; 2]| [y - row as f64, x];
        let mut from = shifted(*last);
        for &corner in &self.corners {
            let to = shifted(corner);
            let crossing = Crossing { from, to };
            if (from[0] > 0.0) != (to[0] > 0.0) {
                let column = crossing.side_change(self.column_range, |distance| distance > 0.0);
                sides.right.push(column);
            }
            if (from[0] < 0.0) != (to[0] < 0.0) {
                let column = crossing.side_change(self.column_range, |distance| distance >= 0.0);
                sides.left.push(column);
            }
            from = to;
        }
    }
}

impl Sides {
    /// Paints the columns that are not outside.
    fn paint(&mut self, [begin, end]: [usize; 2], label: u32, line: &mut [u32]) {
        self.right.sort_unstable();
        self.left.sort_unstable();
        let mut is_right = self.right.len() % 2 == 1;
        let mut is_left = false;
        let (mut right, mut left) = (self.right.iter().peekable(), self.left.iter().peekable());
        let mut column = begin;
        loop {
            let next = [right.peek(), left.peek()];
            let next = next.into_iter().flatten().map(|&&at| at).min();
            let stop = next.unwrap_or(end);
            if is_right || is_left {
                line[column..stop].fill(label);
            }
            if next.is_none() {
                return;
            }
            column = stop;
            while right.next_if_eq(&&stop).is_some() {
                is_right = !is_right;
            }
            while left.next_if_eq(&&stop).is_some() {
                is_left = !is_left;
            }
        }
    }
}

/// First and last pixel of an axis that corners may touch.
fn visible_range(corners: &[f32], length: usize) -> Option<[usize; 2]> {
    if corners.iter().any(|at| !at.is_finite()) {
        return None;
    }
    let least = corners.iter().copied().fold(f32::INFINITY, f32::min);
    let greatest = corners.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let end = length.checked_sub(1)?;
    let (first, last) = (least.max(0.0) as usize, greatest.ceil());
    let last_visible = (last as usize).min(end);
    (last >= 0.0 && first <= last_visible).then_some([first, last_visible])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Asks every edge at every pixel.
    fn is_painted(corners: &[[f64; 2]], row: usize, column: usize) -> bool {
        let shifted: Vec<[f64; 2]> = corners
            .iter()
            .map(|[y, x]| [y - row as f64, x - column as f64])
            .collect();
        if shifted.iter().flatten().all(|at| !at.is_finite()) {
            return false;
        }
        let on_pixel = |at: &[f64; 2]| at[0].abs() < ON_PIXEL && at[1].abs() < ON_PIXEL;
        let (mut right, mut left) = (0, 0);
        for at in 0..shifted.len() {
            let ([y0, x0], [y1, x1]) = (
                shifted[at],
                shifted[(at + shifted.len() - 1) % shifted.len()],
            );
            if (y0 > 0.0) != (y1 > 0.0) && (x0 * y1 - x1 * y0) / (y1 - y0) > 0.0 {
                right += 1;
            }
            if (y0 < 0.0) != (y1 < 0.0) && (x0 * y1 - x1 * y0) / (y1 - y0) < 0.0 {
                left += 1;
            }
        }
        shifted.iter().any(on_pixel) || right % 2 == 1 || left % 2 == 1
    }

    fn corner() -> impl Strategy<Value = f32> {
        let whole = (-8..28_i32).prop_map(|at| at as f32);
        let half = (-16..56_i32).prop_map(|at| at as f32 / 2.0);
        prop_oneof![whole, half, -8.0..28.0_f32, -1e6..1e6_f32]
    }

    proptest! {
        #[test]
        fn pixels_inside_or_on_an_edge_are_painted(
            corners in proptest::collection::vec((corner(), corner()), 1..20),
            shape in (1..24_usize, 1..24_usize), band in 1..30_usize,
        ) {
            let (rows, columns): (Vec<f32>, Vec<f32>) = corners.into_iter().unzip();
            let (height, width) = shape;
            let mut image = vec![0; height * width];
            if let Some(polygon) = Polygon::new([rows.clone(), columns.clone()], [height, width]) {
                for (place, band_of) in image.chunks_mut(band * width).enumerate() {
                    polygon.paint(7, band_of, place * band, width);
                }
            }
            let corners: Vec<[f64; 2]> = rows.iter().zip(&columns).map(|(&row, &column)| [row.into(), column.into()]).collect();
            for row in 0..height {
                for column in 0..width {
                    let expected = if is_painted(&corners, row, column) { 7 } else { 0 };
                    prop_assert_eq!(image[row * width + column], expected, "at {}, {}", row, column);
                }
            }
        }
    }

    #[test]
    fn a_polygon_with_a_corner_that_is_not_finite_is_not_painted() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let rows = vec![0.0, 4.0, odd];
            assert!(Polygon::new([rows.clone(), vec![0.0, 0.0, 4.0]], [5, 5]).is_none());
            assert!(Polygon::new([vec![0.0, 0.0, 4.0], rows], [5, 5]).is_none());
        }
        assert!(Polygon::new([vec![], vec![]], [5, 5]).is_none());
    }
}
