//! Spots as small disks.

use ndarray::Array2;

use crate::picture::Picture;
use crate::window::Window;

/// Half the width of a disk, in pixels of the picture, whatever its resolution.
const RADIUS: f64 = 1.5;

/// The same with its dark ring.
const RING: f64 = 2.5;

/// Nothing, the ring, the disk.
const COLORS: [[u8; 4]; 3] = [[0; 4], [0, 0, 0, 200], [255, 60, 220, 255]];

/// Positions of spots, by rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SpotLayer(Vec<[f64; 2]>);

impl SpotLayer {
    /// Spots at these rows and columns, in pixels with fractions; those that are not finite are left out.
    #[must_use]
    pub fn new(spots: &[[f64; 2]]) -> Self {
        let mut spots: Vec<_> = spots
            .iter()
            .copied()
            .filter(|spot| spot.iter().all(|place| place.is_finite()))
            .collect();
        spots.sort_unstable_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
        Self(spots)
    }

    /// Positions on a picture that is `scale` times as large, of the spots that may be seen in these rows of it.
    fn near(&self, rows: &std::ops::Range<usize>, scale: f64) -> impl Iterator<Item = [f64; 2]> {
        // The middle of the first pixel is 0 at all resolutions.
        let placed = move |place: f64| (place + 0.5) * scale - 0.5;
        let first = rows.start as f64 - RING;
        let last = rows.end as f64 - 1.0 + RING;
        let start = self.0.partition_point(|spot| placed(spot[0]) < first);
        let rest = self.0[start..].iter().map(move |spot| spot.map(placed));
        rest.take_while(move |spot| spot[0] <= last)
    }
}

/// A window of spots at the resolution that is halved `level` times: disks of three pixels with a dark ring, transparent
/// elsewhere.
#[must_use]
pub fn render_spots(spots: &SpotLayer, level: u32, window: &Window) -> Picture {
    let mut pixels = Array2::zeros((window.height(), window.width()));
    draw(
        &mut pixels,
        spots,
        0.5_f64.powi(level.min(64) as i32),
        window,
    );
    Picture::Indexed {
        pixels,
        palette: COLORS.to_vec(),
    }
}

/// Draws spots on a picture that is `scale` times as large as their image: 1 for rings and 2 for disks.
pub(crate) fn draw(pixels: &mut Array2<u8>, spots: &SpotLayer, scale: f64, window: &Window) {
    let corner = [window.rows.start as f64, window.columns.start as f64];
    let reach = |middle: f64, length: usize| {
        let start = (middle - RING).ceil().max(0.0) as usize;
        let end = (middle + RING).floor() + 1.0;
        start.min(length)..(end.max(0.0) as usize).min(length)
    };
    for spot in spots.near(&window.rows, scale) {
        let middle = [spot[0] - corner[0], spot[1] - corner[1]];
        for row in reach(middle[0], window.height()) {
            for column in reach(middle[1], window.width()) {
                let distance = (row as f64 - middle[0]).hypot(column as f64 - middle[1]);
                let value = u8::from(distance <= RING) + u8::from(distance < RADIUS);
                let pixel = &mut pixels[[row, column]];
                *pixel = (*pixel).max(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(spots: &[[f64; 2]], level: u32, window: &Window) -> Array2<u8> {
        match render_spots(&SpotLayer::new(spots), level, window) {
            Picture::Indexed { pixels, .. } => pixels,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_disk_has_three_pixels_at_every_level() {
        for level in 0..4 {
            let middle = (10.0 + 0.5) * f64::from(1 << level) - 0.5;
            let found = drawn(&[[middle, middle]], level, &Window::whole((20, 20)));
            let disk: Vec<_> = found
                .indexed_iter()
                .filter(|(_, value)| **value == 2)
                .map(|(place, _)| place)
                .collect();
            assert_eq!(disk.len(), 9, "{disk:?}");
            assert_eq!((disk[0], disk[8]), ((9, 9), (11, 11)));
            assert!(found.iter().any(|value| *value == 1));
        }
    }

    #[test]
    fn odd_places_do_no_harm() {
        let spots = [
            [f64::NAN, 1.0],
            [1e300, 2.0],
            [-1e300, 0.0],
            [-1.0, -1.0],
            [0.0, f64::INFINITY],
            [3.0, 1e300],
        ];
        let found = drawn(&spots, 0, &Window::whole((4, 4)));
        assert!(found[[0, 0]] > 0 && found[[3, 3]] == 0);
        assert_eq!(drawn(&spots, 99, &Window::whole((1, 1))).dim(), (1, 1));
    }

    proptest! {
        #[test]
        fn a_window_is_a_part_of_the_whole(
            spots in proptest::collection::vec([-3.0..40.0_f64, -3.0..40.0_f64], 0..30),
            level in 0..3_u32, row in 0..30_usize, column in 0..30_usize, side in 1..30_usize,
        ) {
            let whole = drawn(&spots, level, &Window::whole((30, 30)));
            let rows = row..(row + side).min(30);
            let columns = column..(column + side).min(30);
            let part = drawn(&spots, level, &Window { rows, columns });
            for ((r, c), value) in part.indexed_iter() {
                prop_assert_eq!(*value, whole[[row + r, column + c]]);
            }
            let mut turned = spots.clone();
            turned.reverse();
            prop_assert_eq!(drawn(&turned, level, &Window::whole((30, 30))), whole);
        }
    }
}
