//! What happens in a row and between two rows: edges begin, cross, end and go on.

use super::arena::{Id, NONE};
use super::bounds::LocalMinimum;
use super::geometry::{Edge, Point, are_parallel, crossing, ranges_overlap};
use super::sort::std_sort;
use super::sweep::{Crossing, Failed, Sweep};

impl Sweep {
    /// Makes everything ready for a sweep over the bounds.
    pub(super) fn start(&mut self) {
        self.clear();
        self.ending.resize(self.bounds.edges.end() as usize, NONE);
        std_sort(&mut self.bounds.minima, &|a: &LocalMinimum, b| b.y < a.y);
        for place in 0..self.bounds.minima.len() {
            let LocalMinimum { left, right, .. } = self.bounds.minima[place];
            for (id, is_left) in [(left, true), (right, false)] {
                let edge = self.edge_mut(id);
                edge.current = edge.bottom;
                edge.is_left = is_left;
                edge.ring = NONE;
            }
        }
    }

    /// Makes the edges active that begin in a row.
    pub(super) fn begin_edges(&mut self, y: i32) -> Result<(), Failed> {
        while let Some(&minimum) = self.bounds.minima.get(self.passed_minima) {
            if minimum.y != y {
                break;
            }
            self.passed_minima += 1;
            self.begin_bounds(minimum)?;
        }
        Ok(())
    }

    fn begin_bounds(&mut self, minimum: LocalMinimum) -> Result<(), Failed> {
        let LocalMinimum { left, right, .. } = minimum;
        self.activate(left, NONE);
        self.activate(right, left);
        self.count_windings(left);
        let first = *self.edge(left);
        let edge = self.edge_mut(right);
        (edge.wind_count, edge.other_count) = (first.wind_count, first.other_count);
        let is_contributing = self.is_contributing(left);
        let corner = is_contributing.then(|| self.begin_ring(left, right, first.bottom));
        if self.edge(right).is_horizontal() {
            self.horizontals.push(right);
        }
        if let Some(corner) = corner {
            self.join_at_minimum(minimum, corner);
        }
        self.cross_between(left, right)
    }

    /// Remembers to join a corner where a ring begins with edges that run along those of the ring.
    fn join_at_minimum(&mut self, minimum: LocalMinimum, corner: Id) {
        let LocalMinimum { left, right, .. } = minimum;
        let second = *self.edge(right);
        if second.is_horizontal() {
            for place in 0..self.ghosts.len() {
                let ghost = self.ghosts[place];
                let drawn = [self.rings.at(ghost.corner).x, ghost.end.x];
                if ranges_overlap(drawn, [second.bottom.x, second.top.x]) {
                    self.push_join(ghost.corner, corner, ghost.end);
                }
            }
        }
        let first = *self.edge(left);
        let beside = *self.edge(first.left);
        if first.is_drawing()
            && beside.is_drawing()
            && beside.current.x == first.bottom.x
            && are_parallel([beside.bottom, beside.top], [first.current, first.top])
        {
            let other = self.add_corner(first.left, first.bottom);
            self.push_join(corner, other, first.top);
        }
        if self.edge(left).right == right {
            return;
        }
        let second = *self.edge(right);
        let beside = *self.edge(second.left);
        if second.is_drawing()
            && beside.is_drawing()
            && are_parallel([beside.current, beside.top], [second.current, second.top])
        {
            let other = self.add_corner(second.left, second.bottom);
            self.push_join(corner, other, second.top);
        }
    }

    /// Crosses the edges between those of a minimum.
    fn cross_between(&mut self, left: Id, right: Id) -> Result<(), Failed> {
        let at = self.edge(left).current;
        let mut between = self.edge(left).right;
        while between != right && between != NONE {
            self.cross_edges(right, between, at)?;
            between = self.edge(between).right;
        }
        Ok(())
    }

    /// Brings the active edges up to the next row, and crosses those that change places below it.
    pub(super) fn rise_to(&mut self, y: i32) -> Result<(), Failed> {
        let Some(from_y) = self.move_edges(y) else {
            return Ok(());
        };
        self.find_crossings(from_y, y);
        if self.crossings.len() > 1 {
            self.sort_crossings()?;
        }
        for place in 0..self.crossings.len() {
            let Crossing { left, right, at } = self.crossings[place];
            self.cross_edges(left, right, at)?;
            self.swap_places(left, right);
        }
        self.crossings.clear();
        self.find_ending(y);
        Ok(())
    }

    /// Moves the active edges to the next row. The row that they come from, if they are not sorted by columns any more.
    fn move_edges(&mut self, y: i32) -> Option<i32> {
        let edges = self.bounds.edges.as_mut_slice();
        let (mut count, mut from_y, mut is_sorted) = (0, y, true);
        let (mut id, mut before) = (edges[NONE as usize].right, i32::MIN);
        while id != NONE {
            let edge = &mut edges[id as usize];
            from_y = edge.current.y;
            let x = edge.column_at(y);
            edge.current = Point::new(x, y);
            is_sorted &= before <= x;
            before = x;
            // Nobody can guess which edges end, so each is noted and most are written over.
            self.ending[count] = id;
            count += usize::from(edge.top.y == y);
            id = edge.right;
        }
        self.ending_count = count;
        (!is_sorted).then_some(from_y)
    }

    /// Finds the edges that end in a row once more, since others are on their left now.
    pub(super) fn find_ending(&mut self, y: i32) {
        self.ending_count = 0;
        let mut id = self.leftmost();
        while id != NONE {
            let edge = &self.bounds.edges[id];
            self.ending[self.ending_count] = id;
            self.ending_count += usize::from(edge.top.y == y);
            id = edge.right;
        }
    }

    /// Sorts the active edges by their columns in the next row, swapping neighbors: each swap is a crossing.
    fn find_crossings(&mut self, from_y: i32, y: i32) {
        self.order.clear();
        let mut id = self.leftmost();
        while id != NONE {
            self.order.push(id);
            id = self.edge(id).right;
        }
        let (mut end, mut is_sorted) = (self.order.len(), false);
        while !is_sorted {
            is_sorted = true;
            for place in 1..end {
                let (left, right) = (self.order[place - 1], self.order[place]);
                let (a, b) = (self.edge(left), self.edge(right));
                if a.current.x > b.current.x {
                    let mut at = crossing(a, b, from_y);
                    if at.y < y {
                        at = Point::new(a.column_at(y), y);
                    }
                    self.crossings.push(Crossing { left, right, at });
                    self.order.swap(place - 1, place);
                    is_sorted = false;
                }
            }
            end -= 1;
        }
    }

    /// Sorts crossings from below upwards, but so that only neighbors cross.
    fn sort_crossings(&mut self) -> Result<(), Failed> {
        let mut id = self.leftmost();
        let mut place = 0;
        while id != NONE {
            let edge = self.edge_mut(id);
            edge.place = place;
            id = edge.right;
            place += 1;
        }
        std_sort(&mut self.crossings, &|a: &Crossing, b| b.at.y < a.at.y);
        for place in 0..self.crossings.len() {
            let is_of_neighbors = |crossing: &Crossing| {
                let [a, b] = [crossing.left, crossing.right].map(|id| self.edge(id).place);
                a.abs_diff(b) == 1
            };
            let next = self.crossings[place..].iter().position(is_of_neighbors);
            let next = place + next.ok_or(Failed)?;
            self.crossings.swap(place, next);
            let Crossing { left, right, .. } = self.crossings[place];
            let (a, b) = (self.edge(left).place, self.edge(right).place);
            self.edge_mut(left).place = b;
            self.edge_mut(right).place = a;
        }
        Ok(())
    }

    /// Ends edges that turn down in a row, and goes on to horizontal ones.
    pub(super) fn end_edges(&mut self) -> Result<(), Failed> {
        for place in 0..self.ending_count {
            let id = self.ending[place];
            let above = self.edge(id).above;
            if above == NONE {
                // It may have ended together with its partner.
                let is_there = self.is_active(id);
                if is_there && !self.edge(self.active_partner(id)).is_horizontal() {
                    self.end_at_summit(id)?;
                }
            } else if self.edge(above).is_horizontal() {
                self.go_on(id)?;
                let edge = self.edge(above);
                if edge.is_drawing() {
                    self.add_corner(above, edge.bottom);
                }
                self.horizontals.push(above);
            }
        }
        Ok(())
    }

    /// The partner of an edge, if it is active or horizontal.
    fn active_partner(&self, id: Id) -> Id {
        let partner = self.partner(id);
        if self.is_alone(partner) && !self.edge(partner).is_horizontal() {
            NONE
        } else {
            partner
        }
    }

    fn end_at_summit(&mut self, id: Id) -> Result<(), Failed> {
        let top = self.edge(id).top;
        let partner = self.active_partner(id);
        if partner == NONE {
            if self.edge(id).is_drawing() {
                self.add_corner(id, top);
            }
            self.deactivate(id);
            return Ok(());
        }
        loop {
            let right = self.edge(id).right;
            if right == NONE || right == partner {
                break;
            }
            self.cross_edges(id, right, top)?;
            self.swap_places(id, right);
        }
        match (self.edge(id).is_drawing(), self.edge(partner).is_drawing()) {
            (true, true) => self.end_ring(id, partner, top)?,
            (false, false) => {}
            _ => return Err(Failed),
        }
        self.deactivate(id);
        self.deactivate(partner);
        Ok(())
    }

    /// Goes on with edges that end in a row, but not as horizontal ones.
    pub(super) fn go_on_upwards(&mut self) -> Result<(), Failed> {
        for place in 0..self.ending_count {
            let id = self.ending[place];
            let edge = self.edge(id);
            if edge.above == NONE {
                continue;
            }
            let (is_drawing, top) = (edge.is_drawing(), edge.top);
            let corner = is_drawing.then(|| self.add_corner(id, top));
            let above = self.go_on(id)?;
            if let Some(corner) = corner {
                self.join_with_neighbor(above, corner, |edge: &Edge, other: &Edge| {
                    are_parallel([edge.current, edge.top], [other.current, other.top])
                });
            }
        }
        Ok(())
    }
}
