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
    corners: Vec<Corner>,
}

/// A corner and its place in the polygon.
#[derive(Clone, Copy, Debug)]
struct Corner {
    at: Point,
    place: u32,
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
        let places = (0_u32..).zip(corners.points());
        self.corners.clear();
        self.corners
            .extend(places.map(|(place, at)| Corner { at, place }));
        trim(&mut self.corners);
        if let Some(kept) = self.clean() {
            let first = self.push_edges(kept, polygon);
            self.add_minima(first);
        }
    }

    /// Keeps the corners that are neither repeated nor on a line with their neighbors. They are here, if they are more than a
    /// line.
    ///
    /// Clipper goes around the polygon until it has changed nothing on the whole way. Nothing can change but beside a corner
    /// that was taken out, so only such corners are looked at again here, in the same order.
    fn clean(&mut self) -> Option<Range<usize>> {
        let ring = self.corners.as_mut_slice();
        let mut corner = *ring.first()?;
        // The others: those not seen yet, then those kept.
        let (mut ahead, mut end) = (1, ring.len());
        let (mut front, mut kept) = (0, 0);
        let mut is_front = false;
        loop {
            let next = if ahead < end {
                ring[ahead]
            } else if front < kept {
                ring[front]
            } else {
                return None;
            };
            if corner.at != next.at {
                if kept - front + end - ahead == 1 {
                    return None;
                }
                let has_kept = front < kept;
                let previous = ring[if has_kept { kept - 1 } else { end - 1 }];
                if are_collinear(previous.at, corner.at, next.at) {
                    corner = previous;
                    kept -= usize::from(has_kept);
                    end -= usize::from(!has_kept);
                    is_front = false;
                    continue;
                }
                if is_front {
                    return Some(front - 1..kept);
                }
                ring[kept] = corner;
                kept += 1;
            }
            corner = next;
            is_front = ahead == end;
            ahead += usize::from(!is_front);
            front += usize::from(is_front);
        }
    }

    /// Adds an edge from each corner that was kept to the next, beginning with what is left of the polygon's beginning; the
    /// first edge.
    fn push_edges(&mut self, kept: Range<usize>, polygon: Polygon) -> Id {
        let ring = &self.corners[kept];
        // Places rise, but for one fall at most.
        let beginning = ring.partition_point(|corner| corner.place >= ring[0].place);
        let mut place = if beginning < ring.len() { beginning } else { 0 };
        let mut at = ring[place].at;
        let first = self.edges.end();
        let last = first + ring.len() as Id - 1;
        for id in first..=last {
            place = if place + 1 < ring.len() { place + 1 } else { 0 };
            let end = ring[place].at;
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

/// Takes corners off the end that are the first one again, then those that are the one before.
fn trim(corners: &mut Vec<Corner>) {
    while let [first, .., last] = corners.as_slice()
        && first.at == last.at
    {
        corners.pop();
    }
    while let [.., before, last] = corners.as_slice()
        && before.at == last.at
    {
        corners.pop();
    }
}
