//! Areas of convex hulls, in pixels.
//!
//! The hull is that of the middles of all edges of a region's pixels, and has the pixels whose centers lie in it or on it:
//! scikit-image's `convex_hull_image` with `offset_coordinates` and `include_borders`. In integers, so that nothing is rounded.

use super::runs::Run;

/// Points `[across, along]` in half pixels, one side of a hull: from the first row on, each turn to the same side.
type Side = Vec<[i64; 2]>;

/// Pixels of the convex hull of a region, from its runs row by row.
pub(super) fn convex_area<T>(runs: &[Run<T>]) -> u64 {
    let (mut left, mut right) = (Side::new(), Side::new());
    let (mut upper, mut lower) = (None, None);
    for line in runs.chunk_by(|a, b| a.row == b.row) {
        let [first, .., last] = [&line[0], &line[line.len() - 1]];
        let row = 2 * first.row as i64;
        let (first, last) = (
            2 * first.columns.start as i64,
            2 * last.columns.end as i64 - 2,
        );
        upper.get_or_insert(row);
        lower = Some(row);
        // The other side is its mirror image.
        extend(&mut left, row, first);
        extend(&mut right, row, -last);
    }
    let (Some(upper), Some(lower)) = (upper, lower) else {
        return 0;
    };
    let rows = (upper..=lower).step_by(2);
    let edges = Edge::walk(&left, rows.clone()).zip(Edge::walk(&right, rows));
    // Between parts far from each other a hull may be thinner than a pixel.
    edges
        .map(|(left, right)| (1 - right - left).max(0) as u64)
        .sum()
}

/// Adds the outermost pixel of a row: the middles of its upper, outer and lower edge.
fn extend(side: &mut Side, row: i64, column: i64) {
    for point in [[row - 1, column], [row, column - 1], [row + 1, column]] {
        add(side, point);
    }
}

/// Adds a point to the lower side of a hull; points come by rows, and only the lowest of a row counts.
fn add(side: &mut Side, point: [i64; 2]) {
    if let Some(&[row, column]) = side.last()
        && row >= point[0]
    {
        // The lower edge of the last row is the upper edge of this one.
        if column <= point[1] {
            return;
        }
        side.pop();
    }
    while let [.., before, last] = side.as_slice()
        && !turns(*before, *last, point)
    {
        side.pop();
    }
    side.push(point);
}

/// Whether the way over the middle point bends outward there.
fn turns(a: [i64; 2], b: [i64; 2], c: [i64; 2]) -> bool {
    (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])
}

/// The walk along a side of a hull.
struct Edge<'s> {
    rest: &'s [[i64; 2]],
}

impl<'s> Edge<'s> {
    /// The first column inside, in pixels, for each of these rows, given in half pixels.
    fn walk(
        side: &'s Side,
        rows: impl Iterator<Item = i64> + 's,
    ) -> impl Iterator<Item = i64> + 's {
        let mut edge = Self { rest: side };
        rows.map(move |row| edge.column(row))
    }

    fn column(&mut self, row: i64) -> i64 {
        while let [_, next, _, ..] = self.rest
            && next[0] < row
        {
            self.rest = &self.rest[1..];
        }
        let [a, b, ..] = self.rest else {
            return self.rest.first().map_or(0, |point| ceil(point[1], 2));
        };
        let (height, width) = (b[0] - a[0], b[1] - a[1]);
        ceil(a[1] * height + width * (row - a[0]), 2 * height)
    }
}

/// A quotient rounded up; the divisor is positive.
fn ceil(dividend: i64, divisor: i64) -> i64 {
    -(-dividend).div_euclid(divisor)
}
