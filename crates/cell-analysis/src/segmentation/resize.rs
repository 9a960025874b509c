//! Resizing of images and label images.
//!
//! One channel and several channels take different paths, as `DeepCell`'s toolbox sends them to
//! different libraries (`OpenCV` 4 and scikit-image 0.21) with different results.
//!
//! Border: arrays and target sizes; which size an image gets is the caller's business.

use ndarray::{Array4, ArrayView4, Axis};
use rayon::prelude::*;

use super::gaussian::{Border, Smoothing};
use crate::plane::{NO_RANGE, range, range_of_strip, union, vectorized};

/// Rows and columns that an image of `size` rows and columns has at the model's resolution; `None`
/// if it has that resolution already.
///
/// Resolutions are in micrometers per pixel. The factor is their quotient in `f64`, and sizes are
/// truncated. Only equal resolutions give `None`, not those that truncate to the same size.
#[must_use]
pub fn resized_shape(size: [usize; 2], image_mpp: f64, model_mpp: f64) -> Option<[usize; 2]> {
    if image_mpp == model_mpp {
        return None;
    }
    let factor = image_mpp / model_mpp;
    Some(size.map(|length| (length as f64 * factor) as usize))
}

/// An image `[batch, row, column, channel]` resized to `size` rows and columns, bilinearly.
///
/// Sample positions are pixel centers. One channel, as `cv2.resize` with `INTER_LINEAR`: positions
/// clamp at the edge, nothing is smoothed, columns first, each pass rounded to `f32`. Several
/// channels, as `skimage.transform.resize`: an axis that shrinks is smoothed first, the outside
/// counts as zero, and the result is clamped to the range of the item's input.
///
/// # Panics
/// If the image or the target has no pixels.
#[must_use]
pub fn resize_image(image: ArrayView4<'_, f32>, size: [usize; 2]) -> Array4<f32> {
    let resize = if image.dim().3 == 1 {
        bilinear
    } else {
        antialiased
    };
    resize_items(image, size, resize)
}

/// A label image `[batch, row, column, channel]` resized to `size` rows and columns.
///
/// Every pixel takes the label of the nearest source pixel: for one channel counted from the
/// upper left corner (`floor(k * old / new)`, as `cv2.resize` with `INTER_NEAREST`), for several
/// channels from pixel centers (as `skimage.transform.resize` of order 0).
///
/// # Panics
/// If the image or the target has no pixels.
#[must_use]
pub fn resize_labels(labels: ArrayView4<'_, u32>, size: [usize; 2]) -> Array4<u32> {
    let source = if labels.dim().3 == 1 {
        corner_aligned
    } else {
        center_aligned
    };
    resize_items(labels, size, |from, shape, to| {
        pick(from, shape, to, source)
    })
}

/// An image `[batch, row, column, channel]` resized to `size` rows and columns, every pixel taking
/// the value of the nearest source pixel, counted from pixel centers, whatever the channels.
///
/// # Panics
/// If the image or the target has no pixels.
#[must_use]
pub fn resize_nearest(image: ArrayView4<'_, f32>, size: [usize; 2]) -> Array4<f32> {
    resize_items(image, size, |from, shape, to| {
        pick(from, shape, to, center_aligned)
    })
}

/// Shape of one item, rows, columns and channels, and the rows and columns it shall get.
#[derive(Clone, Copy)]
struct Shape {
    from: [usize; 2],
    to: [usize; 2],
    channels: usize,
}

fn resize_items<T: Copy + Default + Send + Sync>(
    image: ArrayView4<'_, T>,
    size: [usize; 2],
    resize: impl Fn(&[T], Shape, &mut [T]),
) -> Array4<T> {
    let (batches, rows, columns, channels) = image.dim();
    assert!(
        rows * columns > 0 && size[0] * size[1] > 0,
        "an image to resize has pixels"
    );
    let shape = Shape {
        from: [rows, columns],
        to: size,
        channels,
    };
    let image = image.as_standard_layout();
    let mut resized = Array4::from_elem((batches, size[0], size[1], channels), T::default());
    for (from, mut to) in image.axis_iter(Axis(0)).zip(resized.axis_iter_mut(Axis(0))) {
        let (Some(from), Some(to)) = (from.as_slice(), to.as_slice_mut()) else {
            unreachable!("items of an array in standard layout are slices");
        };
        resize(from, shape, to);
    }
    resized
}

/// Position of sample `k` of `to` samples on an axis of `from` samples.
fn center(k: usize, from: usize, to: usize) -> f64 {
    (k as f64 + 0.5) * (from as f64 / to as f64) - 0.5
}

/// Samples between two neighbors each.
struct Between {
    /// Indices of the first and of the second.
    neighbors: Vec<[u32; 2]>,
    /// Share of the second.
    shares: Vec<f32>,
}

fn bilinear(image: &[f32], shape: Shape, resized: &mut [f32]) {
    let [rows, columns] = shape.from;
    let (across, down) = (
        Between::new(columns, shape.to[1]),
        Between::new(rows, shape.to[0]),
    );
    let stretch = |row: usize, out: &mut Vec<f32>| {
        out.resize(shape.to[1], 0.0);
        across.stretch(&image[row * columns..(row + 1) * columns], out);
    };
    let fill = |block: usize, resized: &mut [f32]| {
        let mut cache = RowCache::new(stretch);
        for (row, out) in (block * BLOCK..).zip(resized.chunks_exact_mut(shape.to[1])) {
            let ([upper, lower], share) = (down.neighbors[row], down.shares[row]);
            let (upper, lower) = cache.pair(upper as usize, lower as usize);
            vectorized(
                #[inline(always)]
                || {
                    for ((out, &a), &b) in out.iter_mut().zip(upper).zip(lower) {
                        *out = lerp(a, b, share);
                    }
                },
            );
        }
    };
    // The crop of a single cell is done sooner than another thread is woken.
    if shape.to[0] <= BLOCK {
        return fill(0, resized);
    }
    resized
        .par_chunks_mut(BLOCK * shape.to[1])
        .enumerate()
        .for_each(|(block, resized)| fill(block, resized));
}

/// Rows of the result that one task makes.
const BLOCK: usize = 64;

/// Samples whose neighbors are gathered before they are mixed.
const GATHERED: usize = 32;

impl Between {
    fn new(from: usize, to: usize) -> Self {
        let sample = |k| {
            let position = center(k, from, to);
            let index = position.floor();
            if index < 0.0 {
                return ([0; 2], 0.0);
            }
            if index as usize >= from - 1 {
                return ([(from - 1) as u32; 2], 0.0);
            }
            let first = index as u32;
            ([first, first + 1], (position - index) as f32)
        };
        let (neighbors, shares) = (0..to).map(sample).unzip();
        Self { neighbors, shares }
    }

    fn stretch(&self, row: &[f32], out: &mut [f32]) {
        let samples = self
            .neighbors
            .chunks(GATHERED)
            .zip(self.shares.chunks(GATHERED));
        vectorized(
            #[inline(always)]
            || {
                for (out, (neighbors, shares)) in out.chunks_mut(GATHERED).zip(samples) {
                    let mut gathered = [[0.0; GATHERED]; 2];
                    let [left, right] = &mut gathered;
                    for ((left, right), &[a, b]) in left.iter_mut().zip(right).zip(neighbors) {
                        (*left, *right) = (row[a as usize], row[b as usize]);
                    }
                    let [left, right] = &gathered;
                    let pairs = left.iter().zip(right).zip(shares);
                    for (out, ((&a, &b), &share)) in out.iter_mut().zip(pairs) {
                        *out = lerp(a, b, share);
                    }
                }
            },
        );
    }
}

/// `a + (b - a) * share`, product and sum rounded once: one instruction where [`vectorized`] finds it, the same bits everywhere.
#[inline(always)]
fn lerp(a: f32, b: f32, share: f32) -> f32 {
    (b - a).mul_add(share, a)
}

/// The last two rows made from an image, by their index. What makes a row gets that which it replaces.
struct RowCache<T, F> {
    make: F,
    rows: [(usize, Vec<T>); 2],
}

impl<T, F: FnMut(usize, &mut Vec<T>)> RowCache<T, F> {
    fn new(make: F) -> Self {
        Self {
            make,
            rows: [(usize::MAX, Vec::new()), (usize::MAX, Vec::new())],
        }
    }

    fn pair(&mut self, upper: usize, lower: usize) -> (&[T], &[T]) {
        if self.rows[1].0 == upper {
            self.rows.swap(0, 1);
        }
        for (row, index) in self.rows.iter_mut().zip([upper, lower]) {
            if row.0 != index {
                row.0 = index;
                (self.make)(index, &mut row.1);
            }
        }
        (&self.rows[0].1, &self.rows[1].1)
    }
}

fn antialiased(image: &[f32], shape: Shape, resized: &mut [f32]) {
    let (low, high) = range(image);
    // scikit-image widens the range by the zeros outside only if samples reached them, which is known after sampling.
    let (least, most) = sample(image, shape, (low, high), resized);
    let zero_outside = low > 0.0 || high < 0.0;
    if zero_outside && least <= 0.0 && most >= 0.0 {
        sample(image, shape, union((low, high), (0.0, 0.0)), resized);
    }
}

/// Smooths and samples an image; clamps the samples to `clip` and returns the range that they had before.
fn sample(image: &[f32], shape: Shape, clip: (f32, f32), resized: &mut [f32]) -> (f32, f32) {
    match shape.channels {
        2 => sample_channels::<2>(image, shape, clip, resized),
        3 => sample_channels::<3>(image, shape, clip, resized),
        4 => sample_channels::<4>(image, shape, clip, resized),
        _ => sample_any(image, shape, clip, resized),
    }
}

/// [`sample`] of interleaved channels, bilinear, with zeros outside the image.
fn sample_channels<const CHANNELS: usize>(
    image: &[f32],
    shape: Shape,
    (low, high): (f32, f32),
    resized: &mut [f32],
) -> (f32, f32) {
    let across = between_padded(shape.from[1], shape.to[1]);
    let down = between_padded(shape.from[0], shape.to[0]);
    let source = Source::<CHANNELS>::new(image, shape);
    let width = shape.to[1] * CHANNELS;
    let blocks = resized
        .par_chunks_mut(BLOCK * width)
        .zip(down.par_chunks(BLOCK));
    let ranges = blocks.map(|(block, down)| {
        let mut buffers = source.buffers();
        let mut cache =
            RowCache::new(|index, row: &mut Vec<_>| source.padded_row(index, &mut buffers, row));
        let mut range = NO_RANGE;
        for (out, &(index, share)) in block.chunks_exact_mut(width).zip(down) {
            let (upper, lower) = cache.pair(index, index + 1);
            mix([upper, lower], share, &across, out.as_chunks_mut().0);
            range = union(range, range_of_strip(out));
            out.iter_mut()
                .for_each(|value| *value = value.max(low).min(high));
        }
        range
    });
    ranges.reduce(|| NO_RANGE, union)
}

/// The rows of an image with a margin of zeros, smoothed along each axis that shrinks.
struct Source<'a, const CHANNELS: usize> {
    pixels: &'a [[f32; CHANNELS]],
    size: [usize; 2],
    smoothing: Option<Smoothing<'a>>,
}

impl<'a, const CHANNELS: usize> Source<'a, CHANNELS> {
    fn new(image: &'a [f32], Shape { from, to, channels }: Shape) -> Self {
        // Only an axis that shrinks is smoothed.
        let sigmas =
            [0, 1].map(|axis| ((from[axis] as f64 / to[axis] as f64 - 1.0) / 2.0).max(0.0));
        let shape = [from[0], from[1], channels];
        let smoothing =
            (sigmas != [0.0; 2]).then(|| Smoothing::new(image, shape, sigmas, Border::Zero));
        Self {
            pixels: image.as_chunks().0,
            size: from,
            smoothing,
        }
    }

    fn buffers(&self) -> (Vec<f64>, Vec<f64>) {
        self.smoothing
            .as_ref()
            .map(Smoothing::buffers)
            .unwrap_or_default()
    }

    /// Row `index - 1` between two pixels of zeros.
    fn padded_row(
        &self,
        index: usize,
        buffers: &mut (Vec<f64>, Vec<f64>),
        padded: &mut Vec<[f64; CHANNELS]>,
    ) {
        let [rows, columns] = self.size;
        padded.clear();
        padded.resize(columns + 2, [0.0; CHANNELS]);
        let Some(row) = index.checked_sub(1).filter(|&row| row < rows) else {
            return;
        };
        let inner = padded[1..=columns].iter_mut();
        if let Some(smoothing) = &self.smoothing {
            let (sums, _) = smoothing.row(row, buffers).as_chunks::<CHANNELS>();
            inner
                .zip(sums)
                .for_each(|(to, sums)| *to = sums.map(|sum| f64::from(sum as f32)));
        } else {
            let pixels = &self.pixels[row * columns..(row + 1) * columns];
            inner
                .zip(pixels)
                .for_each(|(to, pixel)| *to = pixel.map(f64::from));
        }
    }
}

/// The samples of a row that lies between two others, the share `down` of the way.
fn mix<const CHANNELS: usize>(
    [upper, lower]: [&[[f64; CHANNELS]]; 2],
    down: f64,
    across: &[(usize, f64)],
    out: &mut [[f32; CHANNELS]],
) {
    for (out, &(column, share)) in out.iter_mut().zip(across) {
        let weigh = |row: &[[f64; CHANNELS]], down: f64| {
            let [left, right] = [row[column], row[column + 1]];
            [
                left.map(|value| (value * down) * (1.0 - share)),
                right.map(|value| (value * down) * share),
            ]
        };
        // Four products, summed from upper left to lower right: the order decides the last bit.
        let ([a, b], [c, d]) = (weigh(upper, 1.0 - down), weigh(lower, down));
        let sums: [f64; CHANNELS] = std::array::from_fn(|k| ((a[k] + b[k]) + c[k]) + d[k]);
        out.iter_mut()
            .zip(sums)
            .for_each(|(out, sum)| *out = sum as f32);
    }
}

/// [`sample_channels`] for any number of channels, one after the other.
fn sample_any(image: &[f32], shape: Shape, clip: (f32, f32), resized: &mut [f32]) -> (f32, f32) {
    let one = Shape {
        channels: 1,
        ..shape
    };
    let mut range = NO_RANGE;
    for channel in 0..shape.channels {
        let plane: Vec<f32> = image
            .iter()
            .skip(channel)
            .step_by(shape.channels)
            .copied()
            .collect();
        let mut out = vec![0.0; shape.to[0] * shape.to[1]];
        range = union(range, sample_channels::<1>(&plane, one, clip, &mut out));
        let to = resized.iter_mut().skip(channel).step_by(shape.channels);
        to.zip(out).for_each(|(to, from)| *to = from);
    }
    range
}

/// Like [`Between::new`] without clamping; indices count from a margin of one sample.
fn between_padded(from: usize, to: usize) -> Vec<(usize, f64)> {
    let sample = |k| {
        let position = center(k, from, to);
        let index = position.floor();
        ((index + 1.0) as usize, position - index)
    };
    (0..to).map(sample).collect()
}

fn pick<T: Copy>(from: &[T], shape: Shape, to: &mut [T], source: fn(usize, usize, usize) -> usize) {
    let Shape {
        from: [rows, columns],
        to: [new_rows, new_columns],
        channels,
    } = shape;
    let across: Vec<usize> = (0..new_columns)
        .map(|k| source(k, columns, new_columns))
        .collect();
    for (k, out) in to.chunks_exact_mut(new_columns * channels).enumerate() {
        let row = source(k, rows, new_rows) * columns * channels;
        let row = &from[row..row + columns * channels];
        if channels == 1 {
            out.iter_mut()
                .zip(&across)
                .for_each(|(out, &column)| *out = row[column]);
            continue;
        }
        for (out, &column) in out.chunks_exact_mut(channels).zip(&across) {
            out.copy_from_slice(&row[column * channels..(column + 1) * channels]);
        }
    }
}

fn corner_aligned(k: usize, from: usize, to: usize) -> usize {
    let inverse = 1.0 / (to as f64 / from as f64);
    ((k as f64 * inverse) as usize).min(from - 1)
}

fn center_aligned(k: usize, from: usize, to: usize) -> usize {
    ((center(k, from, to) + 0.5).floor() as usize).min(from - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(shape: (usize, usize, usize, usize)) -> Array4<f32> {
        Array4::from_shape_fn(shape, |(b, row, column, k)| {
            ((b + 3 * row + 7 * column * (k + 1)) % 17) as f32
        })
    }

    /// The sample at `[row, column]`, one multiplication after the other, zeros outside.
    fn slow_sample(image: &Array4<f32>, [row, column]: [f64; 2], channel: usize) -> f32 {
        let (top, left) = (row.floor(), column.floor());
        let value = |y: f64, x: f64| {
            let inside = y >= 0.0 && x >= 0.0;
            let pixel = (0, y as usize, x as usize, channel);
            image
                .get(pixel)
                .filter(|_| inside)
                .map_or(0.0, |&value| f64::from(value))
        };
        let (down, across) = (row - top, column - left);
        let sum = (value(top, left) * (1.0 - down)) * (1.0 - across)
            + (value(top, left + 1.0) * (1.0 - down)) * across
            + (value(top + 1.0, left) * down) * (1.0 - across)
            + (value(top + 1.0, left + 1.0) * down) * across;
        sum as f32
    }

    proptest! {
        #[test]
        fn channels_are_sampled_one_like_the_other(
            from in (1..12_usize, 1..12_usize), grown in (0..20_usize, 0..20_usize), channels in 2..7_usize,
        ) {
            let image = image((1, from.0, from.1, channels));
            let size = [from.0 + grown.0, from.1 + grown.1];
            let (low, high) = image.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            let resized = resize_image(image.view(), size);
            for ((_, row, column, channel), &value) in resized.indexed_iter() {
                let place = [center(row, from.0, size[0]), center(column, from.1, size[1])];
                prop_assert_eq!(value, slow_sample(&image, place, channel).clamp(low, high));
            }
        }

        #[test]
        fn the_same_size_keeps_one_channel_as_it_is(rows in 1..20_usize, columns in 1..20_usize) {
            let image = image((2, rows, columns, 1));
            prop_assert_eq!(resize_image(image.view(), [rows, columns]), image.clone());
            prop_assert_eq!(resize_nearest(image.view(), [rows, columns]), image);
        }

        #[test]
        fn resized_labels_are_labels_of_the_image(
            from in (1..15_usize, 1..15_usize), to in (1..30_usize, 1..30_usize), channels in 1..3_usize,
        ) {
            let labels = image((1, from.0, from.1, channels)).mapv(|value| value as u32);
            let resized = resize_labels(labels.view(), [to.0, to.1]);
            prop_assert_eq!(resized.dim(), (1, to.0, to.1, channels));
            prop_assert!(resized.iter().all(|label| labels.iter().any(|other| other == label)));
        }
    }

    #[test]
    fn one_channel_and_two_take_labels_from_different_pixels() {
        let labels = Array4::from_shape_fn((1, 1, 4, 1), |(_, _, column, _)| column as u32);
        let twice =
            ndarray::concatenate(Axis(3), &[labels.view(), labels.view()]).expect("shapes match");
        let from_corner = resize_labels(labels.view(), [1, 2]);
        let from_center = resize_labels(twice.view(), [1, 2]);
        assert_eq!(from_corner.into_raw_vec_and_offset().0, [0, 2]);
        assert_eq!(from_center.into_raw_vec_and_offset().0, [1, 1, 3, 3]);
    }

    #[test]
    fn an_image_at_the_models_resolution_keeps_its_size() {
        assert_eq!(resized_shape([37, 64], 0.65, 0.65), None);
        assert_eq!(resized_shape([37, 64], 0.1 * 0.65, 0.65), Some([3, 6]));
    }
}
