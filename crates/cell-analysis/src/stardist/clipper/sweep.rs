//! What a sweep from the lowest row to the highest keeps: the rows to come, the edges that cross the current one, and the
//! rings drawn so far.

use super::arena::{Id, NONE};
use super::bounds::Bounds;
use super::geometry::{Edge, Point};
use super::joins::Join;
use super::rings::Rings;

/// Polygons that the sweep cannot make sense of. There is no result then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed;

/// Two active edges that change places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossing {
    pub(super) left: Id,
    pub(super) right: Id,
    pub(super) at: Point,
}

/// A horizontal edge that has been drawn in the current row: what begins there may run along it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ghost {
    pub(super) corner: Id,
    pub(super) end: Point,
}

/// The state of a sweep.
#[derive(Clone, Debug, Default)]
pub(super) struct Sweep {
    pub(super) bounds: Bounds,
    /// How many minima the sweep has passed.
    pub(super) passed_minima: usize,
    /// Active edges that end in the next row, from the left, and more that do not count.
    pub(super) ending: Vec<Id>,
    pub(super) ending_count: usize,
    /// Horizontal edges of the current row, the next one last.
    pub(super) horizontals: Vec<Id>,
    /// Active edges in the order that they have at the next row.
    pub(super) order: Vec<Id>,
    pub(super) crossings: Vec<Crossing>,
    pub(super) joins: Vec<Join>,
    pub(super) ghosts: Vec<Ghost>,
    pub(super) rings: Rings,
}

impl Sweep {
    pub(super) fn clear(&mut self) {
        self.passed_minima = 0;
        self.horizontals.clear();
        self.crossings.clear();
        self.joins.clear();
        self.ghosts.clear();
        self.rings.clear();
    }

    pub(super) fn edge(&self, id: Id) -> &Edge {
        &self.bounds.edges[id]
    }

    pub(super) fn edge_mut(&mut self, id: Id) -> &mut Edge {
        &mut self.bounds.edges[id]
    }

    /// The next row above this one in which an edge begins or ends.
    pub(super) fn next_row(&self, y: i32) -> Option<i32> {
        let minimum = self.bounds.minima.get(self.passed_minima);
        let mut next = minimum.map_or(i32::MIN, |minimum| minimum.y);
        let mut id = self.leftmost();
        while id != NONE {
            let edge = self.edge(id);
            let top = if edge.top.y < y { edge.top.y } else { i32::MIN };
            next = next.max(top);
            id = edge.right;
        }
        (next != i32::MIN).then_some(next)
    }

    /// The leftmost active edge: active edges form a circle with number 0.
    pub(super) fn leftmost(&self) -> Id {
        self.edge(NONE).right
    }

    /// Puts an edge among the active ones, behind `from` if there is one.
    pub(super) fn activate(&mut self, id: Id, from: Id) {
        let mut left = from;
        let mut right = self.edge(left).right;
        while right != NONE && !self.begins_before(right, id) {
            left = right;
            right = self.edge(left).right;
        }
        self.put_between(left, id, right);
    }

    fn put_between(&mut self, left: Id, id: Id, right: Id) {
        let edge = self.edge_mut(id);
        (edge.left, edge.right) = (left, right);
        self.edge_mut(left).right = id;
        self.edge_mut(right).left = id;
    }

    /// Whether an edge that begins in the current row does so left of an active one.
    fn begins_before(&self, active: Id, id: Id) -> bool {
        let (active, edge) = (self.edge(active), self.edge(id));
        if edge.current.x != active.current.x {
            return edge.current.x < active.current.x;
        }
        if edge.top.y > active.top.y {
            edge.top.x < active.column_at(edge.top.y)
        } else {
            active.top.x > edge.column_at(active.top.y)
        }
    }

    /// Whether an edge has neighbors on neither side, as one that is not active, or on both the same.
    pub(super) fn is_alone(&self, id: Id) -> bool {
        self.edge(id).left == self.edge(id).right
    }

    pub(super) fn is_active(&self, id: Id) -> bool {
        let edge = self.edge(id);
        edge.left != NONE || edge.right != NONE || id == self.leftmost()
    }

    pub(super) fn deactivate(&mut self, id: Id) {
        if !self.is_active(id) {
            return;
        }
        let (left, right) = (self.edge(id).left, self.edge(id).right);
        self.edge_mut(left).right = right;
        self.edge_mut(right).left = left;
        let edge = self.edge_mut(id);
        (edge.left, edge.right) = (NONE, NONE);
    }

    /// Lets two active edges change places.
    pub(super) fn swap_places(&mut self, a: Id, b: Id) {
        if self.is_alone(a) || self.is_alone(b) {
            return;
        }
        let [(left_a, right_a), (left_b, right_b)] =
            [a, b].map(|id| (self.edge(id).left, self.edge(id).right));
        if right_a == b {
            self.put_between(left_a, b, a);
            self.put_between(b, a, right_b);
        } else if right_b == a {
            self.put_between(left_b, a, b);
            self.put_between(a, b, right_a);
        } else {
            self.put_between(left_b, a, right_b);
            self.put_between(left_a, b, right_a);
        }
    }

    /// Goes from an edge that ends to the one above it, which takes its place.
    pub(super) fn go_on(&mut self, id: Id) -> Result<Id, Failed> {
        let edges = self.bounds.edges.as_mut_slice();
        let below = edges[id as usize];
        if below.above == NONE {
            return Err(Failed);
        }
        let above = &mut edges[below.above as usize];
        (above.ring, above.is_left) = (below.ring, below.is_left);
        above.wind_delta = below.wind_delta;
        above.wind_count = below.wind_count;
        above.other_count = below.other_count;
        above.current = above.bottom;
        (above.left, above.right) = (below.left, below.right);
        edges[below.left as usize].right = below.above;
        edges[below.right as usize].left = below.above;
        Ok(below.above)
    }
}
