//! The corners of star-convex polygons: one on each ray from a center, at the ray's distance.

use std::f64::consts::TAU;

use super::clipper::{Clipper, Corners};

/// The directions of rays as suppression has them: everything in `f32`.
#[derive(Clone, Debug)]
pub(super) struct Rays {
    sines: Vec<f32>,
    cosines: Vec<f32>,
}

impl Rays {
    pub(super) fn new(count: usize) -> Self {
        let step = (TAU / count as f64) as f32;
        let angles = (0..count).map(|ray| step * ray as f32);
        let (sines, cosines) = angles.map(f32::sin_cos).unzip();
        Self { sines, cosines }
    }

    /// The corners of a polygon around a center `[row, column]`, cut off towards zero.
    pub(super) fn corners(&self, center: [f32; 2], distances: &[f32], corners: &mut Corners) {
        let Corners { xs, ys } = corners;
        for (axis, units, center) in [(ys, &self.sines, center[0]), (xs, &self.cosines, center[1])]
        {
            let offsets = units.iter().zip(distances);
            axis.clear();
            axis.extend(offsets.map(|(unit, distance)| (center + distance * unit) as i32));
        }
    }
}

/// Whether a polygon is small enough, and near enough to the origin, to be computed with.
pub(super) fn is_within_reach(center: [f32; 2], distances: &[f32]) -> bool {
    let reach = Clipper::REACH as f32 / 2.0;
    let is_near = |at: &f32| at.abs() < reach;
    center.iter().all(is_near) && distances.iter().all(is_near)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_turn_from_the_right_towards_higher_rows_and_corners_are_cut_off_towards_zero() {
        let mut corners = Corners::default();
        Rays::new(4).corners([-1.0, 2.0], &[3.7, 3.7, 3.7, 3.7], &mut corners);
        assert_eq!(
            (corners.xs, corners.ys),
            (vec![5, 1, -1, 2], vec![-1, 2, -1, -4])
        );
        let [rows, columns] = vertices([1.0, 2.0], [1.0, 1.0], &[3.0; 4]);
        assert_eq!(
            (rows, columns),
            (vec![1.0, 4.0, 1.0, -2.0], vec![5.0, 2.0, -1.0, 2.0])
        );
    }

    #[test]
    fn a_scale_stretches_distances_but_not_centers() {
        let [rows, columns] = vertices([1.0, 2.0], [2.0, 0.5], &[3.0; 4]);
        assert_eq!(
            (rows, columns),
            (vec![1.0, 7.0, 1.0, -5.0], vec![3.5, 2.0, 0.5, 2.0])
        );
    }
}
