//! Points on the integer grid, edges between them, and where two edges meet.

use super::arena::{Id, NONE};

/// A corner of a polygon, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    /// Column.
    pub(crate) x: i32,
    /// Row.
    pub(crate) y: i32,
}

impl Point {
    pub(crate) const fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }
}

/// The corners of a polygon, columns and rows apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Corners {
    pub(crate) xs: Vec<i32>,
    pub(crate) ys: Vec<i32>,
}

impl Corners {
    pub(crate) fn points(&self) -> impl DoubleEndedIterator<Item = Point> + Clone {
        let places = self.xs.iter().zip(&self.ys);
        places.map(|(&x, &y)| Point::new(x, y))
    }
}

/// The slope of a horizontal edge: further left than any other.
pub(super) const HORIZONTAL: f64 = -1e40;

/// Of which of the two polygons an edge is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Polygon {
    #[default]
    Clip,
    Subject,
}

/// An edge of a polygon. Rows count downwards and edges are followed upwards, so its bottom has the larger `y`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge {
    pub(super) bottom: Point,
    /// Where the edge is in the current row.
    pub(super) current: Point,
    pub(super) top: Point,
    /// Columns for each row.
    pub(super) slope: f64,
    /// 1 or -1, by the direction of the polygon.
    pub(super) wind_delta: i32,
    /// How often the edge's own polygon winds around what lies beside it.
    pub(super) wind_count: i32,
    /// How often the other one does.
    pub(super) other_count: i32,
    pub(super) polygon: Polygon,
    /// Whether the edge is on the left of the ring that it draws.
    pub(super) is_left: bool,
    /// The ring of the result that the edge draws, if any.
    pub(super) ring: Id,
    /// The next edge of the polygon.
    pub(super) next: Id,
    /// The one before.
    pub(super) previous: Id,
    /// The edge that goes on upwards where this one ends, if any.
    pub(super) above: Id,
    /// The active edge to the right, if any.
    pub(super) right: Id,
    /// The active edge to the left, if any.
    pub(super) left: Id,
    /// The place in the order in which crossings are made.
    pub(super) place: u32,
}

impl Edge {
    pub(super) fn is_horizontal(&self) -> bool {
        self.slope == HORIZONTAL
    }

    /// Whether it draws a ring of the result.
    pub(super) fn is_drawing(&self) -> bool {
        self.ring != NONE
    }

    /// Its column in a row that it crosses.
    pub(super) fn column_at(&self, y: i32) -> i32 {
        if self.is_horizontal() {
            return self.top.x;
        }
        // At the top this is the top: the slope is exact enough for that.
        let rows = y.wrapping_sub(self.bottom.y);
        let columns = round(self.slope * f64::from(rows));
        self.bottom.x.wrapping_add(columns)
    }

    /// Lets a horizontal edge begin where it ended.
    pub(super) fn reverse_horizontal(&mut self) {
        std::mem::swap(&mut self.top.x, &mut self.bottom.x);
    }
}

/// To the nearest integer, halves away from zero.
pub(super) fn round(value: f64) -> i32 {
    (value + 0.5_f64.copysign(value)) as i32
}

/// Columns for each row from one point to another.
pub(super) fn slope(from: Point, to: Point) -> f64 {
    let (columns, rows) = difference(to, from);
    // Both are there, for nobody can guess which it is.
    [columns as f64 / rows as f64, HORIZONTAL][usize::from(rows == 0)]
}

/// Columns and rows from `b` to `a`.
fn difference(a: Point, b: Point) -> (i64, i64) {
    (
        i64::from(a.x) - i64::from(b.x),
        i64::from(a.y) - i64::from(b.y),
    )
}

/// Whether the lines through two pairs of points are parallel.
pub(super) fn are_parallel(one: [Point; 2], other: [Point; 2]) -> bool {
    let (x1, y1) = difference(one[0], one[1]);
    let (x2, y2) = difference(other[0], other[1]);
    y1 * x2 == x1 * y2
}

/// Whether three points lie on a line.
pub(super) fn are_collinear(a: Point, b: Point, c: Point) -> bool {
    are_parallel([a, b], [b, c])
}

/// Whether two ranges of columns, each given in any order, share more than a point.
pub(super) fn ranges_overlap(one: [i32; 2], other: [i32; 2]) -> bool {
    let [a, b] = sorted(one);
    let [c, d] = sorted(other);
    a < d && c < b
}

/// Lower number first.
pub(super) fn sorted([a, b]: [i32; 2]) -> [i32; 2] {
    if a > b { [b, a] } else { [a, b] }
}

/// Where two edges that are not horizontal cross above row `from_y`, on the grid: not above the top of either.
pub(super) fn crossing(one: &Edge, other: &Edge, from_y: i32) -> Point {
    if one.slope == other.slope {
        return Point::new(one.column_at(from_y), from_y);
    }
    let mut at = crossing_of_lines(one, other);
    if at.y < one.top.y || at.y < other.top.y {
        let is_steeper = one.slope.abs() < other.slope.abs();
        at.y = one.top.y.max(other.top.y);
        at.x = if is_steeper { one } else { other }.column_at(at.y);
    }
    if at.y > from_y {
        // Of edges that are as steep as each other, the first this time.
        let is_flatter = one.slope.abs() > other.slope.abs();
        at.y = from_y;
        at.x = if is_flatter { other } else { one }.column_at(at.y);
    }
    at
}

/// Where the lines of two edges of different slopes cross.
fn crossing_of_lines(one: &Edge, other: &Edge) -> Point {
    if one.slope == 0.0 {
        return Point::new(one.bottom.x, row_at(other, one.bottom.x));
    }
    if other.slope == 0.0 {
        return Point::new(other.bottom.x, row_at(one, other.bottom.x));
    }
    let column_of_row_zero =
        |edge: &Edge| f64::from(edge.bottom.x) - f64::from(edge.bottom.y) * edge.slope;
    let (b1, b2) = (column_of_row_zero(one), column_of_row_zero(other));
    let y = (b2 - b1) / (one.slope - other.slope);
    let x = if one.slope.abs() < other.slope.abs() {
        one.slope * y + b1
    } else {
        other.slope * y + b2
    };
    Point::new(round(x), round(y))
}

/// The row in which an edge's line is at a column.
fn row_at(edge: &Edge, x: i32) -> i32 {
    if edge.is_horizontal() {
        return edge.bottom.y;
    }
    let row_of_column_zero = f64::from(edge.bottom.y) - f64::from(edge.bottom.x) / edge.slope;
    round(f64::from(x) / edge.slope + row_of_column_zero)
}
