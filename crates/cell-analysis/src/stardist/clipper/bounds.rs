//! Polygons as bounds: chains of edges that lead upwards from a local minimum, two of them from each.

use super::arena::{Arena, Id, NONE};
use super::geometry::{Edge, Point, Polygon, are_collinear, slope};

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
    pub(super) fn add(&mut self, corners: &[Point], polygon: Polygon) {
        let corners = without_repeated_end(corners);
        if corners.len() < 3 {
            return;
        }
        let begin = self.edges.end();
        self.push_ring(corners, polygon);
        match self.cleaned(begin) {
            Some(start) => {
                self.orient(start);
                self.add_minima(start);
            }
            None => self.edges.truncate(begin),
        }
    }

    /// Adds an edge for each corner, linked to a ring.
    fn push_ring(&mut self, corners: &[Point], polygon: Polygon) {
        let begin = self.edges.end();
        let last = begin + corners.len() as Id - 1;
        for (id, &corner) in (begin..).zip(corners) {
            self.edges.push(Edge {
                current: corner,
                polygon,
                next: if id == last { begin } else { id + 1 },
                previous: if id == begin { last } else { id - 1 },
                ..Edge::default()
            });
        }
    }

    /// Takes repeated and collinear corners out of a ring; a first edge of what is left, if that is more than a line.
    fn cleaned(&mut self, begin: Id) -> Option<Id> {
        let (mut start, mut edge, mut stop) = (begin, begin, begin);
        loop {
            let Edge {
                current: corner,
                next,
                previous,
                ..
            } = self.edges[edge];
            let [before, after] = [previous, next].map(|edge| self.edges[edge].current);
            if corner == after {
                if edge == next {
                    return None;
                }
            } else if previous == next {
                return None;
            } else if !are_collinear(before, corner, after) {
                edge = next;
                if edge == stop {
                    return Some(start);
                }
                continue;
            }
            if edge == start {
                start = next;
            }
            self.edges[previous].next = next;
            self.edges[next].previous = previous;
            edge = if corner == after { next } else { previous };
            stop = edge;
        }
    }

    /// Tells the bottoms of a ring's edges from their tops.
    fn orient(&mut self, start: Id) {
        let mut id = start;
        loop {
            let end = self.edges[self.edges[id].next].current;
            let edge = &mut self.edges[id];
            (edge.bottom, edge.top) = if edge.current.y >= end.y {
                (edge.current, end)
            } else {
                (end, edge.current)
            };
            edge.slope = slope(edge.bottom, edge.top);
            id = edge.next;
            if id == start {
                return;
            }
        }
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
        if self.edges[first].is_horizontal() {
            let other = self.edges[self.neighbor(first, back)];
            let begin = self.edges[first].bottom.x;
            let touches = other.bottom.x == begin || other.is_horizontal() && other.top.x == begin;
            if !touches {
                self.edges[first].reverse_horizontal();
            }
        }
        let last = self.last_of_bound(first, way);
        let mut edge = first;
        loop {
            let end = self.edges[self.neighbor(edge, back)].top.x;
            let is_turned = edge != first && self.edges[edge].bottom.x != end;
            if is_turned && self.edges[edge].is_horizontal() {
                self.edges[edge].reverse_horizontal();
            }
            let next = self.neighbor(edge, way);
            if edge == last {
                return next;
            }
            self.edges[edge].above = next;
            edge = next;
        }
    }

    /// The last edge of a bound. Horizontal edges at its top belong to it where it meets them at their left ends.
    fn last_of_bound(&self, first: Id, way: Way) -> Id {
        let edges = &self.edges;
        let mut last = first;
        loop {
            let next = self.neighbor(last, way);
            if edges[last].top.y != edges[next].bottom.y {
                break;
            }
            last = next;
        }
        if !edges[last].is_horizontal() {
            return last;
        }
        let back = way.reversed();
        let mut below = self.neighbor(last, back);
        while edges[below].is_horizontal() {
            below = self.neighbor(below, back);
        }
        let (here, beyond) = (edges[below].top.x, edges[self.neighbor(last, way)].top.x);
        let is_of_the_other = match way {
            Way::Forward => here > beyond,
            Way::Backward => here >= beyond,
        };
        if is_of_the_other { below } else { last }
    }
}

/// The corners up to the last one that is neither the first nor its neighbor again.
fn without_repeated_end(mut corners: &[Point]) -> &[Point] {
    while let [first, .., last] = corners
        && first == last
    {
        corners = &corners[..corners.len() - 1];
    }
    while let [.., before, last] = corners
        && before == last
    {
        corners = &corners[..corners.len() - 1];
    }
    corners
}
