//! What an image tells of its quality before its cells are known, so that nobody has to keep it until they are.

use ndarray::{ArrayView2, CowArray};
use rayon::prelude::*;

use crate::plane::as_row_major;

/// Pixels that the light in cells and outside is estimated from.
const SAMPLE: usize = 1 << 15;

/// Pixels that focus and saturation are estimated from, in whole rows.
const IN_ROWS: usize = 1 << 17;

/// What an image tells of its quality by itself: little, whatever its size.
///
/// Large images are looked at in part: every few rows for focus and saturation, some 33,000 pixels for the contrast.
#[derive(Clone, Debug)]
pub struct ImageQuality {
    rows: usize,
    columns: usize,
    sample: Vec<f32>,
    saturated: Option<f64>,
    focus: Option<f64>,
}

impl ImageQuality {
    /// Looks at an image `[row, column]`; `type_maximum` is the largest value that the type of the file's pixels has, if they
    /// are integers.
    #[must_use]
    pub fn of(image: ArrayView2<'_, f32>, type_maximum: Option<f32>) -> Self {
        let (rows, columns) = image.dim();
        let image = CowArray::from(image.as_standard_layout());
        let values = as_row_major(&image);
        let sample: Vec<f32> = places(rows, columns).map(|place| values[place]).collect();
        let shift = median(finite(&sample)).unwrap_or(0.0);
        let step = values.len().div_ceil(IN_ROWS).max(1);
        Self {
            rows,
            columns,
            saturated: type_maximum.and_then(|most| saturated(values, columns, step, most)),
            focus: focus(values, columns, step, shift),
            sample,
        }
    }

    /// Rows and columns of the image.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    pub(super) fn saturated(&self) -> Option<f64> {
        self.saturated
    }

    pub(super) fn focus(&self) -> Option<f64> {
        self.focus
    }

    /// The median in cells less that outside, over the median absolute deviation outside; `labels` are those of all pixels, row
    /// by row. Nothing if there are no cells, nothing else, or if what is outside is all the same.
    pub(super) fn contrast(&self, labels: &[u32]) -> Option<f64> {
        let places = places(self.rows, self.columns);
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for (place, &value) in places
            .zip(&self.sample)
            .filter(|(_, value)| value.is_finite())
        {
            let side = if labels[place] == 0 {
                &mut outside
            } else {
                &mut inside
            };
            side.push(value);
        }
        let (inside, background) = (median(inside)?, median(outside.clone())?);
        let deviations = outside.iter().map(|value| (value - background).abs());
        let deviation = f64::from(median(deviations.collect())?);
        let contrast = (f64::from(inside) - f64::from(background)) / deviation;
        contrast.is_finite().then_some(contrast)
    }
}

/// Places of pixels on a grid whose rows are shifted against each other, so that no pattern of the image fits it.
fn places(rows: usize, columns: usize) -> impl Iterator<Item = usize> {
    let step = ((rows * columns) as f64 / SAMPLE as f64)
        .sqrt()
        .ceil()
        .max(1.0) as usize;
    (step / 2..rows).step_by(step).flat_map(move |row| {
        let first = ((row * 0x9e37) >> 3) % step;
        (first..columns)
            .step_by(step)
            .map(move |column| row * columns + column)
    })
}

fn finite(values: &[f32]) -> Vec<f32> {
    values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect()
}

/// The upper median; nothing of no values.
fn median(mut values: Vec<f32>) -> Option<f32> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// The share of pixels that are not below `most`, of every few rows.
fn saturated(values: &[f32], columns: usize, step: usize, most: f32) -> Option<f64> {
    let lines = || values.chunks_exact(columns.max(1)).step_by(step);
    let count = |line: &[f32]| line.iter().filter(|value| **value >= most).count();
    let pixels = lines().count() * columns;
    (pixels > 0).then(|| lines().map(count).sum::<usize>() as f64 / pixels as f64)
}

/// The variance of the Laplacian over that of the light, of every few rows without the border; nothing if all are the same.
///
/// `shift` is near the mean of the light, so that few digits are lost to it.
fn focus(values: &[f32], columns: usize, step: usize, shift: f32) -> Option<f64> {
    let rows = values.len() / columns.max(1);
    if rows < 3 || columns < 3 {
        return None;
    }
    let inner: Vec<usize> = (1..rows - 1).step_by(step).collect();
    let line = |row: usize| &values[row * columns..(row + 1) * columns];
    let sums: Vec<[f64; 4]> = inner
        .par_iter()
        .with_min_len(64)
        .map(|&row| row_sums([line(row - 1), line(row), line(row + 1)], shift))
        .collect();
    let mut sum = [0.0; 4];
    sums.iter()
        .flatten()
        .enumerate()
        .for_each(|(at, part)| sum[at % 4] += part);
    let pixels = (inner.len() * (columns - 2)) as f64;
    let variance = |sum: f64, squares: f64| squares / pixels - (sum / pixels).powi(2);
    let focus = variance(sum[0], sum[1]) / variance(sum[2], sum[3]);
    focus.is_finite().then_some(focus)
}

/// Sums of the Laplacian, its squares, the light and its squares in the middle row of three.
fn row_sums([above, here, below]: [&[f32]; 3], shift: f32) -> [f64; 4] {
    let inner = here.len() - 2;
    let sides = [
        &above[1..=inner],
        &below[1..=inner],
        &here[..inner],
        &here[2..],
        &here[1..=inner],
    ];
    let blocks = sides.map(|side| side.as_chunks::<8>());
    let mut lanes = [[0.0_f32; 8]; 4];
    for at in 0..blocks[0].0.len() {
        let block = blocks.map(|(blocks, _)| blocks[at]);
        add(&mut lanes, block, shift);
    }
    let mut sums = lanes.map(|lanes| lanes.iter().map(|&lane| f64::from(lane)).sum());
    for at in 0..blocks[0].1.len() {
        let mut rest = [[0.0; 1]; 4];
        add(&mut rest, blocks.map(|(_, rest)| [rest[at]]), shift);
        sums.iter_mut()
            .zip(rest)
            .for_each(|(sum, [rest])| *sum += f64::from(rest));
    }
    sums
}

/// Adds pixels with those above, below, on the left and on the right of them.
#[inline]
fn add<const N: usize>(
    sums: &mut [[f32; N]; 4],
    [up, down, left, right, here]: [[f32; N]; 5],
    shift: f32,
) {
    for lane in 0..N {
        let laplacian = up[lane] + down[lane] + left[lane] + right[lane] - 4.0 * here[lane];
        let light = here[lane] - shift;
        sums[0][lane] += laplacian;
        sums[1][lane] += laplacian * laplacian;
        sums[2][lane] += light;
        sums[3][lane] += light * light;
    }
}
