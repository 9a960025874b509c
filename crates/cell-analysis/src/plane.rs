//! The planes of a `[batch, row, column, channel]` image, one at a time.
//!
//! Border: this file knows how planes lie in memory and how an index mirrors at their edge,
//! not what is done with them.

use fearless_simd::{Level, Simd as _, dispatch};
use ndarray::{Array2, Array4, CowArray, Ix2};
use rayon::prelude::*;

/// So many zeros, written one by one. An allocator that is asked for zeros gives large memory back to the system and takes fresh
/// pages, which costs more than to write to those that the last job has left.
#[must_use]
pub fn zeros<T: Copy + Default>(count: usize) -> Vec<T> {
    std::iter::repeat_n(T::default(), count).collect()
}

/// Runs a loop with the widest registers that this machine has. The closure has to be `#[inline(always)]`, and what it calls
/// inlined into it, or the loop stays as it is.
///
/// Results stay the same: nothing is fused or reordered.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    dispatch!(Level::new(), simd => simd.vectorize(work))
}

/// Runs `work` on the values of every plane, in row-major order, with the plane's shape.
///
/// Planes run in parallel; a plane of a one-channel image is handed over in place, others
/// through a copy.
pub(crate) fn for_each_plane(
    image: &mut Array4<f32>,
    work: impl Fn(&mut [f32], [usize; 2]) + Sync,
) {
    let (_, rows, columns, channels) = image.dim();
    if image.is_empty() {
        return;
    }
    if !image.is_standard_layout() {
        *image = image.as_standard_layout().into_owned();
    }
    let pixels = image
        .as_slice_mut()
        .expect("an image in standard layout is one slice");
    pixels
        .par_chunks_exact_mut(rows * columns * channels)
        .for_each(|pixels| {
            if channels == 1 {
                return work(pixels, [rows, columns]);
            }
            let planes: Vec<Vec<f32>> = (0..channels)
                .into_par_iter()
                .map(|channel| {
                    let mut values = channel_of(pixels, channel, channels);
                    work(&mut values, [rows, columns]);
                    values
                })
                .collect();
            interleave(&planes, pixels);
        });
}

/// One of the `channels` of interleaved pixels.
fn channel_of(pixels: &[f32], channel: usize, channels: usize) -> Vec<f32> {
    pixels
        .par_chunks_exact(channels)
        .with_min_len(STRIP)
        .map(|pixel| pixel[channel])
        .collect()
}

/// Puts the channels back between each other, a strip at a time, so that it is in the cache for every channel.
fn interleave(channels: &[Vec<f32>], pixels: &mut [f32]) {
    let count = channels.len();
    pixels
        .par_chunks_mut(STRIP * count)
        .enumerate()
        .for_each(|(strip, pixels)| {
            for (channel, plane) in channels.iter().enumerate() {
                let values = pixels[channel..]
                    .iter_mut()
                    .step_by(count)
                    .zip(&plane[strip * STRIP..]);
                values.for_each(|(to, &value)| *to = value);
            }
        });
}

/// The pixels of a plane in standard layout, row by row.
pub(crate) fn as_row_major<'a, T>(plane: &'a CowArray<'_, T, Ix2>) -> &'a [T] {
    plane
        .as_slice()
        .expect("a plane in standard layout is one slice")
}

/// The pixels of a plane, row by row, put in that order if they are in another.
pub(crate) fn values_mut<T: Clone>(plane: &mut Array2<T>) -> &mut [T] {
    if !plane.is_standard_layout() {
        *plane = plane.as_standard_layout().into_owned();
    }
    plane
        .as_slice_mut()
        .expect("a plane in standard layout is one slice")
}

/// The plane of these pixels, given row by row.
pub(crate) fn from_values<T>(shape: [usize; 2], values: Vec<T>) -> Array2<T> {
    Array2::from_shape_vec(shape, values).expect("there is one value for every pixel")
}

/// Source of index `i` on an axis of `length` samples that is continued by its mirror image,
/// the edge sample not repeated (`NumPy`'s `reflect`).
pub(crate) fn reflect_whole_sample(i: isize, length: usize) -> usize {
    if length == 1 {
        return 0;
    }
    let k = i.unsigned_abs() % (2 * (length - 1));
    if k < length { k } else { 2 * (length - 1) - k }
}

/// Source of index `i` on an axis of `length` samples that is continued by its mirror image,
/// the edge sample repeated (`SciPy`'s `reflect`).
pub(crate) fn reflect_half_sample(i: isize, length: usize) -> usize {
    let k = i.rem_euclid(2 * length as isize) as usize;
    if k < length { k } else { 2 * length - 1 - k }
}

/// Values that stay in the innermost cache while a core reads them twice.
pub(crate) const STRIP: usize = 4096;

/// The range of no values.
pub(crate) const NO_RANGE: (f32, f32) = (f32::INFINITY, f32::NEG_INFINITY);

/// Smallest and largest of `values`; [`NO_RANGE`] if there are none.
pub(crate) fn range(values: &[f32]) -> (f32, f32) {
    values
        .par_chunks(STRIP)
        .map(range_of_strip)
        .reduce(|| NO_RANGE, union)
}

/// [`range`] of a few values, on this thread.
pub(crate) fn range_of_strip(values: &[f32]) -> (f32, f32) {
    // One after the other: a loop with both comparisons does not become instructions for several values.
    vectorized(
        #[inline(always)]
        || {
            let low = extreme(values, NO_RANGE.0, |a, b| if a < b { a } else { b });
            let high = extreme(values, NO_RANGE.1, |a, b| if a > b { a } else { b });
            (low, high)
        },
    )
}

#[inline(always)]
fn extreme(values: &[f32], none: f32, choose: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [none; 8];
    let (blocks, rest) = values.as_chunks::<8>();
    for block in blocks {
        lanes
            .iter_mut()
            .zip(block)
            .for_each(|(lane, &value)| *lane = choose(value, *lane));
    }
    lanes
        .iter()
        .chain(rest)
        .fold(none, |extreme, &value| choose(value, extreme))
}

/// The range of what lies in either range.
pub(crate) fn union(one: (f32, f32), other: (f32, f32)) -> (f32, f32) {
    (one.0.min(other.0), one.1.max(other.1))
}

/// Smallest and largest of `values`, or `None` if one of them is not finite.
///
/// Of no values it is infinity and minus infinity, in this order: the range that any value widens.
#[must_use]
pub fn finite_range(values: &[f32]) -> Option<(f32, f32)> {
    let (blocks, rest) = values.as_chunks::<8>();
    let mut odd = [0_u32; 8];
    for block in blocks {
        // The exponents of infinities and NaN have all bits set.
        odd.iter_mut()
            .zip(block)
            .for_each(|(odd, value)| *odd |= u32::from(value.to_bits() << 1 >= 0xff00_0000));
    }
    let finite = odd == [0; 8] && rest.iter().all(|value| value.is_finite());
    finite.then(|| range(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_leave_out_or_repeat_the_edge_sample() {
        let indices = -4..8;
        let without: Vec<_> = indices
            .clone()
            .map(|i| reflect_whole_sample(i, 3))
            .collect();
        let repeated: Vec<_> = indices.map(|i| reflect_half_sample(i, 3)).collect();

        assert_eq!(without, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(repeated, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
    }

    #[test]
    fn a_mirror_of_one_sample_is_that_sample() {
        assert_eq!(reflect_whole_sample(-5, 1), 0);
        assert_eq!(reflect_half_sample(7, 1), 0);
    }

    #[test]
    fn planes_of_interleaved_channels_are_whole() {
        let mut image = Array4::from_shape_fn((2, 2, 3, 2), |(b, r, c, k)| {
            (b * 100 + r * 10 + c + k * 1000) as f32
        });
        let expected = image.mapv(|value| -value);

        for_each_plane(&mut image, |values, shape| {
            assert_eq!(shape, [2, 3]);
            assert_eq!(values[5] - values[0], 12.0);
            values.iter_mut().for_each(|value| *value = -*value);
        });

        assert_eq!(image, expected);
    }

    #[test]
    fn one_value_that_is_not_finite_leaves_no_range() {
        let values: Vec<f32> = (0..19).map(|i| i as f32 * (f32::MAX / 20.0)).collect();
        assert_eq!(finite_range(&values), Some((0.0, values[18])));
        for odd in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [3, 18] {
                let mut values = values.clone();
                values[place] = odd;
                assert_eq!(finite_range(&values), None, "{odd} at {place}");
            }
        }
    }

    #[test]
    fn the_range_of_a_few_values_is_found_in_blocks_and_rest() {
        let values: Vec<f32> = (0..19).map(|i| ((i * 7) % 19) as f32 - 5.0).collect();
        assert_eq!(range(&values), (-5.0, 13.0));
        assert_eq!(range(&values[..3]), (-5.0, 9.0));
    }
}
