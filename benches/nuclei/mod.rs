//! An image of nuclei, and what a model could say about it: the same for every benchmark, and on every machine.

use ndarray::{Array2, Array4};

/// About one nucleus per 900 pixels.
#[allow(dead_code, reason = "some benchmarks need the image alone")]
pub(crate) struct Nuclei {
    /// `[1, side, side, 2]`, counts of a camera.
    pub(crate) image: Array4<f32>,
    /// `[side, side]`, high in the middle of each nucleus.
    pub(crate) maxima: Array2<f32>,
    /// `[side, side]`, high in each nucleus.
    pub(crate) interior: Array2<f32>,
}

impl Nuclei {
    pub(crate) fn new(side: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(side as u64);
        let mut image =
            Array4::from_shape_simple_fn((1, side, side, 2), || 90.0 + 20.0 * random.f32());
        let mut maxima = Array2::from_shape_simple_fn((side, side), || 0.01 * random.f32());
        let mut interior = Array2::from_shape_simple_fn((side, side), || 0.008 * random.f32());
        for _ in 0..side * side / 900 {
            let centre = [random.f32(), random.f32()].map(|place| place * side as f32);
            let (radius, light) = (7.0 + 6.0 * random.f32(), 400.0 + 3000.0 * random.f32());
            let reach = radius * 1.5;
            let range =
                |at: f32| (at - reach).max(0.0) as usize..((at + reach) as usize + 1).min(side);
            for row in range(centre[0]) {
                for column in range(centre[1]) {
                    let distance =
                        (row as f32 - centre[0]).hypot(column as f32 - centre[1]) / radius;
                    let inside = 1.0 / (1.0 + (12.0 * (distance - 1.0)).exp());
                    let texture = 0.9 + 0.1 * random.f32();
                    image[[0, row, column, 0]] += (light * inside * texture).round();
                    image[[0, row, column, 1]] +=
                        (light * (1.4 - distance).max(0.0) * texture).round();
                    let pixel = [row, column];
                    maxima[pixel] =
                        maxima[pixel].max((1.0 - distance).max(0.0) * (0.98 + 0.02 * random.f32()));
                    interior[pixel] = interior[pixel].max(inside * (0.97 + 0.03 * random.f32()));
                }
            }
        }
        image.mapv_inplace(f32::floor);
        Self {
            image,
            maxima,
            interior,
        }
    }
}
