//! The rings of a result while they are drawn: circular lists of corners that grow at two ends and are appended to each other.

use super::arena::{Arena, Id, NONE};
use super::geometry::{Point, slope};

/// A corner of a ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Corner {
    pub(super) at: Point,
    pub(super) next: Id,
    pub(super) previous: Id,
    /// The ring that it was made for.
    pub(super) ring: Id,
}

/// A ring of the result.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ring {
    /// Its own number, or that of the ring which it has become a part of.
    pub(super) part_of: Id,
    pub(super) is_hole: bool,
    /// The ring on its left in which it may lie.
    pub(super) first_left: Id,
    /// The corner at its left end; none if it has no corners any more.
    pub(super) start: Id,
    /// Its lowest corner, if that has been looked for.
    pub(super) lowest: Id,
}

/// All rings of a result.
#[derive(Clone, Debug, Default)]
pub(super) struct Rings {
    pub(super) corners: Arena<Corner>,
    pub(super) rings: Arena<Ring>,
}

/// Whether a point lies in a ring.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Inside,
    OnEdge,
}

impl Rings {
    pub(super) fn clear(&mut self) {
        self.corners.clear();
        self.rings.clear();
    }

    /// A ring without corners.
    pub(super) fn push_ring(&mut self) -> Id {
        let id = self.rings.end();
        self.rings.push(Ring {
            part_of: id,
            ..Ring::default()
        })
    }

    /// The first corner of a ring.
    pub(super) fn begin(&mut self, ring: Id, at: Point) -> Id {
        let id = self.corners.end();
        self.rings[ring].start = id;
        self.corners.push(Corner {
            at,
            next: id,
            previous: id,
            ring,
        })
    }

    /// The corner at the left or the right end of a ring.
    pub(super) fn end(&self, ring: Id, is_left: bool) -> Id {
        let start = self.rings[ring].start;
        [self.corners[start].previous, start][usize::from(is_left)]
    }

    /// Another corner at the left or the right end of a ring, or the one that is there already.
    pub(super) fn extend(&mut self, ring: Id, is_left: bool, at: Point) -> Id {
        let end = self.end(ring, is_left);
        if self.corners[end].at == at {
            return end;
        }
        let Ring { start, part_of, .. } = self.rings[ring];
        let corner = self.insert_before(start, at, part_of);
        self.rings[ring].start = [start, corner][usize::from(is_left)];
        corner
    }

    fn insert_before(&mut self, next: Id, at: Point, ring: Id) -> Id {
        let previous = self.corners[next].previous;
        let corner = self.corners.push(Corner {
            at,
            next,
            previous,
            ring,
        });
        self.corners[previous].next = corner;
        self.corners[next].previous = corner;
        corner
    }

    /// The same corner once more, before itself.
    pub(super) fn repeat_before(&mut self, corner: Id) -> Id {
        let Corner { at, ring, .. } = self.corners[corner];
        self.insert_before(corner, at, ring)
    }

    /// The same corner once more, behind itself.
    pub(super) fn repeat_after(&mut self, corner: Id) -> Id {
        let Corner { at, ring, next, .. } = self.corners[corner];
        self.insert_before(next, at, ring)
    }

    /// Lets one corner follow another.
    pub(super) fn link(&mut self, corner: Id, next: Id) {
        self.corners[corner].next = next;
        self.corners[next].previous = corner;
    }

    pub(super) fn at(&self, corner: Id) -> Point {
        self.corners[corner].at
    }

    pub(super) fn next(&self, corner: Id) -> Id {
        self.corners[corner].next
    }

    pub(super) fn previous(&self, corner: Id) -> Id {
        self.corners[corner].previous
    }

    /// The ring that a ring has become a part of, or itself.
    pub(super) fn whole(&self, mut ring: Id) -> Id {
        while self.rings[ring].part_of != ring {
            ring = self.rings[ring].part_of;
        }
        ring
    }

    /// Turns the direction of a ring.
    pub(super) fn reverse(&mut self, start: Id) {
        let mut corner = start;
        loop {
            let Corner { next, previous, .. } = self.corners[corner];
            (self.corners[corner].next, self.corners[corner].previous) = (previous, next);
            corner = next;
            if corner == start {
                return;
            }
        }
    }

    /// Whether the area of a ring is positive, by its direction.
    pub(super) fn is_positive(&self, start: Id) -> bool {
        let (mut corner, mut area) = (start, 0.0);
        loop {
            let (a, b) = (self.at(self.previous(corner)), self.at(corner));
            let width = i64::from(a.x) + i64::from(b.x);
            let height = i64::from(a.y) - i64::from(b.y);
            area += width as f64 * height as f64;
            corner = self.next(corner);
            if corner == start {
                return area > 0.0;
            }
        }
    }

    /// Turns a ring whose direction is not that of a hole, or of what is none.
    pub(super) fn fix_direction(&mut self, ring: Id) {
        let Ring { is_hole, start, .. } = self.rings[ring];
        if is_hole == self.is_positive(start) {
            self.reverse(start);
        }
    }

    /// Whether a ring lies to the right of another, by what was on the left of them when they began.
    pub(super) fn is_right_of(&self, ring: Id, other: Id) -> bool {
        let mut left = ring;
        // A circle would be an endless one.
        for _ in 0..self.rings.end() {
            left = self.rings[left].first_left;
            if left == other {
                return true;
            }
            if left == NONE {
                break;
            }
        }
        false
    }

    /// Which of two rings knows whether it is a hole.
    pub(super) fn judge_of_holes(&mut self, one: Id, other: Id) -> Id {
        if self.is_right_of(one, other) {
            other
        } else if self.is_right_of(other, one) {
            one
        } else {
            self.lowermost(one, other)
        }
    }

    fn lowermost(&mut self, one: Id, other: Id) -> Id {
        for ring in [one, other] {
            if self.rings[ring].lowest == NONE {
                self.rings[ring].lowest = self.lowest_corner(self.rings[ring].start);
            }
        }
        let (a, b) = (self.rings[one].lowest, self.rings[other].lowest);
        let (at_a, at_b) = (self.at(a), self.at(b));
        let is_first = if at_a.y != at_b.y {
            at_a.y > at_b.y
        } else if at_a.x != at_b.x {
            at_a.x < at_b.x
        } else if self.next(a) == a {
            false
        } else {
            self.next(b) == b || self.is_lower(a, b)
        };
        if is_first { one } else { other }
    }

    /// The lowest corner of a ring; of several, the left one.
    fn lowest_corner(&self, start: Id) -> Id {
        let (mut lowest, mut twin) = (start, NONE);
        let mut corner = self.next(start);
        while corner != lowest {
            let (here, low) = (self.at(corner), self.at(lowest));
            if here.y > low.y || here.y == low.y && here.x < low.x {
                (lowest, twin) = (corner, NONE);
            } else if here == low && self.next(corner) != lowest && self.previous(corner) != lowest
            {
                twin = corner;
            }
            corner = self.next(corner);
        }
        if twin == NONE {
            return lowest;
        }
        // The ring passes its lowest point several times.
        while twin != corner {
            if !self.is_lower(corner, twin) {
                lowest = twin;
            }
            twin = self.next(twin);
            while self.at(twin) != self.at(lowest) {
                twin = self.next(twin);
            }
        }
        lowest
    }

    /// Whether a corner is below another at the same point: whether its edges are flatter.
    fn is_lower(&self, corner: Id, other: Id) -> bool {
        let [a, b] = self.flatness(corner);
        let [c, d] = self.flatness(other);
        if a.max(b) == c.max(d) && a.min(b) == c.min(d) {
            return self.is_positive(corner);
        }
        a >= c && a >= d || b >= c && b >= d
    }

    /// Columns for each row of the edges before and behind a corner.
    fn flatness(&self, corner: Id) -> [f64; 2] {
        let at = self.at(corner);
        [Self::previous, Self::next].map(|step| {
            let mut other = step(self, corner);
            while self.at(other) == at && other != corner {
                other = step(self, other);
            }
            slope(at, self.at(other)).abs()
        })
    }

    /// Whether a ring lies in another.
    pub(super) fn is_inside(&self, ring: Id, other: Id) -> bool {
        let start = self.rings[ring].start;
        let mut corner = start;
        loop {
            match self.place_of(self.at(corner), self.rings[other].start) {
                Place::Inside => return true,
                Place::Outside => return false,
                Place::OnEdge => corner = self.next(corner),
            }
            if corner == start {
                return true;
            }
        }
    }

    /// Where a point lies, by the edges to its right (Hormann and Agathos, "The point in polygon problem for arbitrary
    /// polygons", Computational Geometry 2001).
    fn place_of(&self, point: Point, start: Id) -> Place {
        let mut is_inside = false;
        let mut corner = start;
        loop {
            let (a, b) = (self.at(corner), self.at(self.next(corner)));
            let is_flat_through = a.y == point.y && (b.x > point.x) == (a.x < point.x);
            if b.y == point.y && (b.x == point.x || is_flat_through) {
                return Place::OnEdge;
            }
            if (a.y < point.y) != (b.y < point.y) {
                if a.x >= point.x && b.x > point.x {
                    is_inside = !is_inside;
                } else if a.x >= point.x || b.x > point.x {
                    let side = side_of(point, a, b);
                    if side == 0.0 {
                        return Place::OnEdge;
                    }
                    is_inside ^= (side > 0.0) == (b.y > a.y);
                }
            }
            corner = self.next(corner);
            if corner == start {
                break;
            }
        }
        if is_inside {
            Place::Inside
        } else {
            Place::Outside
        }
    }
}

/// On which side of the edge from `a` to `b` a point lies: the sign says.
fn side_of(point: Point, a: Point, b: Point) -> f64 {
    let offset = |to: i32, from: i32| (i64::from(to) - i64::from(from)) as f64;
    offset(a.x, point.x) * offset(b.y, point.y) - offset(b.x, point.x) * offset(a.y, point.y)
}
