//! Horizontal edges: they cross all that stands on their way, in one row.

use super::arena::{Id, NONE};
use super::geometry::{Edge, Point, are_parallel, ranges_overlap};
use super::sweep::{Failed, Ghost, Sweep};

impl Sweep {
    /// Lets the horizontal edges of the row cross what stands on their way. None of them follows another.
    pub(super) fn walk_horizontals(&mut self) -> Result<(), Failed> {
        while let Some(id) = self.horizontals.pop() {
            let is_top = self.edge(id).above == NONE;
            let partner = if is_top { self.partner(id) } else { NONE };
            let mut last_corner = None;
            if !self.cross_on_the_way(id, partner, &mut last_corner)? {
                self.leave_row(id, last_corner)?;
            }
        }
        Ok(())
    }

    /// Crosses what stands on the way of a horizontal edge up to the one with which it ends; whether it has come there.
    fn cross_on_the_way(
        &mut self,
        id: Id,
        partner: Id,
        last_corner: &mut Option<Id>,
    ) -> Result<bool, Failed> {
        let start = *self.edge(id);
        let goes_right = start.bottom.x < start.top.x;
        let mut met = self.neighbor(id, goes_right);
        while met != NONE {
            let other = *self.edge(met);
            if self.is_beyond(&start, &other) {
                break;
            }
            if self.edge(id).is_drawing() {
                *last_corner = Some(self.draw_horizontal(id, other.current, start.bottom));
            }
            if met == partner {
                if self.edge(id).is_drawing() {
                    self.end_ring(id, met, start.top)?;
                }
                self.deactivate(id);
                self.deactivate(met);
                return Ok(true);
            }
            let at = Point::new(other.current.x, start.current.y);
            if goes_right {
                self.cross_edges(id, met, at)?;
            } else {
                self.cross_edges(met, id, at)?;
            }
            let next = self.neighbor(met, goes_right);
            self.swap_places(id, met);
            met = next;
        }
        Ok(false)
    }

    /// Adds a corner to what a horizontal edge draws, and remembers what may run along it.
    fn draw_horizontal(&mut self, id: Id, at: Point, end: Point) -> Id {
        let corner = self.add_corner(id, at);
        self.join_horizontals(id, corner);
        self.ghosts.push(Ghost { corner, end });
        corner
    }

    fn neighbor(&self, id: Id, is_right: bool) -> Id {
        let edge = self.edge(id);
        if is_right { edge.right } else { edge.left }
    }

    /// Whether an edge is not on the way of a horizontal one any more.
    fn is_beyond(&self, horizontal: &Edge, other: &Edge) -> bool {
        let (begin, end, x) = (horizontal.bottom.x, horizontal.top.x, other.current.x);
        let is_past = if begin < end { x > end } else { x < end };
        // At the end of the way, the edge above may be on the left of the other one.
        is_past
            || x == end
                && horizontal.above != NONE
                && other.slope < self.edge(horizontal.above).slope
    }

    /// Remembers to join a corner with those other horizontal edges of the row that run along its own.
    fn join_horizontals(&mut self, id: Id, corner: Id) {
        let edge = *self.edge(id);
        for place in (0..self.horizontals.len()).rev() {
            let other_id = self.horizontals[place];
            let other = *self.edge(other_id);
            let ends = [edge, other].map(|edge| [edge.bottom.x, edge.top.x]);
            if other.is_drawing() && ranges_overlap(ends[0], ends[1]) {
                self.push_join(self.last_corner(other_id), corner, other.top);
            }
        }
    }

    /// Goes on upwards from the end of the way.
    fn leave_row(&mut self, id: Id, last_corner: Option<Id>) -> Result<(), Failed> {
        let edge = *self.edge(id);
        if edge.is_drawing() && last_corner.is_none() {
            let corner = self.last_corner(id);
            self.join_horizontals(id, corner);
            let end = edge.top;
            self.ghosts.push(Ghost { corner, end });
        }
        let corner = edge.is_drawing().then(|| self.add_corner(id, edge.top));
        if edge.above == NONE {
            self.deactivate(id);
            return Ok(());
        }
        let above = self.go_on(id)?;
        if let Some(corner) = corner {
            self.join_with_neighbor(above, corner, Self::runs_along_bottom);
        }
        Ok(())
    }

    /// Remembers to join a corner at the bottom of an edge with a neighbor that runs along the edge.
    pub(super) fn join_with_neighbor(
        &mut self,
        id: Id,
        corner: Id,
        runs_along: impl Fn(&Edge, &Edge) -> bool,
    ) {
        let edge = self.edge(id);
        let runs_beside = |&neighbor: &Id| {
            let other = self.edge(neighbor);
            neighbor != NONE
                && other.current == edge.bottom
                && other.is_drawing()
                && other.current.y > other.top.y
                && runs_along(edge, other)
        };
        if let Some(neighbor) = [edge.left, edge.right].into_iter().find(runs_beside) {
            let (bottom, top) = (edge.bottom, edge.top);
            let other_corner = self.add_corner(neighbor, bottom);
            self.push_join(corner, other_corner, top);
        }
    }

    fn runs_along_bottom(edge: &Edge, other: &Edge) -> bool {
        are_parallel([edge.top, edge.bottom], [other.top, other.bottom])
    }

    /// The edge of the same polygon that ends where this one ends.
    pub(super) fn partner(&self, id: Id) -> Id {
        let edge = self.edge(id);
        let ends_here = |&other: &Id| {
            let other = self.edge(other);
            other.top == edge.top && other.above == NONE
        };
        [edge.next, edge.previous]
            .into_iter()
            .find(ends_here)
            .unwrap_or(NONE)
    }
}
