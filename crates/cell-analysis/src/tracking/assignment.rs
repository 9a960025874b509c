//! The cheapest assignment of rows to columns of a cost matrix.

use ndarray::ArrayView2;

/// Why there is no assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssignmentError {
    /// An entry is NaN or minus infinity.
    #[error("matrix contains invalid numeric entries")]
    Invalid,
    /// Every assignment has an infinite cost.
    #[error("cost matrix is infeasible")]
    Infeasible,
}

/// The pairs `[row, column]` with the least total cost, in ascending order of rows; every row (or every column, if there
/// are fewer) has one. As `optimize.linear_sum_assignment` of `SciPy` 1.10.
///
/// Shortest augmenting paths with dual variables, after Crouse, "On implementing 2D rectangular assignment algorithms",
/// 2016. Of several assignments of the same cost this gives `SciPy`'s, which searches columns from the last to the first,
/// moves the last one into each gap, and of equally near columns takes the last free one, else the first.
///
/// Costs are widened to `f64`. The time is cubic at worst.
///
/// ```
/// # use cell_analysis::tracking::linear_sum_assignment;
/// # use ndarray::array;
/// let cost = array![[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]];
/// assert_eq!(linear_sum_assignment(cost.view()), Ok(vec![[0, 1], [1, 0], [2, 2]]));
/// ```
///
/// # Errors
///
/// [`AssignmentError::Invalid`] for an entry that is NaN or minus infinity, [`AssignmentError::Infeasible`] if every
/// assignment has an infinite cost.
pub fn linear_sum_assignment<T: Copy + Into<f64>>(
    cost: ArrayView2<'_, T>,
) -> Result<Vec<[usize; 2]>, AssignmentError> {
    if cost
        .iter()
        .any(|&entry| entry.into().is_nan() || entry.into() == f64::NEG_INFINITY)
    {
        return Err(AssignmentError::Invalid);
    }
    if cost.nrows() <= cost.ncols() {
        let columns = Solver::new(cost).solve()?;
        return Ok(columns
            .into_iter()
            .enumerate()
            .map(|(row, column)| [row, column])
            .collect());
    }
    let rows = Solver::new(cost.reversed_axes()).solve()?;
    let mut pairs: Vec<_> = rows
        .into_iter()
        .enumerate()
        .map(|(column, row)| [row, column])
        .collect();
    pairs.sort_unstable();
    Ok(pairs)
}

/// No row or column.
const NONE: usize = usize::MAX;

/// Columns that are looked at together.
const LANES: usize = 8;

/// A number for each of some columns.
type Block<T> = [T; LANES];

/// The search for one matrix, not taller than wide.
struct Solver {
    /// Rows one after the other, each filled up to whole blocks with infinity.
    cost: Vec<Block<f64>>,
    /// Dual variables of rows and columns.
    u: Vec<f64>,
    v: Vec<Block<f64>>,
    /// Column of each row, row of each column, or [`NONE`].
    column_of: Vec<usize>,
    row_of: Vec<usize>,
    path: Path,
}

/// Shortest paths from one row to the columns.
struct Path {
    /// Distances of the columns that are still open; infinite for others.
    open: Vec<Block<f64>>,
    /// The least of each block of them.
    least: Vec<f64>,
    /// Distances at which columns were closed.
    closed: Vec<f64>,
    /// Dual variables of the columns, minus infinity for those that are closed: no path leads there again.
    v: Vec<Block<f64>>,
    /// Open columns in the order in which they are looked at, and the place of each in it.
    order: Vec<usize>,
    place: Vec<usize>,
    /// Rows and columns that were reached, in this order, rows with the length of the way there.
    rows: Vec<(usize, f64)>,
    columns: Vec<usize>,
}

impl Solver {
    fn new<T: Copy + Into<f64>>(matrix: ArrayView2<'_, T>) -> Self {
        let (rows, columns) = matrix.dim();
        let blocks = columns.div_ceil(LANES);
        let mut cost = vec![[f64::INFINITY; LANES]; rows * blocks];
        for (row, costs) in matrix
            .outer_iter()
            .zip(cost.chunks_exact_mut(blocks.max(1)))
        {
            costs
                .as_flattened_mut()
                .iter_mut()
                .zip(row)
                .for_each(|(to, &from)| *to = from.into());
        }
        // All memory of the search is taken once; each row begins with a reset.
        let path = Path {
            open: vec![[0.0; LANES]; blocks],
            least: vec![0.0; blocks],
            closed: vec![0.0; columns],
            v: vec![[0.0; LANES]; blocks],
            order: Vec::with_capacity(columns),
            place: vec![0; columns],
            rows: Vec::new(),
            columns: Vec::new(),
        };
        let (u, v) = (vec![0.0; rows], vec![[0.0; LANES]; blocks]);
        Self {
            cost,
            u,
            v,
            column_of: vec![NONE; rows],
            row_of: vec![NONE; columns],
            path,
        }
    }

    /// The column of each row.
    fn solve(mut self) -> Result<Vec<usize>, AssignmentError> {
        for row in 0..self.u.len() {
            let (end, length) = self.search(row)?;
            let way = self.way();
            self.update_duals(row, length);
            self.augment(&way, end);
        }
        Ok(self.column_of)
    }

    /// The nearest column without a row, and the length of the way there.
    fn search(&mut self, start: usize) -> Result<(usize, f64), AssignmentError> {
        self.path.reset(&self.v);
        let blocks = self.v.len();
        let (mut row, mut length) = (start, 0.0);
        loop {
            self.path.rows.push((row, length));
            let costs = &self.cost[row * blocks..(row + 1) * blocks];
            length = self.path.relax(costs, [length, self.u[row]]);
            if length == f64::INFINITY {
                return Err(AssignmentError::Infeasible);
            }
            let column = self.path.nearest(length, &self.row_of);
            self.path.close(column);
            // The way goes on from the row that has the column now, which would have to give it up.
            row = self.row_of[column];
            if row == NONE {
                return Ok((column, length));
            }
        }
    }

    /// Keeps the reduced costs of assigned pairs at zero and all others at or above zero: only then is the shortest way the
    /// cheapest change.
    fn update_duals(&mut self, start: usize, length: f64) {
        self.u[start] += length;
        for &(row, _) in &self.path.rows[1..] {
            self.u[row] += length - self.path.closed[self.column_of[row]];
        }
        let v = self.v.as_flattened_mut();
        for &column in &self.path.columns {
            v[column] -= length - self.path.closed[column];
        }
    }

    /// The rows on the way to the column that was reached last, last one first.
    ///
    /// A column was nearest from the first row that gives its distance. That is found anew here, since most columns are
    /// never asked.
    fn way(&self) -> Vec<usize> {
        let Path {
            rows,
            columns,
            closed,
            ..
        } = &self.path;
        let mut way = Vec::new();
        let mut before = columns.len();
        while let Some(step) = before.checked_sub(1) {
            let (block, lane) = (columns[step] / LANES, columns[step] % LANES);
            let is_nearest = |&(row, length): &(usize, f64)| {
                let cost = self.cost[row * self.v.len() + block][lane];
                length + cost - self.u[row] - self.v[block][lane] == closed[columns[step]]
            };
            // The row of this number was reached by the column before it.
            before = rows[..=step].iter().position(is_nearest).unwrap_or(0);
            way.push(rows[before].0);
        }
        way
    }

    /// Gives the free column to the last row on the way; the column that this one had goes to the row before it, and so on.
    fn augment(&mut self, way: &[usize], end: usize) {
        let mut column = end;
        for &row in way {
            self.row_of[column] = row;
            std::mem::swap(&mut self.column_of[row], &mut column);
        }
    }
}

impl Path {
    fn reset(&mut self, v: &[Block<f64>]) {
        self.open.fill([f64::INFINITY; LANES]);
        self.least.fill(f64::INFINITY);
        self.v.copy_from_slice(v);
        self.order.clear();
        self.order.extend((0..self.place.len()).rev());
        for (place, &column) in self.order.iter().enumerate() {
            self.place[column] = place;
        }
        self.rows.clear();
        self.columns.clear();
    }

    /// Shortens ways that are shorter through a row, of these costs and this dual variable; returns the least distance of an
    /// open column.
    fn relax(&mut self, costs: &[Block<f64>], [length, u]: [f64; 2]) -> f64 {
        let mut nearest = f64::INFINITY;
        let blocks = costs
            .iter()
            .zip(&self.v)
            .zip(&mut self.open)
            .zip(&mut self.least);
        for (((costs, v), open), least) in blocks {
            for lane in 0..LANES {
                open[lane] = less(length + costs[lane] - u - v[lane], open[lane]);
            }
            *least = least_of(open);
            nearest = less(*least, nearest);
        }
        nearest
    }

    /// Of the open columns at this distance the last one without a row in the order, else the first one.
    fn nearest(&self, distance: f64, row_of: &[usize]) -> usize {
        let mut first = NONE;
        let mut last_free = None;
        for (block, open) in self
            .open
            .iter()
            .enumerate()
            .filter(|(block, _)| self.least[*block] == distance)
        {
            for (lane, _) in open
                .iter()
                .enumerate()
                .filter(|(_, open)| **open == distance)
            {
                let column = block * LANES + lane;
                let place = self.place[column];
                first = first.min(place);
                if row_of[column] == NONE {
                    last_free = last_free.max(Some(place));
                }
            }
        }
        self.order[last_free.unwrap_or(first)]
    }

    fn close(&mut self, column: usize) {
        let (block, lane) = (column / LANES, column % LANES);
        self.closed[column] = self.open[block][lane];
        self.open[block][lane] = f64::INFINITY;
        self.least[block] = least_of(&self.open[block]);
        self.v[block][lane] = f64::NEG_INFINITY;
        self.columns.push(column);
        let gap = self.place[column];
        self.order.swap_remove(gap);
        if let Some(&moved) = self.order.get(gap) {
            self.place[moved] = gap;
        }
    }
}

fn least_of(distances: &Block<f64>) -> f64 {
    let pairs: [f64; LANES / 2] =
        std::array::from_fn(|lane| less(distances[lane], distances[lane + LANES / 2]));
    less(less(pairs[0], pairs[2]), less(pairs[1], pairs[3]))
}

/// The lesser of two numbers, in one instruction; neither is NaN.
fn less(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    /// The least cost of giving each of `rows` another column, trying all.
    fn brute_force(cost: &Array2<f64>, row: usize, taken: &mut Vec<bool>) -> f64 {
        if row == cost.nrows() {
            return 0.0;
        }
        let mut least = f64::INFINITY;
        for column in 0..cost.ncols() {
            if !taken[column] {
                taken[column] = true;
                least = least.min(cost[[row, column]] + brute_force(cost, row + 1, taken));
                taken[column] = false;
            }
        }
        least
    }

    /// The search order as `SciPy` has it, one column at a time.
    fn slow(cost: &Array2<f64>) -> Vec<usize> {
        let (rows, columns) = cost.dim();
        let (mut u, mut v) = (vec![0.0; rows], vec![0.0; columns]);
        let (mut column_of, mut row_of) = (vec![NONE; rows], vec![NONE; columns]);
        for start in 0..rows {
            let mut order: Vec<usize> = (0..columns).rev().collect();
            let (mut distance, mut from) = (vec![f64::INFINITY; columns], vec![NONE; columns]);
            let (mut reached, mut closed) = (vec![], vec![]);
            let (mut row, mut low) = (start, 0.0);
            let end = loop {
                reached.push(row);
                let (mut best, mut place) = (f64::INFINITY, NONE);
                for (k, &column) in order.iter().enumerate() {
                    let t = low + cost[[row, column]] - u[row] - v[column];
                    if t < distance[column] {
                        (distance[column], from[column]) = (t, row);
                    }
                    let tie = distance[column] == best && row_of[column] == NONE;
                    if distance[column] < best || tie {
                        (best, place) = (distance[column], k);
                    }
                }
                low = best;
                let column = order.swap_remove(place);
                closed.push(column);
                row = row_of[column];
                if row == NONE {
                    break column;
                }
            };
            u[start] += low;
            for &row in &reached[1..] {
                u[row] += low - distance[column_of[row]];
            }
            for &column in &closed {
                v[column] -= low - distance[column];
            }
            let mut column = end;
            loop {
                let row = from[column];
                row_of[column] = row;
                std::mem::swap(&mut column_of[row], &mut column);
                if row == start {
                    break;
                }
            }
        }
        column_of
    }

    fn costs(side: usize) -> impl Strategy<Value = Array2<f64>> {
        let entry = prop_oneof![(0..3_i32).prop_map(f64::from), -5.0..5.0_f64, Just(1.0)];
        (
            1..=side,
            0..4_usize,
            proptest::collection::vec(entry, side * (side + 3)),
        )
            .prop_map(|(rows, more, values)| {
                let columns = rows + more;
                Array2::from_shape_fn((rows, columns), |(row, column)| {
                    values[row * columns + column]
                })
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn nothing_is_cheaper(cost in costs(6)) {
            let pairs = linear_sum_assignment(cost.view()).expect("costs are finite");
            let total: f64 = pairs.iter().map(|&pair| cost[pair]).sum();
            let least = brute_force(&cost, 0, &mut vec![false; cost.ncols()]);
            prop_assert!((total - least).abs() < 1e-9, "{total} instead of {least}");
        }

        #[test]
        fn ties_go_as_in_a_search_column_by_column(cost in costs(24)) {
            let pairs = linear_sum_assignment(cost.view()).expect("costs are finite");
            let columns: Vec<usize> = pairs.into_iter().map(|[_, column]| column).collect();
            prop_assert_eq!(columns, slow(&cost));
        }

        #[test]
        fn a_tall_matrix_is_solved_as_the_wide_one_it_turns_into(cost in costs(8)) {
            prop_assume!(cost.nrows() < cost.ncols());
            let wide = linear_sum_assignment(cost.view()).expect("costs are finite");
            let tall = linear_sum_assignment(cost.t()).expect("costs are finite");
            let mut turned: Vec<_> = wide.into_iter().map(|[row, column]| [column, row]).collect();
            turned.sort_unstable();
            prop_assert_eq!(tall, turned);
        }
    }

    #[test]
    fn entries_that_are_no_costs_are_refused() {
        assert_eq!(
            linear_sum_assignment(array![[f32::NAN]].view()),
            Err(AssignmentError::Invalid)
        );
        assert_eq!(
            linear_sum_assignment(array![[f64::NEG_INFINITY]].view()),
            Err(AssignmentError::Invalid)
        );
        let shut = array![[1.0, f64::INFINITY], [2.0, f64::INFINITY]];
        assert_eq!(
            linear_sum_assignment(shut.view()),
            Err(AssignmentError::Infeasible)
        );
    }

    #[test]
    fn nothing_is_assigned_to_nothing() {
        assert_eq!(
            linear_sum_assignment(Array2::<f64>::zeros((0, 0)).view()),
            Ok(vec![])
        );
        assert_eq!(
            linear_sum_assignment(Array2::<f64>::zeros((3, 0)).view()),
            Ok(vec![])
        );
    }
}
