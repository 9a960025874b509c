//! Polygons as bounds: chains of edges that lead upwards from a local minimum, two of them from each.

use std::ops::Range;

use super::arena::{Arena, Id, NONE};
use super::geometry::{Corners, Edge, Point, Polygon, are_collinear, slope};

/// A corner, or a horizontal edge, above which a polygon begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalMinimum {
    pub(super) y: i32,
    /// The first edge of the bound on the left.
    pub(super) left: Id,
    /// The first edge of the bound on the right.
    pub(super) right: Id,
}

/// The edges of polygons, and where these begin.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) edges: Arena<Edge>,
    pub(super) minima: Vec<LocalMinimum>,
    /// The corners of the polygon that is being added.
    corners: Vec<Point>,
}

/// Along a polygon, or against its direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Backward,
}

impl Way {
    fn reversed(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }
}

impl Bounds {
    pub(super) fn clear(&mut self) {
        self.edges.clear();
        self.minima.clear();
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        self.edges.copy_from(&other.edges);
        self.minima.clone_from(&other.minima);
    }

    /// Adds a closed polygon. One without area, such as a point or a horizontal line, adds nothing.
    pub(super) fn add(&mut self, corners: &Corners, polygon: Polygon) {
        self.corners.clear();
        self.corners.extend(corners.points());
        if let Some(kept) = clean(&mut self.corners) {
            let first = self.push_edges(&kept, polygon);
            self.add_minima(first);
        }
    }

    /// Adds an edge from each corner that was kept to the next; the first one.
    fn push_edges(&mut self, kept: &Kept, polygon: Polygon) -> Id {
        let ring = &self.corners[kept.corners.clone()];
        let mut place = usize::from(kept.begins_with_end);
        let mut at = ring[place];
        let first = self.edges.end();
        let last = first + ring.len() as Id - 1;
        for id in first..=last {
            place = if place + 1 < ring.len() { place + 1 } else { 0 };
            let end = ring[place];
            let (bottom, top) = if at.y >= end.y { (at, end) } else { (end, at) };
            self.edges.push(Edge {
                bottom,
                current: at,
                top,
                slope: slope(bottom, top),
                polygon,
                next: if id == last { first } else { id + 1 },
                previous: if id == first { last } else { id - 1 },
                ..Edge::default()
            });
            at = end;
        }
        first
    }

    /// Finds all local minima of a ring, and links the edges of their bounds.
    fn add_minima(&mut self, start: Id) {
        let mut edge = start;
        let mut first = NONE;
        loop {
            edge = self.next_minimum(edge);
            if edge == first {
                return;
            }
            if first == NONE {
                first = edge;
            }
            let previous = self.edges[edge].previous;
            // The bound that leans further to the left is the left one.
            let (left, right, way) = if self.edges[edge].slope < self.edges[previous].slope {
                (previous, edge, Way::Backward)
            } else {
                (edge, previous, Way::Forward)
            };
            let winds_back = self.edges[left].next == right;
            self.edges[left].wind_delta = if winds_back { -1 } else { 1 };
            self.edges[right].wind_delta = if winds_back { 1 } else { -1 };
            let beyond_left = self.link_bound(left, way);
            let beyond_right = self.link_bound(right, way.reversed());
            let y = self.edges[edge].bottom.y;
            self.minima.push(LocalMinimum { y, left, right });
            edge = match way {
                Way::Forward => beyond_left,
                Way::Backward => beyond_right,
            };
        }
    }

    /// The next edge that shares a local minimum with the edge before it.
    fn next_minimum(&self, mut edge: Id) -> Id {
        let edges = &self.edges;
        let is_horizontal = |edge: Id| edges[edge].is_horizontal();
        loop {
            while edges[edge].bottom != edges[edges[edge].previous].bottom
                || edges[edge].current == edges[edge].top
            {
                edge = edges[edge].next;
            }
            if !is_horizontal(edge) && !is_horizontal(edges[edge].previous) {
                return edge;
            }
            while is_horizontal(edges[edge].previous) {
                edge = edges[edge].previous;
            }
            let flat = edge;
            while is_horizontal(edge) {
                edge = edges[edge].next;
            }
            let before = |edge: Id| edges[edges[edge].previous].bottom;
            if edges[edge].top.y == before(edge).y {
                continue; // a step, no minimum
            }
            let is_to_the_left = before(flat).x < edges[edge].bottom.x;
            return if is_to_the_left { flat } else { edge };
        }
    }

    fn neighbor(&self, edge: Id, way: Way) -> Id {
        match way {
            Way::Forward => self.edges[edge].next,
            Way::Backward => self.edges[edge].previous,
        }
    }

    /// Links the edges of the bound that begins with this one; the first edge beyond the bound.
    fn link_bound(&mut self, first: Id, way: Way) -> Id {
        let back = way.reversed();
        let begin = self.edges[first];
        if begin.is_horizontal() {
            let other = self.edges[self.neighbor(first, back)];
            let touches = other.bottom.x == begin.bottom.x
                || other.is_horizontal() && other.top.x == begin.bottom.x;
            if !touches {
                self.edges[first].reverse_horizontal();
            }
        }
        let mut edge = first;
        loop {
            let next = self.neighbor(edge, way);
            if self.edges[edge].top.y != self.edges[next].bottom.y {
                return next;
            }
            if self.edges[next].is_horizontal() {
                if self.is_of_the_other_bound(next, edge, way) {
                    return next;
                }
                if self.edges[next].bottom.x != self.edges[edge].top.x {
                    self.edges[next].reverse_horizontal();
                }
            }
            self.edges[edge].above = next;
            edge = next;
        }
    }

    /// Whether a horizontal edge above another one is a top, and belongs to the bound that ends on its other side: the one
    /// that meets it at its left end.
    fn is_of_the_other_bound(&self, horizontal: Id, below: Id, way: Way) -> bool {
        let beyond = self.neighbor(horizontal, way);
        let [here, horizontal, there] = [below, horizontal, beyond].map(|edge| &self.edges[edge]);
        if horizontal.top.y == there.bottom.y {
            return false;
        }
        match way {
            Way::Forward => here.top.x > there.top.x,
            Way::Backward => here.top.x >= there.top.x,
        }
    }
}

/// What is left of a polygon's corners.
struct Kept {
    corners: Range<usize>,
    /// Whether the first of them was the last one of the polygon.
    begins_with_end: bool,
}

/// The corners around one that is looked at: those kept, then those not seen yet, then those kept again.
struct Around<'a> {
    ring: &'a mut [Point],
    kept: Range<usize>,
    ahead: Range<usize>,
}

/// Keeps the corners that are neither repeated nor on a line with their neighbors, if they are more than a line.
///
/// Clipper goes around the polygon until it has changed nothing on the whole way. Nothing can change but beside a corner that
/// was taken out, so only such corners are looked at again here, in the same order.
fn clean(ring: &mut [Point]) -> Option<Kept> {
    let mut at = *ring.first()?;
    let ahead = 1..trimmed_length(ring);
    let mut around = Around {
        ring,
        kept: 0..0,
        ahead,
    };
    let (mut is_front, mut begins_with_end) = (false, false);
    loop {
        at = around.clean_middle(at);
        let next = around.next()?;
        let has_kept = !around.kept.is_empty();
        if at == next {
            begins_with_end &= has_kept;
        } else if around.kept.len() + around.ahead.len() == 1 {
            return None;
        } else if are_collinear(around.previous(), at, next) {
            at = around.previous();
            around.drop_previous();
            begins_with_end |= !has_kept;
            is_front = false;
            continue;
        } else if is_front {
            let Range { start, end } = around.kept;
            return Some(Kept {
                corners: start - 1..end,
                begins_with_end: begins_with_end && start == 1,
            });
        } else {
            around.keep(at);
        }
        at = next;
        is_front = around.ahead.is_empty();
        around.drop_next();
    }
}

impl Around<'_> {
    fn next(&self) -> Option<Point> {
        let corners = [&self.ahead, &self.kept];
        let first = corners.into_iter().find(|corners| !corners.is_empty());
        first.map(|corners| self.ring[corners.start])
    }

    fn drop_next(&mut self) {
        if self.ahead.is_empty() {
            self.kept.start += 1;
        } else {
            self.ahead.start += 1;
        }
    }

    fn previous(&self) -> Point {
        let corners = if self.kept.is_empty() {
            &self.ahead
        } else {
            &self.kept
        };
        self.ring[corners.end - 1]
    }

    fn drop_previous(&mut self) {
        if self.kept.is_empty() {
            self.ahead.end -= 1;
        } else {
            self.kept.end -= 1;
        }
    }

    fn keep(&mut self, at: Point) {
        self.ring[self.kept.end] = at;
        self.kept.end += 1;
    }

    /// Goes on while there are corners on both sides that are neither the first nor the last: the same without looking where
    /// the neighbors are.
    fn clean_middle(&mut self, mut at: Point) -> Point {
        if self.kept.is_empty() {
            return at;
        }
        let (ring, Range { start, mut end }) = (&mut *self.ring, self.kept.clone());
        let mut previous = ring[end - 1];
        while self.ahead.start < self.ahead.end {
            let next = ring[self.ahead.start];
            if at != next {
                if are_collinear(previous, at, next) {
                    at = previous;
                    end -= 1;
                    if end == start {
                        break;
                    }
                    previous = ring[end - 1];
                    continue;
                }
                ring[end] = at;
                end += 1;
                previous = at;
            }
            at = next;
            self.ahead.start += 1;
        }
        self.kept.end = end;
        at
    }
}

/// Number of corners without those at the end that are the first one again, and then those that are the one before.
fn trimmed_length(corners: &[Point]) -> usize {
    let mut rest = corners;
    while let [first, others @ .., last] = rest
        && first == last
    {
        rest = &rest[..=others.len()];
    }
    while let [others @ .., before, last] = rest
        && before == last
    {
        rest = &rest[..=others.len()];
    }
    rest.len()
}
