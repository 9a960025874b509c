//! Boxes by place and size, so that those which touch a box are found without looking at all.
//!
//! A level for each power of two holds the boxes up to that size, in cells of that size: a query looks at few cells of each
//! level, and one large box makes no difference to the small ones.

use rayon::prelude::*;

/// A rectangle of pixels, its edges included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PixelBox {
    pub(super) top: i32,
    pub(super) bottom: i32,
    pub(super) left: i32,
    pub(super) right: i32,
}

impl PixelBox {
    /// What two boxes have in common, in pixels; nothing if they do not even touch.
    pub(super) fn shared_area(&self, other: &Self) -> Option<f64> {
        let height = i64::from(self.bottom.min(other.bottom)) - i64::from(self.top.max(other.top));
        let width = i64::from(self.right.min(other.right)) - i64::from(self.left.max(other.left));
        (height >= 0 && width >= 0).then_some(height as f64 * width as f64)
    }

    /// The power of two, as an exponent, that is larger than its sides.
    fn level(&self) -> u32 {
        let side = self
            .bottom
            .abs_diff(self.top)
            .max(self.right.abs_diff(self.left));
        (u32::BITS - side.leading_zeros()).max(MIN_LEVEL)
    }

    /// The cell of a level in which its upper left corner lies.
    fn cell(&self, level: u32) -> [i64; 2] {
        [self.top, self.left].map(|at| i64::from(at) >> level)
    }
}

/// Boxes of fewer than 2³ pixels share a level.
const MIN_LEVEL: u32 = 3;

/// Boxes by level, row of cells and column.
#[derive(Clone, Debug)]
pub(super) struct BoxIndex {
    rows: Vec<CellRow>,
    /// Columns and numbers of boxes, row after row.
    boxes: Vec<(i64, u32)>,
    /// Levels that have boxes.
    levels: Vec<u32>,
}

/// The boxes of a row of cells.
#[derive(Clone, Copy, Debug)]
struct CellRow {
    level: u32,
    row: i64,
    start: usize,
    end: usize,
}

impl BoxIndex {
    pub(super) fn new(boxes: &[PixelBox]) -> Self {
        let mut sorted: Vec<(u32, i64, i64, u32)> = boxes
            .par_iter()
            .zip(0..boxes.len() as u32)
            .map(|(pixels, number)| {
                let level = pixels.level();
                let [row, column] = pixels.cell(level);
                (level, row, column, number)
            })
            .collect();
        sorted.par_sort_unstable();
        let mut rows: Vec<CellRow> = Vec::new();
        for (place, &(level, row, ..)) in sorted.iter().enumerate() {
            match rows.last_mut() {
                Some(last) if (last.level, last.row) == (level, row) => last.end = place + 1,
                _ => rows.push(CellRow {
                    level,
                    row,
                    start: place,
                    end: place + 1,
                }),
            }
        }
        let mut levels: Vec<u32> = rows.iter().map(|row| row.level).collect();
        levels.dedup();
        let boxes = sorted
            .into_iter()
            .map(|(_, _, column, number)| (column, number))
            .collect();
        Self {
            rows,
            boxes,
            levels,
        }
    }

    /// Calls `visit` with the numbers of all boxes that touch this one, and of some that do not.
    pub(super) fn visit_near(&self, pixels: &PixelBox, mut visit: impl FnMut(u32)) {
        for &level in &self.levels {
            // A box of this level that begins further up or left does not come this far.
            let reach = (1_i64 << level) - 1;
            let [from_row, from_column] =
                [pixels.top, pixels.left].map(|at| (i64::from(at) - reach) >> level);
            let [to_row, to_column] =
                [pixels.bottom, pixels.right].map(|at| i64::from(at) >> level);
            let first = self
                .rows
                .partition_point(|row| (row.level, row.row) < (level, from_row));
            let rows = self.rows[first..].iter();
            for row in rows.take_while(|row| row.level == level && row.row <= to_row) {
                let boxes = &self.boxes[row.start..row.end];
                let first = boxes.partition_point(|&(column, _)| column < from_column);
                let near = boxes[first..].iter();
                near.take_while(|&&(column, _)| column <= to_column)
                    .for_each(|&(_, number)| visit(number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_box() -> impl Strategy<Value = PixelBox> {
        let size = prop_oneof![0..10_i32, 0..100_i32, 0..100_000_i32];
        let place = prop_oneof![-50..50_i32, -2000..2000_i32];
        (place.clone(), place, size.clone(), size).prop_map(|(top, left, height, width)| PixelBox {
            top,
            bottom: top + height,
            left,
            right: left + width,
        })
    }

    proptest! {
        #[test]
        fn every_box_that_touches_is_visited_once(
            boxes in proptest::collection::vec(any_box(), 0..60), query in any_box(),
        ) {
            let mut visited = Vec::new();
            BoxIndex::new(&boxes).visit_near(&query, |number| visited.push(number as usize));
            visited.sort_unstable();
            let count = visited.len();
            visited.dedup();
            prop_assert_eq!(visited.len(), count);
            let touching: Vec<usize> = (0..boxes.len()).filter(|&at| boxes[at].shared_area(&query).is_some()).collect();
            let found: Vec<usize> = visited.into_iter().filter(|&at| boxes[at].shared_area(&query).is_some()).collect();
            prop_assert_eq!(found, touching);
        }
    }

    #[test]
    fn far_boxes_of_the_same_size_are_not_visited() {
        let at = |place: i32| PixelBox {
            top: place,
            bottom: place + 20,
            left: place,
            right: place + 20,
        };
        let boxes: Vec<PixelBox> = (0..1000).map(|place| at(place * 40)).collect();
        let mut visits = 0;
        BoxIndex::new(&boxes).visit_near(&at(8000), |_| visits += 1);
        assert!((1..=4).contains(&visits), "{visits} visits");
    }

    #[test]
    fn the_largest_boxes_have_a_level() {
        let all = PixelBox {
            top: i32::MIN,
            bottom: i32::MAX,
            left: i32::MIN,
            right: i32::MAX,
        };
        let mut visits = 0;
        BoxIndex::new(&[all]).visit_near(&all, |_| visits += 1);
        assert_eq!(visits, 1);
    }
}
