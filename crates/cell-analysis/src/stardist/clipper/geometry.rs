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
    /// Where the edge is at the current row.
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

    /// Whether it ends in this row, and another one goes on.
    pub(super) fn goes_on_at(&self, y: i32) -> bool {
        self.top.y == y && self.above != NONE
    }

    /// Whether it ends in this row, and its polygon turns down again.
    pub(super) fn is_summit_at(&self, y: i32) -> bool {
        self.top.y == y && self.above == NONE
    }

    /// Its column in a row.
    pub(super) fn column_at(&self, y: i32) -> i32 {
        if y == self.top.y {
            return self.top.x;
        }
        let rows = i64::from(y) - i64::from(self.bottom.y);
        self.bottom
            .x
            .saturating_add(round(self.slope * rows as f64))
    }

    /// Lets a horizontal edge begin where it ended.
    pub(super) fn reverse_horizontal(&mut self) {
        std::mem::swap(&mut self.top.x, &mut self.bottom.x);
    }
}

/// To the nearest integer, halves away from zero.
pub(super) fn round(value: f64) -> i32 {
    (if value < 0.0 {
        value - 0.5
    } else {
        value + 0.5
    }) as i32
}

/// Columns for each row from one point to another.
pub(super) fn slope(from: Point, to: Point) -> f64 {
    if from.y == to.y {
        return HORIZONTAL;
    }
    let (columns, rows) = difference(to, from);
    columns as f64 / rows as f64
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

/// Where two edges that are not horizontal cross, on the grid: not above the top of either, nor below the current row.
pub(super) fn crossing(one: &Edge, other: &Edge) -> Point {
    if one.slope == other.slope {
        let y = one.current.y;
        return Point::new(one.column_at(y), y);
    }
    let mut at = crossing_of_lines(one, other);
    let steeper = if one.slope.abs() < other.slope.abs() {
        one
    } else {
        other
    };
    if at.y < one.top.y || at.y < other.top.y {
        at.y = one.top.y.max(other.top.y);
        at.x = steeper.column_at(at.y);
    }
    if at.y > one.current.y {
        at.y = one.current.y;
        // Of edges that are as steep as each other, now the first.
        let steeper = if one.slope.abs() > other.slope.abs() {
            other
        } else {
            one
        };
        at.x = steeper.column_at(at.y);
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
