//! Which edges bound the intersection, and the rings that they draw.

use super::arena::{Id, NONE};
use super::geometry::{Edge, Point, are_parallel};
use super::joins::Join;
use super::sweep::{Failed, Sweep};

impl Sweep {
    /// Counts how often the polygons wind around what lies beside an edge that has become active.
    pub(super) fn count_windings(&mut self, id: Id) {
        let edge = *self.edge(id);
        let mut left = edge.left;
        while left != NONE && self.edge(left).polygon != edge.polygon {
            left = self.edge(left).left;
        }
        let (wind_count, mut other_count, mut between) = if left == NONE {
            (edge.wind_delta, 0, self.leftmost())
        } else {
            let left = self.edge(left);
            (wind_count_beside(&edge, left), left.other_count, left.right)
        };
        while between != id && between != NONE {
            other_count += self.edge(between).wind_delta;
            between = self.edge(between).right;
        }
        let edge = self.edge_mut(id);
        (edge.wind_count, edge.other_count) = (wind_count, other_count);
    }

    /// Whether an edge is one of the intersection: of the hull of its own polygon, and inside the other one.
    pub(super) fn is_contributing(&self, id: Id) -> bool {
        let edge = self.edge(id);
        edge.wind_count.abs() == 1 && edge.other_count != 0
    }

    /// Adds a corner to the ring that an edge draws; begins one if it draws none.
    pub(super) fn add_corner(&mut self, id: Id, at: Point) -> Id {
        let edge = self.edge(id);
        let (ring, is_left) = (edge.ring, edge.is_left);
        if ring != NONE {
            return self.rings.extend(ring, is_left, at);
        }
        let ring = self.rings.push_ring();
        let corner = self.rings.begin(ring, at);
        let surrounding = self.surrounding_ring(id);
        if surrounding != NONE {
            let is_hole = !self.rings.rings[surrounding].is_hole;
            let new = &mut self.rings.rings[ring];
            (new.first_left, new.is_hole) = (surrounding, is_hole);
        }
        self.edge_mut(id).ring = ring;
        corner
    }

    /// The ring to the left of an edge that is not closed on its left.
    fn surrounding_ring(&self, id: Id) -> Id {
        let mut open = NONE;
        let mut left = self.edge(id).left;
        while left != NONE {
            let ring = self.edge(left).ring;
            if ring != NONE {
                if open == NONE {
                    open = ring;
                } else if open == ring {
                    open = NONE;
                }
            }
            left = self.edge(left).left;
        }
        open
    }

    /// The last corner that an edge has drawn.
    pub(super) fn last_corner(&self, id: Id) -> Id {
        let edge = self.edge(id);
        self.rings.end(edge.ring, edge.is_left)
    }

    pub(super) fn push_join(&mut self, one: Id, other: Id, end: Point) {
        self.joins.push(Join { one, other, end });
    }

    /// Begins a ring where two edges meet.
    pub(super) fn begin_ring(&mut self, one: Id, other: Id, at: Point) -> Id {
        let (first, second) = (*self.edge(one), *self.edge(other));
        let (left, right) = if second.is_horizontal() || first.slope > second.slope {
            (one, other)
        } else {
            (other, one)
        };
        let corner = self.add_corner(left, at);
        self.edge_mut(right).ring = self.edge(left).ring;
        self.edge_mut(left).is_left = true;
        self.edge_mut(right).is_left = false;
        let mut beside = self.edge(left).left;
        if beside == right {
            beside = self.edge(right).left;
        }
        if self.runs_along(beside, left, at) {
            let end = self.edge(left).top;
            let other_corner = self.add_corner(beside, at);
            self.push_join(corner, other_corner, end);
        }
        corner
    }

    /// Whether an edge draws and leads upwards from a point along another one.
    fn runs_along(&self, beside: Id, id: Id, at: Point) -> bool {
        let (beside, edge) = (self.edge(beside), self.edge(id));
        if !beside.is_drawing() || beside.top.y >= at.y || edge.top.y >= at.y {
            return false;
        }
        let x = edge.column_at(at.y);
        let from = Point::new(x, at.y);
        beside.column_at(at.y) == x && are_parallel([from, beside.top], [from, edge.top])
    }

    /// Ends what two edges draw where they meet: a ring, or two that become one.
    pub(super) fn end_ring(&mut self, one: Id, other: Id, at: Point) -> Result<(), Failed> {
        self.add_corner(one, at);
        let (a, b) = (self.edge(one).ring, self.edge(other).ring);
        if b == NONE {
            return Err(Failed);
        }
        match a.cmp(&b) {
            std::cmp::Ordering::Less => self.append(one, other),
            std::cmp::Ordering::Greater => self.append(other, one),
            std::cmp::Ordering::Equal => {
                self.edge_mut(one).ring = NONE;
                self.edge_mut(other).ring = NONE;
            }
        }
        Ok(())
    }

    /// Appends the ring that one edge draws to that of another.
    fn append(&mut self, to: Id, from: Id) {
        let (to_edge, from_edge) = (*self.edge(to), *self.edge(from));
        let (whole, part) = (to_edge.ring, from_edge.ring);
        let rings = &mut self.rings;
        let judge = rings.judge_of_holes(whole, part);
        let (left, part_left) = (rings.rings[whole].start, rings.rings[part].start);
        let (right, part_right) = (rings.previous(left), rings.previous(part_left));
        if to_edge.is_left == from_edge.is_left {
            rings.reverse(part_left);
            rings.link(part_left, left);
            rings.link(right, part_right);
        } else {
            rings.link(part_right, left);
            rings.link(right, part_left);
        }
        if to_edge.is_left {
            rings.rings[whole].start = if from_edge.is_left {
                part_right
            } else {
                part_left
            };
        }
        let gone = rings.rings[part];
        let ring = &mut rings.rings[whole];
        ring.lowest = NONE;
        if judge == part {
            if gone.first_left != whole {
                ring.first_left = gone.first_left;
            }
            ring.is_hole = gone.is_hole;
        }
        let part_of = ring.part_of;
        let gone = &mut rings.rings[part];
        (gone.start, gone.lowest) = (NONE, NONE);
        (gone.first_left, gone.part_of) = (whole, part_of);
        self.edge_mut(to).ring = NONE;
        self.edge_mut(from).ring = NONE;
        self.hand_over(part, whole, to_edge.is_left);
    }

    /// Lets the edge that drew the one ring draw the other.
    fn hand_over(&mut self, part: Id, whole: Id, is_left: bool) {
        let mut id = self.leftmost();
        while id != NONE {
            let edge = self.edge_mut(id);
            if edge.ring == part {
                (edge.ring, edge.is_left) = (whole, is_left);
                return;
            }
            id = edge.right;
        }
    }

    /// Two edges cross; the first is on the right of the second above the crossing.
    pub(super) fn cross_edges(&mut self, one: Id, other: Id, at: Point) -> Result<(), Failed> {
        self.cross_windings(one, other);
        let (a, b) = (*self.edge(one), *self.edge(other));
        let is_one_polygon = a.polygon == b.polygon;
        let [is_hull_a, is_hull_b] = [a, b].map(|edge| edge.wind_count.abs() <= 1);
        match (a.is_drawing(), b.is_drawing()) {
            (true, true) => {
                if !is_hull_a || !is_hull_b || !is_one_polygon {
                    return self.end_ring(one, other, at);
                }
                self.add_corner(one, at);
                self.add_corner(other, at);
                self.swap_rings(one, other);
            }
            (true, false) if is_hull_b => {
                self.add_corner(one, at);
                self.swap_rings(one, other);
            }
            (false, true) if is_hull_a => {
                self.add_corner(other, at);
                self.swap_rings(one, other);
            }
            (false, false) if is_hull_a && is_hull_b => {
                if !is_one_polygon {
                    self.begin_ring(one, other, at);
                } else if a.wind_count.abs() != 1 || b.wind_count.abs() != 1 {
                    self.edge_mut(one).is_left = b.is_left;
                    self.edge_mut(other).is_left = a.is_left;
                } else if a.other_count != 0 && b.other_count != 0 {
                    self.begin_ring(one, other, at);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn cross_windings(&mut self, one: Id, other: Id) {
        let (delta_a, delta_b) = (self.edge(one).wind_delta, self.edge(other).wind_delta);
        if self.edge(one).polygon == self.edge(other).polygon {
            let a = self.edge_mut(one);
            a.wind_count = crossed(a.wind_count, delta_b);
            let b = self.edge_mut(other);
            b.wind_count = crossed(b.wind_count, -delta_a);
        } else {
            self.edge_mut(one).other_count += delta_b;
            self.edge_mut(other).other_count -= delta_a;
        }
    }

    /// Lets each of two edges draw what the other has drawn.
    fn swap_rings(&mut self, one: Id, other: Id) {
        let (a, b) = (*self.edge(one), *self.edge(other));
        let edge = self.edge_mut(one);
        (edge.ring, edge.is_left) = (b.ring, b.is_left);
        let edge = self.edge_mut(other);
        (edge.ring, edge.is_left) = (a.ring, a.is_left);
    }
}

/// The winding count of an edge, by the edge of the same polygon to its left.
fn wind_count_beside(edge: &Edge, left: &Edge) -> i32 {
    let turns_back = left.wind_delta * edge.wind_delta < 0;
    let leads_out = left.wind_count * left.wind_delta < 0;
    if leads_out && left.wind_count.abs() <= 1 {
        edge.wind_delta
    } else if turns_back {
        left.wind_count
    } else {
        left.wind_count + edge.wind_delta
    }
}

/// A winding count behind another edge of the same polygon; it is never 0.
fn crossed(count: i32, delta: i32) -> i32 {
    if count + delta == 0 {
        -count
    } else {
        count + delta
    }
}
