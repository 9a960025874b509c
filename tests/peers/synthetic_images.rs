//! Files in which the stand-in models find objects.

use bioimage::encode_tiff;
use ndarray::Array3;

use super::cluster::IMAGE;
use super::results::zipped;

/// An archive with [`IMAGE`] under each of these names.
pub(crate) fn archive(names: &[impl AsRef<str>]) -> Vec<u8> {
    zipped(
        names
            .iter()
            .map(|name| (name.as_ref().to_owned(), IMAGE.to_vec())),
    )
}

/// A movie of 96 x 96 pixels: two bright squares on a dark ground, which move towards each other's rows.
pub(crate) fn movie(frames: usize) -> Vec<u8> {
    let movie = Array3::from_shape_fn((frames, 96, 96), |(t, row, column)| {
        let inside =
            |at: usize, column_at: usize| row.abs_diff(at) < 8 && column.abs_diff(column_at) < 8;
        if inside(30 + t, 30) || inside(60 - t, 66) {
            200.0_f32
        } else {
            20.0
        }
    });
    encode_tiff(movie.view().into_dyn())
}

/// An image `[row, column, channel]` of 96 x 96 pixels: a dot every 20 pixels in the first channel, and a bright square in
/// each of the others.
pub(crate) fn spots_and_cells(channels: usize) -> Vec<u8> {
    let image = Array3::from_shape_fn((96, 96, channels), |(row, column, channel)| match channel {
        0 if row % 20 == 10 && column % 20 == 10 => 1000.0_f32,
        0 if (row % 20).abs_diff(10).max((column % 20).abs_diff(10)) == 1 => 800.0,
        0 => 10.0,
        _ if row.abs_diff(30) < 9 && column.abs_diff(30) < 9 => 200.0,
        _ => 20.0,
    });
    encode_tiff(image.view().into_dyn())
}
