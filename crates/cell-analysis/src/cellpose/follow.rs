//! Follows the flows of a network: where every pixel of a cell ends up.
//!
//! Border: positions; which of them are one cell is `peaks`.

use fearless_simd::{Level, Simd, dispatch, f32x4, f32x8, prelude::*, u32x8};
use ndarray::{Array2, ArrayView2, ArrayView3};
use rayon::prelude::*;

/// Where the pixels of a mask `[row, column]` end up that follow `flows`, `[2, row, column]` in pixels per step, rows first.
///
/// The result is `[2, pixel]` in pixels, rows first, the pixels in row-major order. Each of `steps` Euler steps adds the
/// flow at the position, interpolated bilinearly, and stays in the image. As in Cellpose, a position counts from 0 to 1
/// less than the side, but is read as if it counted from −½ to ½ less than the side, so that pixels drift outward where
/// nothing flows. All is done in `f32` with fused multiply-adds where torch's AVX kernels have them, so that results equal
/// Cellpose's (`follow_flows`) to the last bit. Along a side of one pixel a position is not a number, as there.
///
/// # Panics
/// If mask and flows differ in shape, or have 2³² pixels or more.
#[must_use]
pub fn follow_flows(
    flows: ArrayView3<'_, f32>,
    mask: ArrayView2<'_, bool>,
    steps: u32,
) -> Array2<f32> {
    let (rows, columns) = mask.dim();
    assert_eq!(flows.dim(), (2, rows, columns), "flows of the mask");
    let field = Field::new([rows, columns], |[row, column]| {
        [flows[[0, row, column]], flows[[1, row, column]]]
    });
    let field = field.expect("a plane of less than 2³² pixels");
    let inside = mask.indexed_iter().filter(|&(_, &inside)| inside);
    let mut points: Vec<[f32; 2]> = inside
        .map(|((row, column), _)| [row as f32, column as f32])
        .collect();
    points
        .par_chunks_mut(BATCH)
        .for_each(|points| field.follow(points, steps));
    Array2::from_shape_fn((2, points.len()), |(axis, pixel)| points[pixel][axis])
}

/// Points that are followed side by side.
pub(super) const BATCH: usize = 512;

/// Points in one register.
const LANES: usize = 8;

/// The flows of an image, ready to be followed.
pub(super) struct Field {
    /// Flow of every pixel, in halves of the image per step, with a margin of zeros: no position lies beyond it.
    cells: Vec<[f32; 2]>,
    /// Pixels from one row of `cells` to the next.
    stride: usize,
    /// Rows and columns of the image, less 1.
    last: [f32; 2],
    /// Half the rows and half the columns.
    half: [f32; 2],
}

impl Field {
    /// A field of `[rows, columns]`, the flow of every pixel in pixels per step; `None` if there are too many pixels.
    pub(super) fn new(
        [rows, columns]: [usize; 2],
        flow: impl Fn([usize; 2]) -> [f32; 2] + Sync,
    ) -> Option<Self> {
        let stride = columns.checked_add(2)?;
        let count = rows.checked_add(2)?.checked_mul(stride)?;
        u32::try_from(count).ok()?;
        let last = [rows, columns].map(|length| length as f32 - 1.0);
        // Quotient in f64, as of Python's numbers; on a side of one pixel it is infinite.
        let scale = last.map(|last| (2.0 / f64::from(last)) as f32);
        let mut cells = vec![[0.0; 2]; count];
        let lines = cells.par_chunks_mut(stride).skip(1).take(rows).enumerate();
        lines.for_each(|(row, line)| {
            for (column, cell) in line[1..=columns].iter_mut().enumerate() {
                let [down, across] = flow([row, column]);
                *cell = [down * scale[0], across * scale[1]];
            }
        });
        Some(Self {
            cells,
            stride,
            last,
            half: [rows as f32 / 2.0, columns as f32 / 2.0],
        })
    }

    /// Moves points, `[row, column]` in pixels, by so many steps; at most [`BATCH`] points.
    pub(super) fn follow(&self, points: &mut [[f32; 2]], steps: u32) {
        self.follow_with(Level::new(), points, steps);
    }

    /// [`Field::follow`] with the instructions of `level`, on which the result does not depend.
    fn follow_with(&self, level: Level, points: &mut [[f32; 2]], steps: u32) {
        let mut batch = Batch::new(points, self.last, steps);
        dispatch!(level, simd => simd.vectorize(
            #[inline(always)]
            || follow_batch(simd, self, &mut batch)
        ));
        for (point, at) in points.iter_mut().zip(batch.ends) {
            *point = [0, 1].map(|axis| (at[axis] + 1.0) * 0.5 * self.last[axis]);
        }
    }
}

/// Points on their way.
struct Batch {
    /// Positions from −1 to 1, columns and rows, of the points that still move.
    x: [f32; BATCH],
    y: [f32; BATCH],
    /// Steps that they have left.
    left: [u32; BATCH],
    /// Their places in `ends`.
    home: [usize; BATCH],
    /// How many they are.
    count: usize,
    /// Where the others stopped, rows first.
    ends: [[f32; 2]; BATCH],
}

impl Batch {
    fn new(points: &[[f32; 2]], last: [f32; 2], steps: u32) -> Self {
        let mut batch = Self {
            x: [0.0; BATCH],
            y: [0.0; BATCH],
            left: [0; BATCH],
            home: std::array::from_fn(|place| place),
            count: points.len().min(BATCH),
            ends: [[0.0; 2]; BATCH],
        };
        for (place, point) in points.iter().enumerate().take(BATCH) {
            let [y, x] = [0, 1].map(|axis| point[axis] / last[axis] * 2.0 - 1.0);
            (batch.y[place], batch.x[place], batch.left[place]) = (y, x, steps);
        }
        batch.retire();
        batch
    }

    /// Takes out the points that have no steps left.
    fn retire(&mut self) {
        let mut kept = 0;
        for place in 0..self.count {
            if self.left[place] == 0 {
                self.ends[self.home[place]] = [self.y[place], self.x[place]];
                continue;
            }
            (self.x[kept], self.y[kept]) = (self.x[place], self.y[place]);
            (self.left[kept], self.home[kept]) = (self.left[place], self.home[place]);
            kept += 1;
        }
        self.left[kept..self.count].fill(0);
        self.count = kept;
    }
}

/// Moves all points of a batch to their ends.
#[inline(always)]
fn follow_batch<S: Simd>(simd: S, field: &Field, batch: &mut Batch) {
    // Most points soon go round in a short cycle near the middle of their cell: rounds are short at first, to see it
    // early, and then longer, to see longer cycles.
    let mut done = 0;
    while batch.count > 0 {
        let round = (done / 4).max(8);
        let groups = batch.count.div_ceil(LANES);
        let x = batch.x.as_chunks_mut::<LANES>().0;
        let y = batch.y.as_chunks_mut::<LANES>().0;
        let left = batch.left.as_chunks_mut::<LANES>().0;
        for ((x, y), left) in x.iter_mut().zip(y).zip(left).take(groups) {
            advance(simd, field, [y, x], (left, round));
        }
        batch.retire();
        done += round;
    }
}

/// Moves a few points by at most `round` of the steps that they have left.
///
/// A point that comes back to where the round began would come back again and again: all whole cycles are left out.
#[inline(always)]
fn advance<S: Simd>(
    simd: S,
    field: &Field,
    [ys, xs]: [&mut [f32; LANES]; 2],
    (left, round): (&mut [u32; LANES], u32),
) {
    let first = [f32x8::load_array(simd, *ys), f32x8::load_array(simd, *xs)];
    let steps = u32x8::load_array(simd, *left);
    let mut periods = u32x8::splat(simd, 0);
    let mut at = first;
    for step in 1..=round {
        let next = moved(simd, field, at);
        let moves = steps.simd_ge(step);
        at = [moves.select(next[0], at[0]), moves.select(next[1], at[1])];
        let is_back = at[0].simd_eq(first[0]) & at[1].simd_eq(first[1]);
        let is_news = moves & periods.simd_eq(0);
        periods = (is_back & is_news).select(u32x8::splat(simd, step), periods);
    }
    (*ys, *xs) = (at[0].to_array(), at[1].to_array());
    for (left, period) in left.iter_mut().zip(periods.to_array()) {
        *left = left.saturating_sub(round);
        *left = left.checked_rem(period).unwrap_or(*left);
    }
}

/// Positions one step later.
#[inline(always)]
fn moved<S: Simd>(simd: S, field: &Field, [y, x]: [f32x8<S>; 2]) -> [f32x8<S>; 2] {
    let (north, row) = place(simd, y, field.half[0]);
    let (west, column) = place(simd, x, field.half[1]);
    // The margin moves everything by a row and a column. What is not a number may have any place.
    let stride = field.stride as u32;
    let at = (row + 1) * stride + (column + 1);
    let limit = (field.cells.len() - field.stride - 2) as u32;
    let at = at.min(u32x8::splat(simd, limit)).to_array();
    let [upper_left, upper_right] = pixels(simd, field, at, 0);
    let [lower_left, lower_right] = pixels(simd, field, at, field.stride);
    let one = f32x8::splat(simd, 1.0);
    let (east, south) = (one - west, one - north);
    let weights = [east * south, west * south, east * north, west * north];
    let flow = |axis: usize| {
        [
            upper_left[axis],
            upper_right[axis],
            lower_left[axis],
            lower_right[axis],
        ]
    };
    [
        clamped(simd, y + mean(flow(0), weights)),
        clamped(simd, x + mean(flow(1), weights)),
    ]
}

/// The pixel before a position from −1 to 1, and how far behind it the position lies.
#[inline(always)]
fn place<S: Simd>(simd: S, position: f32x8<S>, half: f32) -> (f32x8<S>, u32x8<S>) {
    let position = (position + 1.0).mul_add_precise(half, f32x8::splat(simd, -0.5));
    let floor = position.floor();
    let pixel: fearless_simd::i32x8<S> = floor.to_int();
    (position - floor, pixel.bitcast())
}

/// The flows of two neighboring pixels of a row for each place, rows and columns apart.
#[inline(always)]
fn pixels<S: Simd>(simd: S, field: &Field, at: [u32; LANES], offset: usize) -> [[f32x8<S>; 2]; 2] {
    let [a, b, c, d, e, f, g, h] = at.map(|at| at as usize + offset);
    let left = transposed([a, b, c, d].map(|at| pair(simd, field, at)));
    let right = transposed([e, f, g, h].map(|at| pair(simd, field, at)));
    [
        [left[0].combine(right[0]), left[1].combine(right[1])],
        [left[2].combine(right[2]), left[3].combine(right[3])],
    ]
}

#[inline(always)]
fn pair<S: Simd>(simd: S, field: &Field, at: usize) -> f32x4<S> {
    match field.cells.get(at..at + 2) {
        Some(&[[a, b], [c, d]]) => f32x4::load_array(simd, [a, b, c, d]),
        _ => f32x4::splat(simd, 0.0),
    }
}

#[inline(always)]
fn transposed<S: Simd>([a, b, c, d]: [f32x4<S>; 4]) -> [f32x4<S>; 4] {
    let ((even_low, even_high), (odd_low, odd_high)) = (a.interleave(c), b.interleave(d));
    let ((first, second), (third, fourth)) =
        (even_low.interleave(odd_low), even_high.interleave(odd_high));
    [first, second, third, fourth]
}

/// The sum of four weighted values, in torch's order.
#[inline(always)]
fn mean<S: Simd>(values: [f32x8<S>; 4], weights: [f32x8<S>; 4]) -> f32x8<S> {
    let sum = values[0] * weights[0];
    let sum = values[1].mul_add_precise(weights[1], sum);
    let sum = values[2].mul_add_precise(weights[2], sum);
    values[3].mul_add_precise(weights[3], sum)
}

/// Values from −1 to 1; what is not a number stays so.
#[inline(always)]
fn clamped<S: Simd>(simd: S, values: f32x8<S>) -> f32x8<S> {
    let low = values.simd_lt(-1.0);
    let values = low.select(f32x8::splat(simd, -1.0), values);
    let high = values.simd_gt(1.0);
    high.select(f32x8::splat(simd, 1.0), values)
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use proptest::prelude::*;

    use super::*;

    /// One point after the other, step by step.
    fn slowly(flows: &Array3<f32>, mask: &Array2<bool>, steps: u32) -> Array2<f32> {
        let (rows, columns) = mask.dim();
        let last = [rows, columns].map(|length| length as f32 - 1.0);
        let flow = |axis: usize, row: f32, column: f32| {
            let inside = row >= 0.0 && column >= 0.0 && row <= last[0] && column <= last[1];
            let flow = inside.then(|| flows[[axis, row as usize, column as usize]]);
            flow.unwrap_or(0.0) * (2.0 / f64::from(last[axis])) as f32
        };
        let mut ends = Vec::new();
        for ((row, column), _) in mask.indexed_iter().filter(|&(_, &inside)| inside) {
            let mut at = [
                row as f32 / last[0] * 2.0 - 1.0,
                column as f32 / last[1] * 2.0 - 1.0,
            ];
            for _ in 0..steps {
                let [y, x] = [(at[0], rows), (at[1], columns)]
                    .map(|(at, length)| (at + 1.0).mul_add(length as f32 / 2.0, -0.5));
                let (top, left) = (y.floor(), x.floor());
                let (n, w) = (y - top, x - left);
                let (s, e) = (1.0 - n, 1.0 - w);
                at = std::array::from_fn(|axis| {
                    let sum = flow(axis, top, left) * (e * s);
                    let sum = flow(axis, top, left + 1.0).mul_add(w * s, sum);
                    let sum = flow(axis, top + 1.0, left).mul_add(e * n, sum);
                    let sum = flow(axis, top + 1.0, left + 1.0).mul_add(w * n, sum);
                    (at[axis] + sum).clamp(-1.0, 1.0)
                });
            }
            ends.push([0, 1].map(|axis| (at[axis] + 1.0) * 0.5 * last[axis]));
        }
        Array2::from_shape_fn((2, ends.len()), |(axis, pixel)| ends[pixel][axis])
    }

    /// Flows and a mask: smooth or rough, strong or weak, with pixels that rest, turn round or leave.
    fn fields() -> impl Strategy<Value = (Array3<f32>, Array2<bool>)> {
        let values = proptest::collection::vec(-1000..1000_i32, 3 * 15 * 15);
        let scale = prop_oneof![Just(0.0_f32), Just(1e-30), Just(1e-3), Just(1.0), Just(3.0)];
        let steps = prop_oneof![Just(1), Just(500), Just(1000)];
        (2..15_usize, 2..15_usize, values, scale, steps).prop_map(
            |(rows, columns, values, scale, step)| {
                let value = |(head, row, column)| values[(head * 15 + row) * 15 + column];
                let flows = Array3::from_shape_fn((2, rows, columns), |at| {
                    (value(at) / step * step) as f32 / 1000.0 * scale
                });
                let mask = Array2::from_shape_fn((rows, columns), |(r, c)| value((2, r, c)) > -500);
                (flows, mask)
            },
        )
    }

    fn bits(positions: &Array2<f32>) -> Array2<u32> {
        positions.mapv(f32::to_bits)
    }

    proptest! {
        #[test]
        fn points_end_where_single_steps_lead((flows, mask) in fields(), steps in 0..400_u32) {
            let ends = follow_flows(flows.view(), mask.view(), steps);
            prop_assert_eq!(bits(&ends), bits(&slowly(&flows, &mask, steps)));
        }

        #[test]
        fn ends_do_not_depend_on_instructions((flows, mask) in fields(), steps in 0..400_u32) {
            let (rows, columns) = mask.dim();
            let field = Field::new([rows, columns], |[r, c]| [flows[[0, r, c]], flows[[1, r, c]]]).unwrap();
            let points: Vec<[f32; 2]> = (0..rows * columns)
                .map(|at| [(at / columns) as f32, (at % columns) as f32])
                .collect();
            let [mut best, mut least] = [points.clone(), points];
            field.follow_with(Level::new(), &mut best, steps);
            field.follow_with(Level::baseline(), &mut least, steps);
            let bits = |points: &[[f32; 2]]| points.concat().iter().map(|at| at.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&best), bits(&least));
        }

        #[test]
        fn values_that_are_no_numbers_do_not_matter_elsewhere(
            (flows, mask) in fields(), odd in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::MIN)],
        ) {
            let mut flows = flows;
            flows[[0, 0, 0]] = odd;
            let ends = follow_flows(flows.view(), mask.view(), 30);
            let inside = mask.iter().filter(|&&inside| inside).count();
            prop_assert_eq!(ends.dim(), (2, inside));
            let last = [mask.nrows(), mask.ncols()].map(|length| length as f32 - 1.0);
            for (axis, row) in ends.outer_iter().enumerate() {
                prop_assert!(row.iter().all(|&at| at.is_nan() || (0.0..=last[axis]).contains(&at)));
            }
        }
    }

    #[test]
    fn more_points_than_one_batch_are_followed() {
        let flows = Array3::from_shape_fn((2, 40, 50), |(axis, row, column)| {
            ((row * 7 + column * 3 + axis * 5) % 11) as f32 / 5.0 - 1.0
        });
        let mask = Array2::from_elem((40, 50), true);
        let ends = follow_flows(flows.view(), mask.view(), 200);
        assert_eq!(bits(&ends), bits(&slowly(&flows, &mask, 200)));
    }

    #[test]
    fn along_a_side_of_one_pixel_there_is_no_position() {
        let mask = Array2::from_elem((1, 9), true);
        let ends = follow_flows(Array3::zeros((2, 1, 9)).view(), mask.view(), 3);
        assert!(ends.iter().all(|at| at.is_nan()));
        let nothing = Array2::from_elem((0, 9), true);
        assert_eq!(
            follow_flows(Array3::zeros((2, 0, 9)).view(), nothing.view(), 3).dim(),
            (2, 0)
        );
    }
}
