//! Grayscale morphology of one plane: disks, square dilation, reconstruction.
//!
//! Border: neighbors outside the plane do not exist here; what maxima mean is
//! `peaks`' business.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::plane::{as_row_major, from_values};

/// Rows of a strip; with those around it the strip should stay in the cache of a core.
const STRIP: usize = 64;

/// The disk of `radius` pixels, `[2 * radius + 1, 2 * radius + 1]`: 1 where the squared distance to
/// the center is at most `radius` squared, otherwise 0. As scikit-image's `disk`.
#[must_use]
pub fn disk(radius: usize) -> Array2<u8> {
    let side = 2 * radius + 1;
    let widths = disk_half_widths(radius);
    Array2::from_shape_fn((side, side), |(row, column)| {
        u8::from(column.abs_diff(radius) <= widths[row.abs_diff(radius)])
    })
}

/// Half the width of a disk's rows, without the middle pixel, from its middle row outwards.
pub(super) fn disk_half_widths(radius: usize) -> Vec<usize> {
    (0..=radius)
        .map(|row| (radius * radius - row * row).isqrt())
        .collect()
}

/// A plane `[row, column]` in which every pixel is the maximum of the square of `2 * radius + 1`
/// pixels around it, clipped to the plane. As scikit-image's `dilation` with a square.
#[must_use]
pub fn dilation_square(image: ArrayView2<'_, f32>, radius: usize) -> Array2<f32> {
    let image = image.as_standard_layout();
    let (rows, columns) = image.dim();
    from_values(
        [rows, columns],
        square_maximum(as_row_major(&image), [rows, columns], radius),
    )
}

/// [`dilation_square`] of the pixels of a plane, row by row.
pub(crate) fn square_maximum(
    image: &[f32],
    [rows, columns]: [usize; 2],
    radius: usize,
) -> Vec<f32> {
    if radius == 0 || image.is_empty() {
        return image.to_vec();
    }
    // Strips overlap by the radius; they are tall enough that no more is computed again than is kept.
    let height = STRIP.max(2 * radius);
    let mut maxima = vec![0.0; image.len()];
    maxima
        .par_chunks_mut(height * columns)
        .enumerate()
        .for_each(|(strip, maxima)| {
            let first = strip * height;
            let window = first.saturating_sub(radius)..(first + height + radius).min(rows);
            let shape = [window.len(), columns];
            let whole = maximum_of_strip(
                &image[window.start * columns..window.end * columns],
                shape,
                radius,
            );
            maxima.copy_from_slice(&whole[(first - window.start) * columns..][..maxima.len()]);
        });
    maxima
}

/// The square is a column of rows: both passes go down the columns, since rows side by side are compared several values at a
/// time, and the plane is transposed in between.
fn maximum_of_strip(image: &[f32], [rows, columns]: [usize; 2], radius: usize) -> Vec<f32> {
    let across = column_maximum(&transpose(image, [rows, columns]), [columns, rows], radius);
    column_maximum(
        &transpose(&across, [columns, rows]),
        [rows, columns],
        radius,
    )
}

/// Maximum over `radius` rows above and below, by doubling windows: the maximum over `2 * k`
/// rows is that of two windows of `k` rows, and two overlapping windows make any length.
fn column_maximum(image: &[f32], [rows, columns]: [usize; 2], radius: usize) -> Vec<f32> {
    let reach = radius.min(rows - 1);
    let window = 2 * reach + 1;
    let margin = reach * columns;
    let mut padded = vec![f32::NEG_INFINITY; image.len() + 2 * margin];
    padded[margin..margin + image.len()].copy_from_slice(image);
    let mut length = 1;
    while length < window {
        let step = length.min(window - length);
        let kept = padded.len() - step * columns;
        for start in (0..kept).step_by(columns) {
            let (upper, lower) = padded.split_at_mut(start + step * columns);
            for (a, &b) in upper[start..start + columns].iter_mut().zip(lower.iter()) {
                *a = if b > *a { b } else { *a };
            }
        }
        padded.truncate(kept);
        length += step;
    }
    padded
}

/// Eight columns at a time, so that whole cache lines are read.
fn transpose(image: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let mut transposed = vec![0.0; image.len()];
    for (block, lines) in transposed.chunks_mut(columns.min(8) * rows).enumerate() {
        let first = block * columns.min(8);
        for row in 0..rows {
            for (offset, line) in lines.chunks_exact_mut(rows).enumerate() {
                line[row] = image[row * columns + first + offset];
            }
        }
    }
    transposed
}

/// The reconstruction of `mask` by dilation from `seed`, both `[row, column]`, over disks of
/// `radius` pixels. As scikit-image's `reconstruction`.
///
/// The result is the largest plane between `seed` and `mask` that no dilation under the mask
/// changes (Vincent, "Morphological grayscale reconstruction in image analysis", 1993). It is
/// unique and holds only values of its inputs. Found by following the brightest front first.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn reconstruction(
    seed: ArrayView2<'_, f32>,
    mask: ArrayView2<'_, f32>,
    radius: usize,
) -> Array2<f32> {
    assert_eq!(seed.dim(), mask.dim(), "seed and mask of a reconstruction");
    let (rows, columns) = seed.dim();
    let mut result = seed.to_owned();
    let mut front: BinaryHeap<Front> = seed
        .indexed_iter()
        .map(|(position, &level)| Front { level, position })
        .collect();
    let widths = disk_half_widths(radius);
    // A pixel that leaves the heap unraised is final: everything still in it is lower.
    while let Some(Front {
        level,
        position: (row, column),
    }) = front.pop()
    {
        // The pixel has been raised since it was queued, and will come again.
        if level < result[[row, column]] {
            continue;
        }
        for y in row.saturating_sub(radius)..(row + radius + 1).min(rows) {
            let width = widths[y.abs_diff(row)];
            for x in column.saturating_sub(width)..(column + width + 1).min(columns) {
                let reached = level.min(mask[[y, x]]);
                if reached > result[[y, x]] {
                    result[[y, x]] = reached;
                    front.push(Front {
                        level: reached,
                        position: (y, x),
                    });
                }
            }
        }
    }
    result
}

/// A pixel whose value spreads to its neighbors; the brightest goes first.
struct Front {
    level: f32,
    position: (usize, usize),
}

impl Ord for Front {
    fn cmp(&self, other: &Self) -> Ordering {
        self.level.total_cmp(&other.level)
    }
}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Front {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Front {}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    fn slow_dilation(image: &Array2<f32>, radius: usize) -> Array2<f32> {
        Array2::from_shape_fn(image.dim(), |(row, column)| {
            let near = image
                .indexed_iter()
                .filter(|((y, x), _)| y.abs_diff(row).max(x.abs_diff(column)) <= radius);
            near.fold(f32::NEG_INFINITY, |most, (_, &value)| most.max(value))
        })
    }

    /// Dilates under the mask until nothing changes.
    fn slow_reconstruction(seed: &Array2<f32>, mask: &Array2<f32>, radius: usize) -> Array2<f32> {
        let mut result = seed.clone();
        loop {
            let next = Array2::from_shape_fn(result.dim(), |(row, column)| {
                let near = result.indexed_iter().filter(|((y, x), _)| {
                    y.abs_diff(row).pow(2) + x.abs_diff(column).pow(2) <= radius.pow(2)
                });
                near.fold(f32::NEG_INFINITY, |most, (_, &value)| most.max(value))
                    .min(mask[[row, column]])
            });
            if next == result {
                return result;
            }
            result = next;
        }
    }

    proptest! {
        #[test]
        fn square_dilation_is_the_maximum_of_the_square(image in strategies::plane(11), radius in 0..14_usize) {
            prop_assert_eq!(dilation_square(image.view(), radius), slow_dilation(&image, radius));
        }

        #[test]
        fn reconstruction_is_what_repeated_dilation_ends_at(mask in strategies::plane(9), radius in 0..4_usize) {
            let seed = mask.mapv(|value| value - 0.3 * (1.0 + value));
            let expected = slow_reconstruction(&seed, &mask, radius);
            prop_assert_eq!(reconstruction(seed.view(), mask.view(), radius), expected);
        }
    }

    #[test]
    fn a_disk_of_two_pixels_has_thirteen() {
        let expected = array![
            [0, 0, 1, 0, 0],
            [0, 1, 1, 1, 0],
            [1, 1, 1, 1, 1],
            [0, 1, 1, 1, 0],
            [0, 0, 1, 0, 0]
        ];
        assert_eq!(disk(2), expected);
        assert_eq!(disk(0), array![[1]]);
    }
}
