//! Rings that share an edge are joined there, and a ring that touches itself along an edge is split.

use super::arena::{Id, NONE};
use super::geometry::{Point, are_collinear, sorted};
use super::rings::Rings;

/// Two corners of rings that lie on edges with a stretch in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Join {
    pub(super) one: Id,
    pub(super) other: Id,
    /// A point at the other end of the stretch, or beyond.
    pub(super) end: Point,
}

/// A stretch of a ring: from its first corner to its last, in the ring's direction.
#[derive(Clone, Copy)]
struct Stretch {
    first: Id,
    last: Id,
}

/// Where two rings that run along each other are cut and connected crosswise.
#[derive(Clone, Copy)]
struct Cut {
    at: Point,
    /// Whether what is to the left of it becomes a spike.
    drops_left: bool,
}

impl Rings {
    /// Makes all joins, in their order.
    pub(super) fn join_all(&mut self, joins: &[Join]) {
        for join in joins {
            let [one, other] =
                [join.one, join.other].map(|corner| self.whole(self.corners[corner].ring));
            if self.rings[one].start == NONE || self.rings[other].start == NONE {
                continue;
            }
            if one == other {
                if let Some(starts) = self.connect(join, true) {
                    self.split(one, starts);
                }
            } else {
                let judge = self.judge_of_holes(one, other);
                if self.connect(join, false).is_some() {
                    self.merge(one, other, judge);
                }
            }
        }
    }

    /// Makes two rings of one, which begin at these corners now.
    fn split(&mut self, ring: Id, [start, new_start]: [Id; 2]) {
        let old = &mut self.rings[ring];
        (old.start, old.lowest) = (start, NONE);
        let new = self.push_ring();
        self.rings[new].start = new_start;
        let mut corner = new_start;
        loop {
            self.corners[corner].ring = new;
            corner = self.previous(corner);
            if corner == new_start {
                break;
            }
        }
        let old = self.rings[ring];
        if self.is_inside(new, ring) {
            self.rings[new].is_hole = !old.is_hole;
            self.rings[new].first_left = ring;
            self.fix_direction(new);
        } else {
            self.rings[new].is_hole = old.is_hole;
            self.rings[new].first_left = old.first_left;
            if self.is_inside(ring, new) {
                self.rings[ring].is_hole = !old.is_hole;
                self.rings[ring].first_left = new;
                self.fix_direction(ring);
            }
        }
    }

    /// Makes a ring a part of another.
    fn merge(&mut self, ring: Id, part: Id, judge: Id) {
        let (judged, whole) = (self.rings[judge], self.rings[ring].part_of);
        let gone = &mut self.rings[part];
        (gone.start, gone.lowest) = (NONE, NONE);
        gone.part_of = whole;
        gone.first_left = ring;
        self.rings[ring].is_hole = judged.is_hole;
        if judge == part {
            self.rings[ring].first_left = judged.first_left;
        }
    }

    /// Connects the rings of a join crosswise, if they run along each other. Corners of the two rings that there are then, if
    /// it was one before.
    fn connect(&mut self, join: &Join, is_one_ring: bool) -> Option<[Id; 2]> {
        let (one, other, end) = (join.one, join.other, join.end);
        let is_horizontal = self.at(one).y == end.y;
        if is_horizontal {
            if self.at(one) == end && self.at(other) == end {
                return self.connect_at_point(join, is_one_ring);
            }
            return self.connect_horizontals(one, other);
        }
        let (end_one, is_back_one) = self.edge_towards(one, end)?;
        let (end_other, is_back_other) = self.edge_towards(other, end)?;
        let is_twice_the_same = is_one_ring && is_back_one == is_back_other;
        if end_one == one || end_other == other || end_one == end_other || is_twice_the_same {
            return None;
        }
        Some(self.cross(one, other, is_back_one))
    }

    /// A ring that touches itself in a point.
    fn connect_at_point(&mut self, join: &Join, is_one_ring: bool) -> Option<[Id; 2]> {
        let leads_down = |corner: Id| {
            let mut next = self.next(corner);
            while next != corner && self.at(next) == join.end {
                next = self.next(next);
            }
            self.at(next).y > join.end.y
        };
        let is_back = leads_down(join.one);
        let crosses = is_one_ring && is_back != leads_down(join.other);
        crosses.then(|| self.cross(join.one, join.other, is_back))
    }

    /// Connects two corners at the same point crosswise: what comes before the one with what follows the other.
    fn cross(&mut self, one: Id, other: Id, is_back: bool) -> [Id; 2] {
        if is_back {
            let (twin_one, twin_other) = (self.repeat_before(one), self.repeat_after(other));
            self.link(other, one);
            self.link(twin_one, twin_other);
            [one, twin_one]
        } else {
            let (twin_one, twin_other) = (self.repeat_after(one), self.repeat_before(other));
            self.link(one, other);
            self.link(twin_other, twin_one);
            [one, twin_one]
        }
    }

    /// The corner at the end of an edge that leads from a corner upwards towards a point, and whether it leads backwards.
    fn edge_towards(&self, corner: Id, end: Point) -> Option<(Id, bool)> {
        let at = self.at(corner);
        [Self::next, Self::previous]
            .iter()
            .zip([false, true])
            .find_map(|(step, is_back)| {
                let mut other = step(self, corner);
                while self.at(other) == at && other != corner {
                    other = step(self, other);
                }
                let leads = self.at(other).y <= at.y && are_collinear(at, self.at(other), end);
                leads.then_some((other, is_back))
            })
    }

    /// Connects the horizontal edges on which two corners lie.
    fn connect_horizontals(&mut self, one: Id, other: Id) -> Option<[Id; 2]> {
        let a = self.flat_stretch(one, [other, other])?;
        let b = self.flat_stretch(other, [a.last, a.first])?;
        let [a1, a2, b1, b2] = [a.first, a.last, b.first, b.last].map(|corner| self.at(corner));
        let [from_a, to_a] = sorted([a1.x, a2.x]);
        let [from_b, to_b] = sorted([b1.x, b2.x]);
        let (left, right) = (from_a.max(from_b), to_a.min(to_b));
        if left >= right {
            return None;
        }
        // Corners of the join may be needed for another one, and must not become a part of a spike.
        let ends = [(a1, a2), (b1, b2), (a2, a1), (b2, b1)];
        let is_shared = |(end, _): &&(Point, Point)| left <= end.x && end.x <= right;
        let &(at, opposite) = ends.iter().find(is_shared).unwrap_or(&ends[3]);
        let drops_left = at.x > opposite.x;
        self.connect_stretches(a, b, Cut { at, drops_left })
            .then_some([a.first, b.first])
    }

    /// The horizontal stretch around a corner, up to certain others of the other stretch; none if the whole ring is one.
    fn flat_stretch(&self, corner: Id, [before, behind]: [Id; 2]) -> Option<Stretch> {
        let y = self.at(corner).y;
        let (mut first, mut last) = (corner, corner);
        loop {
            let previous = self.previous(first);
            if self.at(previous).y != y || previous == last || previous == before {
                break;
            }
            first = previous;
        }
        loop {
            let next = self.next(last);
            if next == first || next == behind {
                return None;
            }
            if self.at(next).y != y {
                break;
            }
            last = next;
        }
        Some(Stretch { first, last })
    }

    fn connect_stretches(&mut self, one: Stretch, other: Stretch, cut: Cut) -> bool {
        let [leads_left, other_leads_left] =
            [one, other].map(|stretch| self.at(stretch.first).x > self.at(stretch.last).x);
        if leads_left == other_leads_left {
            return false;
        }
        let (a, twin_a) = self.cut_stretch(one.first, leads_left, cut);
        let (b, twin_b) = self.cut_stretch(other.first, other_leads_left, cut);
        if leads_left == cut.drops_left {
            self.link(a, b);
            self.link(twin_b, twin_a);
        } else {
            self.link(b, a);
            self.link(twin_a, twin_b);
        }
        true
    }

    /// Two corners at the cut of a stretch, between which it can be parted.
    fn cut_stretch(&mut self, mut corner: Id, leads_left: bool, cut: Cut) -> (Id, Id) {
        let Cut { at, drops_left } = cut;
        loop {
            let (here, next) = (self.at(corner), self.at(self.next(corner)));
            let is_before_cut = if leads_left {
                at.x <= next.x && next.x <= here.x
            } else {
                here.x <= next.x && next.x <= at.x
            };
            if !is_before_cut || next.y != at.y {
                break;
            }
            corner = self.next(corner);
        }
        if leads_left != drops_left && self.at(corner).x != at.x {
            corner = self.next(corner);
        }
        let repeat = if leads_left == drops_left {
            Self::repeat_after
        } else {
            Self::repeat_before
        };
        let mut twin = repeat(self, corner);
        if self.at(twin) != at {
            corner = twin;
            self.corners[corner].at = at;
            twin = repeat(self, corner);
        }
        (corner, twin)
    }
}
