//! The corners of star-convex polygons: one on each ray from a center, at the ray's distance.

use std::f64::consts::TAU;

use super::clipper::{Clipper, Point};

/// The directions of rays as suppression has them: everything in `f32`.
#[derive(Clone, Debug)]
pub(super) struct Rays {
    /// Sine and cosine of each ray's angle: rows and columns of a unit.
    directions: Vec<[f32; 2]>,
}

impl Rays {
    pub(super) fn new(count: usize) -> Self {
        let step = (TAU / count as f64) as f32;
        let direction = |ray: usize| {
            let (sine, cosine) = (step * ray as f32).sin_cos();
            [sine, cosine]
        };
        Self {
            directions: (0..count).map(direction).collect(),
        }
    }

    /// The corners of a polygon around a center `[row, column]`, cut off towards zero. None if one of them is beyond reach.
    pub(super) fn corners(
        &self,
        [row, column]: [f32; 2],
        distances: &[f32],
        corners: &mut Vec<Point>,
    ) -> Option<()> {
        corners.clear();
        let mut is_near = true;
        corners.extend(
            self.directions
                .iter()
                .zip(distances)
                .map(|(ray, distance)| {
                    let (y, x) = (row + distance * ray[0], column + distance * ray[1]);
                    is_near &= y.abs() < REACH && x.abs() < REACH;
                    Point::new(x as i32, y as i32)
                }),
        );
        is_near.then_some(())
    }
}

/// Beyond it, corners are not computed with.
const REACH: f32 = Clipper::REACH as f32;

/// The corners of a polygon as they are painted: `f32` again after each step, angles and products in `f64`.
pub(super) fn vertices(point: [f64; 2], scale: [f64; 2], distances: &[f32]) -> [Vec<f32>; 2] {
    let step = TAU / distances.len() as f64;
    let along = |axis: usize, unit: fn(f64) -> f64| {
        let rays = distances.iter().enumerate();
        rays.map(|(ray, &distance)| {
            let offset = (f64::from(distance) * unit(ray as f64 * step)) as f32;
            let scaled = (f64::from(offset) * scale[axis]) as f32;
            (f64::from(scaled) + point[axis]) as f32
        })
        .collect()
    };
    [along(0, f64::sin), along(1, f64::cos)]
}
