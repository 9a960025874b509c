//! Single-molecule spots (FISH): normalization of an image, spots from the heads of a detector, and the cells they lie in.
//!
//! Results equal those of deepcell-spots. Points are `[row, column]` in pixels, in `f64`.
//!
//! Border: tiles and the model are the caller's business.

use std::collections::HashMap;
use std::hash::Hash;

use ndarray::{Array4, ArrayView2};

use crate::plane::{as_row_major, for_each_plane, range};
use crate::segmentation::spaced;

/// Which values become 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contrast {
    /// The smallest and the largest.
    #[default]
    Full,
    /// The 0.01 and the 99.9 percentile; values beyond are clipped.
    Clipped,
}

/// Percentiles at which [`Contrast::Clipped`] clips.
const CLIPPED_AT: [f64; 2] = [0.01, 99.9];

/// Stretches every plane of an image `[batch, row, column, channel]` to 0 … 1, in `f32`.
///
/// Percentiles are interpolated linearly between order statistics in `f64` and rounded to `f32`, as `numpy.percentile` does.
/// A plane of one value becomes NaN, in which there are no spots.
#[must_use]
pub fn min_max_normalize(mut image: Array4<f32>, contrast: Contrast) -> Array4<f32> {
    for_each_plane(&mut image, |values, _| {
        if contrast == Contrast::Clipped {
            let [low, high] = percent_points(values);
            for value in &mut *values {
                *value = if *value < low { low } else { *value };
                *value = if *value > high { high } else { *value };
            }
        }
        let (low, high) = range(values);
        let width = high - low;
        values
            .iter_mut()
            .for_each(|value| *value = (*value - low) / width);
    });
    image
}

/// The values at [`CLIPPED_AT`].
fn percent_points(values: &[f32]) -> [f32; 2] {
    let mut sorted = values.to_vec();
    CLIPPED_AT.map(|percent| {
        let Some(last) = sorted.len().checked_sub(1) else {
            return 0.0;
        };
        let position = last as f64 * (percent / 100.0);
        let below = position.floor();
        let share = position - below;
        let (_, &mut lower, upper) = sorted.select_nth_unstable_by(below as usize, f32::total_cmp);
        let upper = upper
            .iter()
            .copied()
            .min_by(f32::total_cmp)
            .unwrap_or(lower);
        let (lower, upper) = (f64::from(lower), f64::from(upper));
        let step = upper - lower;
        (if share < 0.5 {
            lower + step * share
        } else {
            upper - step * (1.0 - share)
        }) as f32
    })
}

/// The heads of a spot detector for an image: planes `[row, column]` of one shape.
#[derive(Clone, Debug)]
pub struct SpotHeads<'a> {
    /// How probable a spot in this pixel is.
    pub scores: ArrayView2<'a, f32>,
    /// How many pixels the spot lies below the pixel's center.
    pub row_offsets: ArrayView2<'a, f32>,
    /// How many pixels it lies to the right of the center.
    pub column_offsets: ArrayView2<'a, f32>,
}

/// Which pixels are spots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpotPeaks {
    /// A spot's score exceeds this (default 0.95).
    pub threshold: f64,
    /// Spots keep this Chebyshev distance from each other and from the image's border, in pixels (default 1).
    pub min_distance: usize,
}

impl Default for SpotPeaks {
    fn default() -> Self {
        Self {
            threshold: 0.95,
            min_distance: 1,
        }
    }
}

impl SpotPeaks {
    /// The points `[row, column]` of all spots, in pixels, highest score first, equal scores row by row.
    ///
    /// A spot is a pixel that is the maximum of all pixels up to `min_distance` rows and columns away, and at least as far
    /// from the border, moved by its offsets. A plane of one score has no spots; with a distance of 1 every pixel of a flat
    /// top is a spot.
    ///
    /// # Panics
    ///
    /// If the heads have different shapes.
    #[must_use]
    pub fn find(&self, heads: &SpotHeads<'_>) -> Vec<[f64; 2]> {
        assert_eq!(
            heads.scores.dim(),
            heads.row_offsets.dim(),
            "scores and row offsets"
        );
        assert_eq!(
            heads.scores.dim(),
            heads.column_offsets.dim(),
            "scores and column offsets"
        );
        let scores = heads.scores.as_standard_layout();
        let (rows, columns) = scores.dim();
        let scores = as_row_major(&scores);
        if scores.windows(2).all(|pair| pair[0] == pair[1]) {
            return Vec::new();
        }
        let reach = self.min_distance;
        let mut peaks = Vec::new();
        for row in reach..rows.saturating_sub(reach) {
            for column in reach..columns.saturating_sub(reach) {
                let pixel = row * columns + column;
                if f64::from(scores[pixel]) > self.threshold
                    && is_highest(scores, columns, pixel, reach)
                {
                    peaks.push(pixel);
                }
            }
        }
        // A stable sort: equal scores stay in raster order, and the first of them keeps the others away.
        peaks.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        spaced(peaks.into_iter(), [rows, columns], self.min_distance)
            .into_iter()
            .map(|pixel| heads.position(pixel))
            .collect()
    }
}

impl SpotHeads<'_> {
    /// The spot of a pixel, moved by its offsets.
    fn position(&self, [row, column]: [usize; 2]) -> [f64; 2] {
        let down = f64::from(self.row_offsets[[row, column]]);
        let across = f64::from(self.column_offsets[[row, column]]);
        [row as f64 + down, column as f64 + across]
    }
}

/// Whether no score in the square of `reach` pixels around `pixel` is higher; NaN is not.
fn is_highest(scores: &[f32], columns: usize, pixel: usize, reach: usize) -> bool {
    let score = scores[pixel];
    let first = pixel - reach * columns;
    (0..=2 * reach).all(|row| {
        let middle = first + row * columns;
        let line = &scores[middle - reach..=middle + reach];
        line.iter().all(|&other| other <= score || other.is_nan())
    })
}

/// A point outside the image.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("index {index} is out of bounds for axis {axis} with size {size}")]
pub struct OutsideImage {
    /// The point's row or column, truncated towards zero.
    index: f64,
    /// 1 for rows, 2 for columns, as in a batch of images.
    axis: usize,
    /// Rows or columns of the image.
    size: usize,
}

/// The label under each point, in the order of the points, from a label image `[row, column]`.
///
/// Positions are truncated towards zero; those that give a negative index count from the end, as in Python.
///
/// # Errors
///
/// [`OutsideImage`] for a point outside the image, or a position that is NaN.
pub fn labels_at<T: Copy>(
    points: &[[f64; 2]],
    labels: ArrayView2<'_, T>,
) -> Result<Vec<T>, OutsideImage> {
    let (rows, columns) = labels.dim();
    let mut found = Vec::with_capacity(points.len());
    for &[row, column] in points {
        let place = [pixel(row, 1, rows)?, pixel(column, 2, columns)?];
        found.push(labels[place]);
    }
    Ok(found)
}

/// The index of a position on an axis of `size` pixels.
fn pixel(position: f64, axis: usize, size: usize) -> Result<usize, OutsideImage> {
    let index = position.trunc();
    let from_start = if index < 0.0 {
        index + size as f64
    } else {
        index
    };
    if from_start >= 0.0 && from_start < size as f64 {
        Ok(from_start as usize)
    } else {
        Err(OutsideImage { index, axis, size })
    }
}

/// Labels, each with its points `[row, column]`.
pub type PointsByLabel<T> = Vec<(T, Vec<[f64; 2]>)>;

/// The points in each label of a label image `[row, column]`, background included.
///
/// Labels come in the order in which the points meet them, the points of a label in their own order.
///
/// # Errors
///
/// As [`labels_at`].
pub fn points_by_label<T: Copy + Eq + Hash>(
    points: &[[f64; 2]],
    labels: ArrayView2<'_, T>,
) -> Result<PointsByLabel<T>, OutsideImage> {
    let mut groups: PointsByLabel<T> = Vec::new();
    let mut places = HashMap::new();
    for (point, label) in points.iter().zip(labels_at(points, labels)?) {
        let place = *places.entry(label).or_insert(groups.len());
        if place == groups.len() {
            groups.push((label, Vec::new()));
        }
        groups[place].1.push(*point);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    proptest! {
        #[test]
        fn spots_are_the_highest_of_their_squares(scores in strategies::plane(20), min_distance in 1..4_usize) {
            let offsets = Array2::from_elem(scores.dim(), 0.25);
            let heads = SpotHeads {
                scores: scores.view(),
                row_offsets: offsets.view(),
                column_offsets: offsets.view(),
            };
            let options = SpotPeaks { threshold: 0.1, min_distance };
            let spots = options.find(&heads);
            let pixels: Vec<[usize; 2]> = spots.iter().map(|point| point.map(|at| at as usize)).collect();
            for (place, &[row, column]) in pixels.iter().enumerate() {
                prop_assert!(f64::from(scores[[row, column]]) > 0.1);
                let higher = scores.indexed_iter().any(|((y, x), &score)| {
                    y.abs_diff(row).max(x.abs_diff(column)) <= min_distance && score > scores[[row, column]]
                });
                prop_assert!(!higher);
                for &[y, x] in &pixels[..place] {
                    prop_assert!(y.abs_diff(row).max(x.abs_diff(column)) >= min_distance);
                    prop_assert!(scores[[y, x]] >= scores[[row, column]]);
                }
            }
        }

        #[test]
        fn per_cent_points_lie_between_sorted_neighbors(plane in strategies::plane(40)) {
            let values: Vec<f32> = plane.iter().copied().collect();
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            for (point, percent) in percent_points(&values).into_iter().zip(CLIPPED_AT) {
                let below = ((values.len() - 1) as f64 * (percent / 100.0)) as usize;
                prop_assert!(sorted[below] <= point && point <= sorted[(below + 1).min(values.len() - 1)]);
            }
        }
    }

    #[test]
    fn a_plane_of_one_value_becomes_nan() {
        let image = min_max_normalize(Array4::from_elem((1, 2, 2, 1), 7.0), Contrast::Full);
        assert!(image.iter().all(|value| value.is_nan()));
    }

    #[test]
    fn points_are_cut_off_towards_zero_and_count_from_the_end_below_it() {
        let labels = array![[1, 2], [3, 4]];
        let points = [[0.9, 1.2], [-0.9, 0.0], [-1.5, -2.0]];
        assert_eq!(labels_at(&points, labels.view()), Ok(vec![2, 1, 3]));
        let error = labels_at(&[[0.0, 2.3]], labels.view()).expect_err("beyond the last column");
        assert_eq!(
            error.to_string(),
            "index 2 is out of bounds for axis 2 with size 2"
        );
        assert!(labels_at(&[[f64::NAN, 0.0]], labels.view()).is_err());
        assert!(labels_at(&[[-3.0, 0.0]], labels.view()).is_err());
    }

    #[test]
    fn labels_come_in_the_order_in_which_points_meet_them() {
        let labels = array![[0, 9]];
        let points = [[0.0, 1.0], [0.0, 0.0], [0.0, 1.5]];
        let groups = points_by_label(&points, labels.view()).expect("all inside");
        assert_eq!(
            groups,
            [(9, vec![[0.0, 1.0], [0.0, 1.5]]), (0, vec![[0.0, 0.0]])]
        );
    }
}
