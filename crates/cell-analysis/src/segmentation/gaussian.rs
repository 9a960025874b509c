//! Gaussian smoothing, as `ndimage.gaussian_filter` of `SciPy` 1.10 does it with `truncate = 4`.
//!
//! Border: separable filtering of one plane or of interleaved channels; nothing else.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::plane::{as_row_major, from_values, reflect_half_sample, vectorized, zeros};

/// What lies outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Border {
    /// The mirror image, edge sample repeated.
    Mirror,
    /// Zeros.
    Zero,
}

/// A plane `[row, column]` smoothed with a Gaussian of standard deviation `sigma` pixels, as
/// `SciPy`'s `gaussian_filter` with `mode="reflect"`.
///
/// The kernel ends at `trunc(4 * sigma + 0.5)` pixels; outside the image lies its mirror
/// image, edge pixels repeated. Rows axis first, then columns; each pass sums in `f64` from
/// the outermost pair inwards and rounds to `f32` once, so the result is bit-equal to
/// `SciPy`'s. A `sigma` of up to 1e-15 copies.
#[must_use]
pub fn gaussian_filter(image: ArrayView2<'_, f32>, sigma: f64) -> Array2<f32> {
    let image = image.as_standard_layout();
    let (rows, columns) = image.dim();
    let smoothing = Smoothing::new(
        as_row_major(&image),
        [rows, columns, 1],
        [sigma; 2],
        Border::Mirror,
    );
    let mut smooth = zeros(image.len());
    let rows_of_smooth = smooth.par_chunks_mut(columns.max(1)).enumerate();
    rows_of_smooth.for_each_init(
        || smoothing.buffers(),
        |buffers, (row, out)| {
            let sums = smoothing.row(row, buffers);
            vectorized(
                #[inline(always)]
                || {
                    out.iter_mut()
                        .zip(sums)
                        .for_each(|(to, &sum)| *to = sum as f32);
                },
            );
        },
    );
    from_values([rows, columns], smooth)
}

/// The rows of `[row, column, channel]` values, smoothed when they are asked for.
pub(super) struct Smoothing<'a> {
    image: &'a [f32],
    shape: [usize; 3],
    down: Vec<f64>,
    across: Vec<f64>,
    border: Border,
}

impl<'a> Smoothing<'a> {
    /// With one sigma for rows and one for columns.
    pub(super) fn new(
        image: &'a [f32],
        shape: [usize; 3],
        sigmas: [f64; 2],
        border: Border,
    ) -> Self {
        Self {
            image,
            shape,
            down: half_kernel(sigmas[0]),
            across: half_kernel(sigmas[1]),
            border,
        }
    }

    /// What [`Self::row`] works in: a row with both margins, and its sums.
    pub(super) fn buffers(&self) -> (Vec<f64>, Vec<f64>) {
        let [_, columns, channels] = self.shape;
        let margin = (self.across.len() - 1) * channels;
        (
            vec![0.0; columns * channels + 2 * margin],
            vec![0.0; columns * channels],
        )
    }

    /// One row, whose values are still to be rounded to `f32`.
    pub(super) fn row<'b>(
        &self,
        row: usize,
        (padded, sums): &'b mut (Vec<f64>, Vec<f64>),
    ) -> &'b [f64] {
        let [rows, columns, channels] = self.shape;
        let (width, margin) = (columns * channels, (self.across.len() - 1) * channels);
        let source = |offset| {
            source_row(
                self.image,
                [rows, width],
                self.border,
                row as isize + offset,
            )
        };
        // The pass over rows ends in `f32`, as an array between both passes would.
        vectorized(
            #[inline(always)]
            || {
                add_rows(sums, &self.down, source);
                let middle = &mut padded[margin..margin + width];
                middle
                    .iter_mut()
                    .zip(&*sums)
                    .for_each(|(to, &sum)| *to = f64::from(sum as f32));
            },
        );
        extend(padded, [columns, channels], self.border);
        vectorized(
            #[inline(always)]
            || add_columns(sums, padded, &self.across, channels),
        );
        sums
    }
}

/// Weights of the offsets `0..=radius`; the whole kernel sums to one.
fn half_kernel(sigma: f64) -> Vec<f64> {
    if sigma <= 1e-15 {
        return vec![1.0];
    }
    let radius = (4.0 * sigma + 0.5) as i64;
    let kernel: Vec<f64> = (-radius..=radius)
        .map(|k| (-0.5 / (sigma * sigma) * (k * k) as f64).exp())
        .collect();
    let sum = pairwise_sum(&kernel);
    let half = &kernel[radius as usize..];
    half.iter().map(|weight| weight / sum).collect()
}

/// `NumPy`'s order of summation for a short array: eight lanes, then their tree.
fn pairwise_sum(values: &[f64]) -> f64 {
    if values.len() < 8 {
        return values.iter().sum();
    }
    let (blocks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for block in blocks {
        lanes
            .iter_mut()
            .zip(block)
            .for_each(|(lane, value)| *lane += value);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    let tree = ((a + b) + (c + d)) + ((e + f) + (g + h));
    rest.iter().fold(tree, |sum, value| sum + value)
}

fn source_row(
    image: &[f32],
    [rows, width]: [usize; 2],
    border: Border,
    row: isize,
) -> Option<&[f32]> {
    let inside = usize::try_from(row).ok().filter(|&row| row < rows);
    let row = match border {
        Border::Mirror => reflect_half_sample(row, rows),
        Border::Zero => inside?,
    };
    Some(&image[row * width..(row + 1) * width])
}

/// Weighted sum of the rows around the current one; a missing row is zero.
#[inline(always)]
fn add_rows<'a>(sums: &mut [f64], weights: &[f64], row: impl Fn(isize) -> Option<&'a [f32]>) {
    let center = row(0).unwrap_or_default();
    let first = weights[0];
    // From the outermost pair inwards; the pixel itself comes with the first pair.
    let mut offsets = (1..weights.len())
        .rev()
        .map(|k| (row(-(k as isize)), row(k as isize), weights[k]));
    match offsets.next() {
        // Three rows at once: there are often no more.
        Some((Some(above), Some(below), weight)) => {
            for (((sum, &x), &a), &b) in sums.iter_mut().zip(center).zip(above).zip(below) {
                *sum = f64::from(x) * first + (f64::from(a) + f64::from(b)) * weight;
            }
        }
        outermost => {
            sums.iter_mut()
                .zip(center)
                .for_each(|(sum, &x)| *sum = f64::from(x) * first);
            outermost.into_iter().for_each(|rows| add_pair(sums, rows));
        }
    }
    offsets.for_each(|rows| add_pair(sums, rows));
}

#[inline(always)]
fn add_pair(sums: &mut [f64], (above, below, weight): (Option<&[f32]>, Option<&[f32]>, f64)) {
    match (above, below) {
        (Some(above), Some(below)) => {
            for ((sum, &a), &b) in sums.iter_mut().zip(above).zip(below) {
                *sum += (f64::from(a) + f64::from(b)) * weight;
            }
        }
        (Some(one), None) | (None, Some(one)) => {
            sums.iter_mut()
                .zip(one)
                .for_each(|(sum, &x)| *sum += f64::from(x) * weight);
        }
        (None, None) => {}
    }
}

/// Fills both margins of a padded row.
fn extend(padded: &mut [f64], [columns, channels]: [usize; 2], border: Border) {
    let margin = (padded.len() - columns * channels) / 2;
    if border == Border::Zero {
        padded[..margin].fill(0.0);
        let end = padded.len() - margin;
        padded[end..].fill(0.0);
        return;
    }
    let reach = (margin / channels) as isize;
    let outside = (-reach..0).chain(columns as isize..columns as isize + reach);
    for column in outside {
        let to = (column + reach) as usize * channels;
        let from = margin + reflect_half_sample(column, columns) * channels;
        padded.copy_within(from..from + channels, to);
    }
}

/// Weighted sum of the samples around each one in a padded row.
#[inline(always)]
fn add_columns(sums: &mut [f64], padded: &[f64], weights: &[f64], channels: usize) {
    let margin = (weights.len() - 1) * channels;
    let first = weights[0];
    let pair = |k: usize| {
        (
            &padded[margin - k * channels..],
            &padded[margin + k * channels..],
            weights[k],
        )
    };
    let mut pairs = (1..weights.len()).rev().map(pair);
    match pairs.next() {
        Some((before, after, weight)) => {
            for (((sum, &x), &a), &b) in sums
                .iter_mut()
                .zip(&padded[margin..])
                .zip(before)
                .zip(after)
            {
                *sum = x * first + (a + b) * weight;
            }
        }
        None => sums
            .iter_mut()
            .zip(padded)
            .for_each(|(sum, &x)| *sum = x * first),
    }
    for (before, after, weight) in pairs {
        for ((sum, &a), &b) in sums.iter_mut().zip(before).zip(after) {
            *sum += (a + b) * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    /// One axis, straight from the definition.
    fn slow(image: &Array2<f32>, sigma: f64) -> Array2<f32> {
        let radius = (4.0 * sigma + 0.5) as isize;
        let weights: Vec<f64> = (-radius..=radius)
            .map(|k| (-0.5 / (sigma * sigma) * (k * k) as f64).exp())
            .collect();
        let sum: f64 = weights.iter().sum();
        let rows = image.nrows();
        Array2::from_shape_fn(image.dim(), |(row, column)| {
            let sample =
                |k: isize| f64::from(image[[reflect_half_sample(row as isize + k, rows), column]]);
            (-radius..=radius)
                .map(|k| sample(k) * weights[(k + radius) as usize] / sum)
                .sum::<f64>() as f32
        })
    }

    proptest! {
        #[test]
        fn both_passes_follow_the_definition(image in strategies::plane(12), sigma in 0.2..3.0_f64) {
            let across = slow(&slow(&image, sigma).reversed_axes(), sigma).reversed_axes();
            let smooth = gaussian_filter(image.view(), sigma);
            let close = smooth.iter().zip(&across).all(|(a, b)| (a - b).abs() <= 3e-7);
            prop_assert!(close, "{smooth} is not {across}");
        }
    }

    #[test]
    fn weights_of_sigma_one_are_those_of_scipy() {
        let expected = [
            0.39894346935609776,
            0.24197144565660073,
            0.053991127420704395,
            0.004431861620031266,
            0.00013383062461474175,
        ];
        let weights = half_kernel(1.0);
        assert_eq!(weights.len(), expected.len());
        assert!(
            weights
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-16)
        );
    }

    #[test]
    fn zeros_outside_darken_the_edge() {
        let smoothing = Smoothing::new(&[1.0; 4], [2, 2, 1], [1.0, 0.0], Border::Zero);
        for row in 0..2 {
            let smooth = smoothing
                .row(row, &mut smoothing.buffers())
                .iter()
                .map(|&sum| sum as f32)
                .collect::<Vec<_>>();
            assert_eq!(smooth, [0.398_943_47 + 0.241_971_45; 2]);
        }
    }

    #[test]
    fn no_sigma_copies() {
        let image = Array2::from_shape_fn((3, 4), |(row, column)| (row * 7 + column) as f32 / 3.0);
        assert_eq!(gaussian_filter(image.view(), 0.0), image);
    }
}
