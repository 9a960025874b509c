//! The overlay of a spot job, for people to look at: the image in gray, every spot a dot.

use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2, Axis};

/// Side that small images are enlarged to, and side that large ones are shrunk to, about.
const SIDES: [usize; 2] = [640, 1024];

/// Radius of a dot in pixels of the picture.
const RADIUS: f64 = 2.5;

const MAGENTA: [u8; 3] = [255, 0, 255];

/// An RGB picture `[row, column, 3]` of a gray image `[row, column]` with a magenta dot at each of `points`, which are
/// `[row, column]` in pixels, 0 being the center of the first pixel.
///
/// Values are stretched from the smallest (black) to the largest (white); values that are not finite are black. An image
/// with a longer side below 640 pixels is enlarged by a whole factor, its pixels repeated; one above 1024 is shrunk by a
/// whole factor to the means of its blocks. Points outside the picture are left out.
#[must_use]
pub fn spot_overlay(image: ArrayView2<'_, f32>, points: &[[f64; 2]]) -> Array3<u8> {
    let longest = image.nrows().max(image.ncols()).max(1);
    let shrink = longest.div_ceil(SIDES[1]);
    let enlarge = (SIDES[0] / longest).max(1);
    let gray = stretched(&block_means(image, shrink));
    let (rows, columns) = gray.dim();
    let mut picture = Array3::zeros((rows * enlarge, columns * enlarge, 3));
    for ((row, column, _), value) in picture.indexed_iter_mut() {
        *value = gray[[row / enlarge, column / enlarge]];
    }
    let scale = enlarge as f64 / shrink as f64;
    for point in points {
        dot(&mut picture, point.map(|at| (at + 0.5) * scale));
    }
    picture
}

/// Means of squares of `side` pixels; those at the lower and right edge may be smaller.
fn block_means(image: ArrayView2<'_, f32>, side: usize) -> Array2<f32> {
    if side == 1 {
        return image.to_owned();
    }
    let (rows, columns) = (image.nrows().div_ceil(side), image.ncols().div_ceil(side));
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let rows = row * side..((row + 1) * side).min(image.nrows());
        let columns = column * side..((column + 1) * side).min(image.ncols());
        let block = image.slice_axis(Axis(0), rows.into());
        block
            .slice_axis(Axis(1), columns.into())
            .mean()
            .unwrap_or(0.0)
    })
}

fn stretched(image: &Array2<f32>) -> Array2<u8> {
    let finite = image.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f32::MAX, f32::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let factor = if high > low {
        255.0 / (f64::from(high) - f64::from(low))
    } else {
        0.0
    };
    image.mapv(|value| {
        if value.is_finite() {
            ((f64::from(value) - f64::from(low)) * factor).round() as u8
        } else {
            0
        }
    })
}

/// The pixels of an axis that a dot at this place may touch.
fn reach(at: f64, length: usize) -> Range<usize> {
    let from = (at - RADIUS).floor().max(0.0) as usize;
    from..((at + RADIUS).ceil().max(0.0) as usize).min(length)
}

/// Paints all pixels whose centers are near `[row, column]`, the picture's upper left corner being `[0, 0]`.
fn dot(picture: &mut Array3<u8>, [y, x]: [f64; 2]) {
    let (rows, columns, _) = picture.dim();
    for row in reach(y, rows) {
        for column in reach(x, columns) {
            let distance = (row as f64 + 0.5 - y).hypot(column as f64 + 0.5 - x);
            if distance <= RADIUS {
                let mut pixel = picture
                    .index_axis_mut(Axis(0), row)
                    .index_axis_move(Axis(0), column);
                pixel
                    .iter_mut()
                    .zip(MAGENTA)
                    .for_each(|(to, color)| *to = color);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, decode, encode_tiff};

    fn color(picture: &Array3<u8>, row: usize, column: usize) -> [u8; 3] {
        [0, 1, 2].map(|channel| picture[[row, column, channel]])
    }

    #[test]
    fn a_small_image_is_enlarged_and_its_spots_lie_on_their_pixels() {
        let image = Array2::from_shape_fn((10, 20), |(row, column)| (row + column) as f32);
        let picture = spot_overlay(image.view(), &[[3.0, 15.0]]);
        assert_eq!(picture.dim(), (320, 640, 3));
        assert_eq!(color(&picture, 112, 496), MAGENTA);
        assert_eq!(color(&picture, 0, 0), [0; 3]);
        assert_eq!(color(&picture, 319, 639), [255; 3]);
        assert_eq!(color(&picture, 100, 496), [164; 3]);
    }

    #[test]
    fn a_large_image_is_shrunk() {
        let mut image = Array2::zeros((1500, 3000));
        image[[1499, 2999]] = 9.0;
        let picture = spot_overlay(image.view(), &[[0.0, 0.0]]);
        assert_eq!(picture.dim(), (500, 1000, 3));
        assert_eq!(color(&picture, 499, 999), [255; 3]);
        assert_eq!(color(&picture, 0, 0), MAGENTA);
    }

    #[test]
    fn odd_values_and_odd_points_do_no_harm() {
        let image = Array2::from_elem((3, 3), f32::NAN);
        let points = [[f64::NAN, 0.0], [1e300, -1e300], [-5.0, f64::INFINITY]];
        assert!(
            spot_overlay(image.view(), &points)
                .iter()
                .all(|&value| value == 0)
        );
        assert_eq!(spot_overlay(Array2::zeros((0, 0)).view(), &points).len(), 0);
    }

    #[test]
    fn a_picture_is_a_color_page_of_a_file() {
        let picture = spot_overlay(Array2::eye(4).view(), &[[1.0, 2.0]]);
        let file = encode_tiff(picture.view().into_dyn());
        let read = decode(&file, "picture.tif", &Limits::default()).expect("our own");
        assert_eq!(read, picture.mapv(f32::from).into_dyn());
    }
}
