//! Star-convex polygons that stay after suppression, and the label image of them.

use std::cmp::Ordering;

use ndarray::{Array2, Array3, ArrayView1};
use rayon::prelude::*;

use super::paint::Polygon;
use super::rays::vertices;

/// Rows of a label image that are painted one after the other.
const BAND: usize = 64;

/// Star-convex polygons: each has a corner on every ray from its center, the first ray to the right, the next ones turning
/// towards higher rows.
#[derive(Clone, Debug, PartialEq)]
pub struct StarPolygons {
    /// Centers `[row, column]` in pixels.
    pub points: Vec<[f64; 2]>,
    /// How sure the model is of each.
    pub scores: Vec<f32>,
    /// Distances `[polygon, ray]` from center to corner, in pixels of the image that the model has seen.
    pub distances: Array2<f32>,
    /// Pixels for each of those pixels, down and across: 1 unless that image was rescaled.
    pub scale: [f64; 2],
}

impl StarPolygons {
    /// Number of polygons.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The same polygons in an image that has `factors` times the rows and columns.
    #[must_use]
    pub fn rescaled(mut self, factors: [f64; 2]) -> Self {
        for axis in [0, 1] {
            self.scale[axis] *= factors[axis];
            self.points
                .iter_mut()
                .for_each(|point| point[axis] *= factors[axis]);
        }
        self
    }

    /// Corners `[polygon, 2, ray]` in pixels, rows before columns, as `dist_to_coord` of stardist 0.9 computes them: offsets,
    /// scaled offsets and sums are rounded to `f32`.
    ///
    /// # Panics
    ///
    /// If there is not one point for each row of distances.
    #[must_use]
    pub fn vertices(&self) -> Array3<f32> {
        let (count, rays) = self.distances.dim();
        assert_eq!(self.points.len(), count, "a point for each polygon");
        let mut vertices = Array3::zeros((count, 2, rays));
        for (number, mut axes) in vertices.outer_iter_mut().enumerate() {
            for (mut axis, corners) in axes.outer_iter_mut().zip(self.corners(number)) {
                axis.assign(&ArrayView1::from(&corners));
            }
        }
        vertices
    }

    /// A label image `[row, column]` of the polygons, 0 for the background, as `polygons_to_label` of stardist 0.9 paints it.
    ///
    /// Polygons are labeled by their place among those with a score above `threshold` (minus infinity: all), from 1. Where
    /// they overlap, the one with the highest score is on top; of equal scores, the later one. Pixels are painted whose
    /// centers are inside or on the edge. A polygon with a corner that is not finite is left out.
    ///
    /// # Panics
    ///
    /// If there is not one point and one score for each row of distances.
    #[must_use]
    pub fn labels(&self, shape: [usize; 2], threshold: f32) -> Array2<u32> {
        let count = self.distances.nrows();
        assert_eq!(self.points.len(), count, "a point for each polygon");
        assert_eq!(self.scores.len(), count, "a score for each polygon");
        let above = (0..count).filter(|&number| self.scores[number] > threshold);
        let mut layers: Vec<(u32, usize)> = (1..).zip(above).collect();
        layers.sort_by(|(_, a), (_, b)| {
            let order = self.scores[*a].partial_cmp(&self.scores[*b]);
            order.unwrap_or(Ordering::Equal)
        });
        let layers: Vec<(u32, Polygon)> = layers
            .into_par_iter()
            .filter_map(|(label, number)| Some((label, Polygon::new(self.corners(number), shape)?)))
            .collect();
        painted(&layers, shape)
    }

    fn corners(&self, number: usize) -> [Vec<f32>; 2] {
        let distances = self.distances.row(number);
        let distances: Vec<f32> = distances.iter().copied().collect();
        vertices(self.points[number], self.scale, &distances)
    }
}

/// Paints polygons, each over those before it, in bands side by side.
fn painted(layers: &[(u32, Polygon)], [rows, columns]: [usize; 2]) -> Array2<u32> {
    let mut bands = vec![Vec::new(); rows.div_ceil(BAND)];
    for (layer, (_, polygon)) in layers.iter().enumerate() {
        let [first, last] = polygon.row_range();
        for band in &mut bands[first / BAND..=last / BAND] {
            band.push(layer);
        }
    }
    let mut labels = Array2::zeros((rows, columns));
    if let Some(pixels) = labels.as_slice_mut() {
        pixels
            .par_chunks_mut((BAND * columns).max(1))
            .zip(&bands)
            .enumerate()
            .for_each(|(place, (band, layers_of_band))| {
                for &layer in layers_of_band {
                    let (label, polygon) = &layers[layer];
                    polygon.paint(*label, band, place * BAND, columns);
                }
            });
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squares that stand on a corner.
    fn squares(points: &[[f64; 2]], scores: &[f32], radius: f32) -> StarPolygons {
        StarPolygons {
            points: points.to_vec(),
            scores: scores.to_vec(),
            distances: Array2::from_elem((points.len(), 4), radius),
            scale: [1.0, 1.0],
        }
    }

    fn count(labels: &Array2<u32>, label: u32) -> usize {
        labels.iter().filter(|&&found| found == label).count()
    }

    #[test]
    fn the_highest_score_is_on_top_and_of_equal_scores_the_later_one() {
        let pair = |scores: [f32; 2]| {
            let polygons = squares(&[[5.0, 5.0], [5.0, 7.0]], &scores, 2.0);
            polygons.labels([11, 13], f32::NEG_INFINITY)[[5, 6]]
        };
        assert_eq!((pair([0.9, 0.8]), pair([0.8, 0.9])), (1, 2));
        assert_eq!((pair([0.8, 0.8]), pair([0.0, -0.0])), (2, 2));
    }

    #[test]
    fn labels_count_those_above_the_threshold() {
        let polygons = squares(
            &[[3.0, 3.0], [3.0, 10.0], [10.0, 3.0]],
            &[0.5, 0.6, f32::NAN],
            2.0,
        );
        let labels = polygons.labels([14, 14], 0.5);
        assert_eq!(
            (labels[[3, 10]], labels[[3, 3]], labels[[10, 3]]),
            (1, 0, 0)
        );
        assert_eq!(count(&labels, 1), 13);
    }

    #[test]
    fn bands_of_a_tall_image_fit_together() {
        let tall = squares(&[[150.0, 100.0]], &[1.0], 100.0).labels([300, 201], 0.0);
        let inside = |row: usize, column: usize| row.abs_diff(150) + column.abs_diff(100) <= 100;
        for ((row, column), &label) in tall.indexed_iter() {
            assert_eq!(label, u32::from(inside(row, column)), "{row}, {column}");
        }
    }

    #[test]
    fn polygons_of_a_rescaled_image_are_as_large_as_in_the_original() {
        let small = squares(&[[3.0, 2.0]], &[1.0], 2.0);
        let large = small.rescaled([2.0, 3.0]);
        assert_eq!((large.points[0], large.scale), ([6.0, 6.0], [2.0, 3.0]));
        let vertices = large.vertices();
        assert_eq!(vertices.shape(), [1, 2, 4]);
        assert_eq!(
            vertices.as_slice().unwrap(),
            [6.0, 10.0, 6.0, 2.0, 12.0, 6.0, 0.0, 6.0]
        );
    }

    #[test]
    fn images_without_pixels_and_sets_without_polygons_have_labels_of_their_shape() {
        let none = squares(&[], &[], 1.0);
        assert!(none.is_empty());
        assert_eq!(none.vertices().dim(), (0, 2, 4));
        assert_eq!(none.labels([2, 3], 0.0), Array2::<u32>::zeros((2, 3)));
        let one = squares(&[[0.0, 0.0]], &[1.0], 1.0);
        for shape in [[0, 5], [5, 0], [0, 0]] {
            assert_eq!(one.labels(shape, 0.0).shape(), shape);
        }
        assert_eq!(
            (one.len(), one.labels([1, 1], 0.0)),
            (1, Array2::<u32>::ones((1, 1)))
        );
    }
}
