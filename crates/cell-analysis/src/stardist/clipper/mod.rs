//! The area that two polygons on the integer grid have in common, as the Clipper library computes it: to the last pixel of
//! its roundings, and with its choices where edges coincide.
//!
//! A port of `Clipper::Execute(ctIntersection, pftNonZero, pftNonZero)` of version 6.4.2, which StarDist is built with:
//!
//! > Author: Angus Johnson, version 6.4.2, 27 February 2017, <http://www.angusj.com>.
//! > Copyright: Angus Johnson 2010-2017.
//! > License: Use, modification & distribution is subject to Boost Software License Ver 1.
//! > <http://www.boost.org/LICENSE_1_0.txt>
//!
//! The license is in `LICENSE-BOOST` beside this file. The algorithm extends that of Vatti, "A generic solution to polygon
//! clipping", Communications of the ACM 35 (1992), 56–63.
//!
//! Border: two closed polygons, filled where they wind around at all. No open paths, no other operations.

mod arena;
mod bounds;
mod drawing;
mod geometry;
mod horizontals;
mod joins;
mod rings;
mod rows;
mod sort;
mod sweep;

pub(crate) use geometry::Corners;

use arena::{Id, NONE};
use bounds::Bounds;
use geometry::{Point, Polygon, are_collinear};
use sweep::{Failed, Sweep};

/// Intersects polygons, one pair after the other, in the same memory.
///
/// Corners lie within [`Clipper::REACH`] of the origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clipper {
    /// The bounds of the polygon that others are intersected with.
    clip: Bounds,
    sweep: Sweep,
}

impl Clipper {
    /// How far from the origin corners may lie: products of their distances fit into 64 bits.
    pub(crate) const REACH: i32 = 0x3fff_ffff;

    /// Sets the polygon that others are intersected with.
    pub(crate) fn set_clip(&mut self, corners: &Corners) {
        self.clip.clear();
        self.clip.add(corners, Polygon::Clip);
    }

    /// The area, in pixels, that a polygon has in common with the one that was set.
    ///
    /// It is the sum of the areas of all rings of the intersection, holes included, each summed up in `f32`. It is 0 for
    /// polygons at which Clipper fails.
    pub(crate) fn intersection_area(&mut self, subject: &Corners) -> f32 {
        self.sweep.bounds.copy_from(&self.clip);
        self.sweep.bounds.add(subject, Polygon::Subject);
        if self.draw().is_err() {
            return 0.0;
        }
        let has_joins = !self.sweep.joins.is_empty();
        if has_joins {
            self.fix_directions();
            self.sweep.rings.join_all(&self.sweep.joins);
        }
        self.exact_area().unwrap_or_else(|| {
            if !has_joins {
                self.fix_directions();
            }
            for ring in self.rings() {
                self.clean(ring);
            }
            self.rings().fold(0.0, |sum, ring| sum + self.area(ring))
        })
    }

    fn rings(&self) -> std::ops::Range<Id> {
        1..self.sweep.rings.rings.end()
    }

    /// Draws the rings of the intersection.
    fn draw(&mut self) -> Result<(), Failed> {
        let sweep = &mut self.sweep;
        sweep.start();
        let Some(first) = sweep.bounds.minima.first() else {
            return Ok(());
        };
        let mut y = first.y;
        sweep.begin_edges(y)?;
        loop {
            sweep.walk_horizontals()?;
            sweep.ghosts.clear();
            let Some(next) = sweep.next_row(y) else {
                return Ok(());
            };
            y = next;
            sweep.rise_to(y)?;
            sweep.end_edges()?;
            if !sweep.horizontals.is_empty() {
                sweep.walk_horizontals()?;
                sweep.find_ending(y);
            }
            sweep.go_on_upwards()?;
            sweep.begin_edges(y)?;
        }
    }

    fn fix_directions(&mut self) {
        for ring in self.rings() {
            if self.sweep.rings.rings[ring].start != NONE {
                self.sweep.rings.fix_direction(ring);
            }
        }
    }

    /// The area of all rings, if `f32` is exact at every step to it: then neither their order and direction matter, nor corners
    /// that are on a line with their neighbors.
    fn exact_area(&self) -> Option<f32> {
        let rings = &self.sweep.rings;
        let (mut area, mut greatest_sum) = (0, 0);
        for ring in self.rings() {
            let start = rings.rings[ring].start;
            if start == NONE {
                continue;
            }
            let (mut sum, mut corner) = (0, start);
            loop {
                let next = rings.next(corner);
                let term = cross_product(rings.at(corner), rings.at(next));
                sum += term;
                greatest_sum += term.abs();
                corner = next;
                if corner == start {
                    break;
                }
            }
            area += sum.abs();
        }
        (greatest_sum <= 1 << f32::MANTISSA_DIGITS).then_some(0.5 * area as f32)
    }

    /// Takes repeated and collinear corners out of a ring, and the ring away if it is no more than a line.
    fn clean(&mut self, ring: Id) {
        let rings = &mut self.sweep.rings;
        let mut corner = rings.rings[ring].start;
        if corner == NONE {
            return;
        }
        let mut last_kept = NONE;
        loop {
            let (previous, next) = (rings.previous(corner), rings.next(corner));
            if previous == corner || previous == next {
                rings.rings[ring].start = NONE;
                return;
            }
            let [before, here, after] = [previous, corner, next].map(|corner| rings.at(corner));
            if here == before || here == after || are_collinear(before, here, after) {
                last_kept = NONE;
                rings.link(previous, next);
                corner = previous;
            } else if corner == last_kept {
                rings.rings[ring].start = corner;
                return;
            } else {
                if last_kept == NONE {
                    last_kept = corner;
                }
                corner = next;
            }
        }
    }

    /// The area of a ring, whatever its direction.
    fn area(&self, ring: Id) -> f32 {
        let rings = &self.sweep.rings;
        let start = rings.rings[ring].start;
        if start == NONE {
            return 0.0;
        }
        let (mut area, mut corner) = (0.0, rings.previous(start));
        loop {
            let next = rings.previous(corner);
            area += cross_product(rings.at(corner), rings.at(next)) as f32;
            corner = next;
            if corner == rings.previous(start) {
                return 0.5 * f32::abs(area);
            }
        }
    }
}

/// The area of a polygon, in pixels, whatever its direction: summed up in `f32`.
pub(crate) fn area(corners: &Corners) -> f32 {
    let next = corners.points().cycle().skip(1);
    let terms = corners.points().zip(next);
    let sum = terms.fold(0.0, |sum, (a, b)| sum + cross_product(a, b) as f32);
    0.5 * f32::abs(sum)
}

fn cross_product(a: Point, b: Point) -> i64 {
    i64::from(a.x) * i64::from(b.y) - i64::from(a.y) * i64::from(b.x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn polygon(points: &[(i32, i32)]) -> Corners {
        let (xs, ys) = points.iter().copied().unzip();
        Corners { xs, ys }
    }

    /// Columns and rows by turns.
    fn numbers(text: &str) -> Corners {
        let numbers: Vec<i32> = text
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        let pairs = numbers.as_chunks::<2>().0.iter();
        polygon(&pairs.map(|&[x, y]| (x, y)).collect::<Vec<_>>())
    }

    fn shared(clip: &Corners, subject: &Corners) -> f32 {
        let mut clipper = Clipper::default();
        clipper.set_clip(clip);
        clipper.intersection_area(subject)
    }

    #[test]
    fn areas_are_those_that_were_recorded_from_clipper() {
        let lines = include_str!("recorded/areas.txt").lines().skip(1);
        let mut clipper = Clipper::default();
        for (number, line) in lines.enumerate() {
            let [area, clip, subject] = line.split(" | ").collect::<Vec<_>>()[..] else {
                panic!("line {number}");
            };
            clipper.set_clip(&numbers(clip));
            let found = clipper.intersection_area(&numbers(subject));
            assert_eq!(found, area.parse::<f32>().unwrap(), "line {number}");
        }
    }

    #[test]
    fn polygons_without_area_share_nothing() {
        let square = polygon(&[(0, 0), (4, 0), (4, 4), (0, 4)]);
        let empty: [&[(i32, i32)]; 5] = [
            &[],
            &[(1, 1)],
            &[(1, 1), (3, 3)],
            &[(1, 1), (1, 1), (1, 1), (1, 1)],
            &[(0, 2), (3, 2), (1, 2), (4, 2)],
        ];
        for points in empty {
            let flat = polygon(points);
            assert_eq!((shared(&square, &flat), shared(&flat, &square)), (0.0, 0.0));
            assert_eq!(area(&flat), 0.0);
        }
    }

    #[test]
    fn sums_of_large_coordinates_are_rounded_as_single_floats_are() {
        let at = |x: i32, y: i32| (20_001 + x, 30_003 + y);
        let triangle = polygon(&[at(0, 0), at(3001, 1), at(1, 2003)]);
        let exact = 0.5 * (3001.0 * 2003.0 - 1.0);
        let terms = [
            20_001_i64 * 30_004 - 30_003 * 23_002,
            23_002 * 32_006 - 30_004 * 20_002,
            20_002 * 30_003 - 32_006 * 20_001,
        ];
        let summed = 0.5 * terms.iter().fold(0.0, |sum, &term| sum + term as f32).abs();
        assert_ne!(summed, exact);
        assert_eq!(area(&triangle), summed);
    }

    /// A rectangle, from any of its corners, in either direction.
    fn rectangle() -> impl Strategy<Value = ([i32; 4], Corners)> {
        let sides = (
            -9..9_i32,
            -9..9_i32,
            1..9_i32,
            1..9_i32,
            0..4_usize,
            any::<bool>(),
        );
        sides.prop_map(|(x, y, width, height, first, is_turned)| {
            let mut points = [
                (x, y),
                (x + width, y),
                (x + width, y + height),
                (x, y + height),
            ];
            points.rotate_left(first);
            if is_turned {
                points.reverse();
            }
            ([x, y, x + width, y + height], polygon(&points))
        })
    }

    fn any_polygon() -> impl Strategy<Value = Corners> {
        let far = -Clipper::REACH..Clipper::REACH;
        let at = prop_oneof![0..4_i32, -30..30_i32, far];
        let points = proptest::collection::vec((at.clone(), at), 0..40);
        points.prop_map(|points| polygon(&points))
    }

    proptest! {
        #[test]
        fn rectangles_share_what_they_share((a, one) in rectangle(), (b, other) in rectangle()) {
            let overlap = |axis: usize| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis])).max(0);
            prop_assert_eq!(shared(&one, &other), (overlap(0) * overlap(1)) as f32);
        }

        #[test]
        fn earlier_polygons_leave_nothing_behind(polygons in proptest::collection::vec(any_polygon(), 3)) {
            let mut clipper = Clipper::default();
            clipper.set_clip(&polygons[0]);
            for subject in &polygons {
                let found = clipper.intersection_area(subject);
                prop_assert!(found >= 0.0);
                prop_assert_eq!(found, shared(&polygons[0], subject));
            }
        }
    }
}
