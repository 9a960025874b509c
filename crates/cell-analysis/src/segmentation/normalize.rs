//! Intensity normalization before a model sees the image.
//!
//! Border: whole images, plane by plane; the equalization of one plane is `clahe`.

use ndarray::Array4;
use rayon::prelude::*;

use super::clahe::{Tiles, equalize};
use super::rescale::LinearMap;
use crate::plane::{STRIP, for_each_plane, range};

/// An image `[batch, row, column, channel]`, the histogram of every plane equalized to 0 … 1.
///
/// Each plane is stretched to the unit range and equalized with tiles of `kernel` pixels a
/// side (an eighth of the plane if `None`), see [`equalize_adapthist`](super::equalize_adapthist).
/// A plane whose values are all equal becomes zero.
#[must_use]
pub fn histogram_normalization(mut image: Array4<f32>, kernel: Option<usize>) -> Array4<f32> {
    for_each_plane(&mut image, |values, shape| {
        equalize_counts(values, shape, kernel)
    });
    image
}

/// An image `[batch, row, column, channel]`, every plane clipped at a percentile (0 … 100) of its
/// non-zero values.
///
/// The percentile is interpolated between two order statistics in `f64`, from their `f32`
/// difference, and rounded to `f32`, as `numpy.percentile` of `NumPy` 1 does it. Values above
/// become the percentile, all others stay. A plane of zeros stays zero.
#[must_use]
pub fn percentile_threshold(mut image: Array4<f32>, percentile: f64) -> Array4<f32> {
    for_each_plane(&mut image, |values, _| clip_above(values, percentile));
    image
}

/// The steps of [`mesmer_preprocess`]; the default is what the Mesmer model was trained with.
#[derive(Clone, Debug, PartialEq)]
pub struct MesmerPreprocess {
    /// Whether to clip bright pixels at `percentile` (default: yes).
    pub threshold: bool,
    /// Percentile of the non-zero values, 0 … 100 (default 99.9).
    pub percentile: f64,
    /// Whether to equalize the histogram (default: yes).
    pub normalize: bool,
    /// Side of an equalization tile in pixels, an eighth of the plane if `None` (default 128).
    pub kernel: Option<usize>,
}

impl Default for MesmerPreprocess {
    fn default() -> Self {
        Self {
            threshold: true,
            percentile: 99.9,
            normalize: true,
            kernel: Some(128),
        }
    }
}

/// An image `[batch, row, column, channel]` as Mesmer takes it: [`percentile_threshold`], then
/// [`histogram_normalization`] (Greenwald et al., Nature Biotechnology 2022).
#[must_use]
pub fn mesmer_preprocess(mut image: Array4<f32>, options: &MesmerPreprocess) -> Array4<f32> {
    for_each_plane(&mut image, |values, shape| {
        if options.threshold {
            clip_above(values, options.percentile);
        }
        if options.normalize {
            equalize_counts(values, shape, options.kernel);
        }
    });
    image
}

/// An image `[batch, row, column, channel]`, every plane shifted and scaled to mean 0 and standard
/// deviation 1.
///
/// `(x - mean) / (deviation + 1e-7)` with the population deviation; mean and deviation in
/// `f64`, the rest in `f32`. A plane of one value becomes zero.
#[must_use]
pub fn normalize(mut image: Array4<f32>) -> Array4<f32> {
    for_each_plane(&mut image, |values, _| standardize(values, 1e-7));
    image
}

/// [`histogram_normalization`] of one plane.
fn equalize_counts(values: &mut [f32], shape: [usize; 2], kernel: Option<usize>) {
    let (low, high) = range(values);
    if low >= high {
        return values.fill(0.0);
    }
    equalize(
        values,
        &Tiles::new(shape, kernel),
        (low, high),
        LinearMap::new(low, high),
    );
}

/// `(x - mean) / (deviation + epsilon)`.
pub(crate) fn standardize(values: &mut [f32], epsilon: f32) {
    let count = values.len() as f64;
    let mean = sum(values, f64::from) / count;
    let deviation = (sum(values, |value| (f64::from(value) - mean).powi(2)) / count).sqrt();
    let (mean, divisor) = (mean as f32, deviation as f32 + epsilon);
    values
        .iter_mut()
        .for_each(|value| *value = (*value - mean) / divisor);
}

/// Sum of `term` over all values, in eight lanes.
fn sum(values: &[f32], term: impl Fn(f32) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let (blocks, rest) = values.as_chunks::<8>();
    for block in blocks {
        lanes
            .iter_mut()
            .zip(block)
            .for_each(|(lane, &value)| *lane += term(value));
    }
    lanes
        .into_iter()
        .chain(rest.iter().map(|&value| term(value)))
        .sum()
}

fn clip_above(values: &mut [f32], percentile: f64) {
    let Some(limit) = percentile_of_lit(values, percentile) else {
        return;
    };
    values.par_chunks_mut(STRIP).for_each(|values| {
        values
            .iter_mut()
            .for_each(|value| *value = if *value > limit { limit } else { *value });
    });
}

/// Percentile of the values that are not zero, if there are any.
fn percentile_of_lit(values: &[f32], percentile: f64) -> Option<f32> {
    let neighbors = percentile_neighbors(values, percentile, |value| value != 0.0)?;
    let step = f64::from(neighbors.above - neighbors.below);
    Some(neighbors.interpolated(step) as f32)
}

/// The values between which a percentile lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PercentileNeighbors {
    pub(crate) below: f32,
    pub(crate) above: f32,
    /// How far it lies from the one to the other, 0 to 1.
    fraction: f64,
}

impl PercentileNeighbors {
    /// The percentile, where the neighbors are `step` apart.
    pub(crate) fn interpolated(&self, step: f64) -> f64 {
        // `NumPy` interpolates from the nearer end, which decides the last bit.
        if self.fraction < 0.5 {
            f64::from(self.below) + step * self.fraction
        } else {
            f64::from(self.above) - step * (1.0 - self.fraction)
        }
    }
}

/// The neighbors of a percentile (0 … 100) of those values that count, if there are any.
pub(crate) fn percentile_neighbors(
    values: &[f32],
    percentile: f64,
    counts_in: impl Fn(f32) -> bool + Sync,
) -> Option<PercentileNeighbors> {
    // A histogram over the upper half of all bits says in which range the percentile lies, without sorting a plane.
    let counts = values
        .par_chunks(1 << 20)
        .map(|values| count_keys(values, &counts_in))
        .reduce(|| vec![0; 1 << 16], add);
    let last = counts
        .iter()
        .map(|&count| count as usize)
        .sum::<usize>()
        .checked_sub(1)?;
    let position = (percentile / 100.0) * last as f64;
    let index = (position as usize).min(last);
    let (first, before) = key_of_rank(&counts, index);
    let (end, _) = key_of_rank(&counts, (index + 1).min(last));
    // The keys bracket the two order statistics: only values between them are collected and ordered.
    let is_near =
        |&value: &f32| float_key(value).wrapping_sub(first) <= end - first && counts_in(value);
    // Most blocks have none, which takes fewer instructions to see for a block than for each value.
    let blocks = values
        .par_chunks(64)
        .filter(|block| block.iter().fold(false, |any, value| any | is_near(value)));
    let mut near: Vec<f32> = blocks
        .flat_map_iter(|block| block.iter().copied().filter(is_near))
        .collect();
    let (_, &mut below, larger) = near.select_nth_unstable_by(index - before, f32::total_cmp);
    let above = larger
        .iter()
        .copied()
        .min_by(f32::total_cmp)
        .unwrap_or(below);
    Some(PercentileNeighbors {
        below,
        above,
        fraction: position - position.floor(),
    })
}

/// How many values that count there are for every key.
fn count_keys(values: &[f32], counts_in: impl Fn(f32) -> bool) -> Vec<u32> {
    // Two tables to take turns: to count a key twice in a row would be to wait for memory.
    let [mut even, mut odd] = [vec![0; 1 << 16], vec![0; 1 << 16]];
    let count = |counts: &mut [u32], value: f32| {
        counts[float_key(value) as usize] += u32::from(counts_in(value));
    };
    let (pairs, rest) = values.as_chunks::<2>();
    for &[one, other] in pairs {
        count(&mut even, one);
        count(&mut odd, other);
    }
    rest.iter().for_each(|&value| count(&mut even, value));
    add(even, odd)
}

fn add(mut counts: Vec<u32>, others: Vec<u32>) -> Vec<u32> {
    counts
        .iter_mut()
        .zip(others)
        .for_each(|(count, other)| *count += other);
    counts
}

/// The upper half of a value's bits, in the order of the values.
fn float_key(value: f32) -> u32 {
    let bits = value.to_bits() >> 16;
    if bits >> 15 == 0 {
        bits | 1 << 15
    } else {
        !bits & 0xffff
    }
}

/// The key of the value with `rank` values before it, and how many have lower keys.
fn key_of_rank(counts: &[u32], rank: usize) -> (u32, usize) {
    let mut before = 0;
    for (key, &count) in (0..).zip(counts) {
        if before + count as usize > rank {
            return (key, before);
        }
        before += count as usize;
    }
    (counts.len() as u32, before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sorts all values.
    fn slow_percentile(values: &[f32], percentile: f64) -> f32 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f32::total_cmp);
        let position = percentile / 100.0 * (sorted.len() - 1) as f64;
        let (below, above) = (
            sorted[position.floor() as usize],
            sorted[position.ceil() as usize],
        );
        (f64::from(below) + f64::from(above - below) * position.fract()) as f32
    }

    proptest! {
        #[test]
        fn the_percentile_lies_between_two_order_statistics(
            values in proptest::collection::vec(-50_000..50_000_i32, 1..300), percentile in 0.0..100.0_f64,
        ) {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32 + 0.25).collect();
            let expected = slow_percentile(&values, percentile);
            let got = percentile_of_lit(&values, percentile).expect("there are values");
            prop_assert!((got - expected).abs() <= 0.01, "{got} is not {expected}");
        }
    }

    #[test]
    fn a_plane_of_one_value_becomes_zero() {
        let image = Array4::from_elem((1, 4, 4, 1), 5.3);
        assert_eq!(histogram_normalization(image.clone(), None).sum(), 0.0);
        assert_eq!(normalize(image).sum(), 0.0);
    }

    #[test]
    fn zeros_do_not_count_towards_the_percentile() {
        let mut image = Array4::zeros((1, 10, 10, 1));
        (image[[0, 0, 0, 0]], image[[0, 5, 5, 0]]) = (1.0, 3.0);
        let capped = percentile_threshold(image, 50.0);
        assert_eq!(
            (capped[[0, 0, 0, 0]], capped[[0, 5, 5, 0]], capped.sum()),
            (1.0, 2.0, 3.0)
        );
    }

    #[test]
    fn steps_of_the_mesmer_preparation_can_be_left_out() {
        let image =
            Array4::from_shape_fn((1, 3, 3, 1), |(_, row, column, _)| (row * column) as f32);
        let options = MesmerPreprocess {
            threshold: false,
            normalize: false,
            ..MesmerPreprocess::default()
        };
        assert_eq!(mesmer_preprocess(image.clone(), &options), image);
    }
}
