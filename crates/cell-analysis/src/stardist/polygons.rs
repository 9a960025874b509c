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
