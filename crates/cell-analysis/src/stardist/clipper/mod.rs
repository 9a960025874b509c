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

pub(crate) use geometry::Point;

use arena::{Id, NONE};
use bounds::Bounds;
use geometry::{Polygon, are_collinear};
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
    pub(crate) fn set_clip(&mut self, corners: &[Point]) {
        self.clip.clear();
        self.clip.add(corners, Polygon::Clip);
    }

    /// The area, in pixels, that a polygon has in common with the one that was set.
    ///
    /// It is the sum of the areas of all rings of the intersection, holes included, each summed up in `f32`. It is 0 for
    /// polygons at which Clipper fails.
    pub(crate) fn intersection_area(&mut self, subject: &[Point]) -> f32 {
        self.sweep.bounds.copy_from(&self.clip);
        self.sweep.bounds.add(subject, Polygon::Subject);
        if self.execute().is_err() {
            return 0.0;
        }
        let rings = 1..self.sweep.rings.rings.end();
        rings
            .map(|ring| self.area(ring))
            .fold(0.0, |sum, area| sum + area)
    }

    /// Draws the rings of the intersection.
    fn execute(&mut self) -> Result<(), Failed> {
        let sweep = &mut self.sweep;
        sweep.start();
        if let Some(y) = sweep.rows.pop() {
            sweep.begin_edges(y)?;
        }
        while let Some(y) = sweep.rows.pop() {
            sweep.walk_horizontals()?;
            sweep.ghosts.clear();
            sweep.cross_up_to(y)?;
            sweep.end_edges(y)?;
            sweep.walk_horizontals()?;
            sweep.go_on_upwards(y)?;
            sweep.begin_edges(y)?;
        }
        for ring in 1..sweep.rings.rings.end() {
            if sweep.rings.rings[ring].start != NONE {
                sweep.rings.fix_direction(ring);
            }
        }
        sweep.rings.join_all(&sweep.joins);
        for ring in 1..sweep.rings.rings.end() {
            self.clean(ring);
        }
        Ok(())
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
pub(crate) fn area(corners: &[Point]) -> f32 {
    let next = corners.iter().cycle().skip(1);
    let terms = corners
        .iter()
        .zip(next)
        .map(|(&a, &b)| cross_product(a, b) as f32);
    0.5 * terms.fold(0.0, |sum, term| sum + term).abs()
}

fn cross_product(a: Point, b: Point) -> i64 {
    i64::from(a.x) * i64::from(b.y) - i64::from(a.y) * i64::from(b.x)
}
