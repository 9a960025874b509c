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
    /// Rows in which something happens, the next one last.
    pub(super) rows: Vec<i32>,
    /// The leftmost active edge.
    pub(super) leftmost: Id,
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
        self.rows.clear();
        self.leftmost = NONE;
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

    /// Remembers a row.
    pub(super) fn push_row(&mut self, y: i32) {
        // There are few rows at a time, and a new one is often the furthest away.
        let place = self.rows.iter().position(|&row| row >= y);
        match place {
            Some(place) if self.rows[place] == y => {}
            Some(place) => self.rows.insert(place, y),
            None => self.rows.push(y),
        }
    }

    /// Puts an edge among the active ones, behind `from` if there is one.
    pub(super) fn activate(&mut self, id: Id, from: Id) {
        let leftmost = self.leftmost;
        if leftmost == NONE {
            self.put_between(NONE, id, NONE);
        } else if from == NONE && self.begins_before(leftmost, id) {
            self.put_between(NONE, id, leftmost);
        } else {
            let mut left = if from == NONE { leftmost } else { from };
            let mut right = self.edge(left).right;
            while right != NONE && !self.begins_before(right, id) {
                left = right;
                right = self.edge(left).right;
            }
            self.put_between(left, id, right);
        }
    }

    fn put_between(&mut self, left: Id, id: Id, right: Id) {
        let edge = self.edge_mut(id);
        (edge.left, edge.right) = (left, right);
        self.set_right_of(left, id);
        self.set_left_of(right, id);
    }

    fn set_right_of(&mut self, left: Id, id: Id) {
        if left == NONE {
            self.leftmost = id;
        } else {
            self.edge_mut(left).right = id;
        }
    }

    fn set_left_of(&mut self, right: Id, id: Id) {
        if right != NONE {
            self.edge_mut(right).left = id;
        }
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

    pub(super) fn deactivate(&mut self, id: Id) {
        let Edge { left, right, .. } = *self.edge(id);
        if left == NONE && right == NONE && id != self.leftmost {
            return;
        }
        self.set_right_of(left, right);
        self.set_left_of(right, left);
        let edge = self.edge_mut(id);
        (edge.left, edge.right) = (NONE, NONE);
    }

    /// Lets two active edges change places.
    pub(super) fn swap_places(&mut self, a: Id, b: Id) {
        if self.is_alone(a) || self.is_alone(b) {
            return;
        }
        let (of_a, of_b) = (*self.edge(a), *self.edge(b));
        if of_a.right == b {
            self.put_between(of_a.left, b, a);
            self.put_between(b, a, of_b.right);
        } else if of_b.right == a {
            self.put_between(of_b.left, a, b);
            self.put_between(a, b, of_a.right);
        } else {
            self.put_between(of_b.left, a, of_b.right);
            self.put_between(of_a.left, b, of_a.right);
        }
    }

    /// Goes from an edge that ends to the one above it, which takes its place.
    pub(super) fn go_on(&mut self, id: Id) -> Result<Id, Failed> {
        let below = *self.edge(id);
        if below.above == NONE {
            return Err(Failed);
        }
        let above = self.edge_mut(below.above);
        above.ring = below.ring;
        above.is_left = below.is_left;
        above.wind_delta = below.wind_delta;
        above.wind_count = below.wind_count;
        above.other_count = below.other_count;
        above.current = above.bottom;
        let (is_horizontal, top) = (above.is_horizontal(), above.top.y);
        self.put_between(below.left, below.above, below.right);
        if !is_horizontal {
            self.push_row(top);
        }
        Ok(below.above)
    }
}
