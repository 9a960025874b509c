//! Which decoder reads a file.

use ndarray::ArrayD;

use crate::error::Error;
use crate::header::Header;
use crate::limits::Limits;
use crate::tiff::read as tiff;
use crate::{bmp, gif, jpeg, png};

/// The image in `bytes` as f32, axes as the file gives them.
///
/// `name` decides the decoder by its suffix alone: `.tif` and `.tiff` (any case) go to the TIFF reader whatever the content
/// is; everything else goes by content (PNG, JPEG, BMP, GIF, and TIFF under another name).
///
/// * A TIFF keeps the axes of its first series, none added or removed: `[row, column]`, `[page, row, column]`,
///   `[row, column, sample]`, … up to what its description says.
/// * So does a TIFF under another name (`.qptiff`, `.btf`, `.lsm`, …) with several pages.
/// * Anything else, a TIFF of a single page under another name included, is `[row, column, channel]`: gray 1, gray with
///   alpha 2, color 3, with alpha 4; a palette image is 1 channel of indices.
///
/// Values are the stored samples (a palette index, a white-is-zero sample as it is), with the exceptions that Pillow makes:
/// PNG gray of 2 and 4 bits is scaled to 0 … 255, PNG colors of 16 bits keep their high byte, and YCbCr of a JPEG becomes
/// RGB. Integers beyond 24 bits and f64 are rounded to the nearest f32, ties to even; complex samples keep their real part.
///
/// # Errors
///
/// See [`Error`]. No input makes it panic: sizes that the file declares are checked against `limits`, and against what the
/// file can hold, before memory is taken.
pub fn decode(bytes: &[u8], name: &str, limits: &Limits) -> Result<ArrayD<f32>, Error> {
    match Format::of(bytes, name)? {
        Format::Tiff => tiff::decode(bytes, limits),
        Format::TiffByContent => tiff::decode_by_content(bytes, limits),
        Format::Png => png::decode(bytes, limits),
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::Gif => gif::decode(bytes, limits),
        Format::Bmp => bmp::decode(bytes, limits),
    }
}

/// What [`decode`] would give and take, from the file's header alone; no pixel is read.
///
/// # Errors
///
/// Those of [`decode`] that the header shows, but never [`Error::TooLarge`].
pub fn header_of(bytes: &[u8], name: &str) -> Result<Header, Error> {
    // Beside each value as f32 there are the stored sample, and what a decoder keeps: the frame of a GIF, the
    // coefficients of a JPEG.
    let header = match Format::of(bytes, name)? {
        Format::Tiff => tiff::header(bytes)?,
        Format::TiffByContent => tiff::header_by_content(bytes)?,
        Format::Png => Header::of_picture(png::shape(bytes)?, 6),
        Format::Jpeg => Header::of_picture(jpeg::shape(bytes)?, 12),
        Format::Gif => Header::of_picture(gif::shape(bytes)?, 6),
        Format::Bmp => Header::of_picture(bmp::shape(bytes)?, 5),
    };
    if header.shape.contains(&0) {
        return Err(Error::corrupt("the image has no pixels"));
    }
    Ok(header)
}

/// Whether the suffix of `name` sends it to the TIFF reader: `.tif` or `.tiff` in any case.
fn is_tiff_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with(".tif") || lower.ends_with(".tiff")
}

enum Format {
    Tiff,
    /// A TIFF under another name.
    TiffByContent,
    Png,
    Jpeg,
    Gif,
    Bmp,
}

impl Format {
    fn of(bytes: &[u8], name: &str) -> Result<Self, Error> {
        if is_tiff_name(name) {
            return Ok(Self::Tiff);
        }
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [b'G', b'I', b'F', b'8', ..] => Ok(Self::Gif),
            [b'B', b'M', ..] => Ok(Self::Bmp),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Ok(Self::TiffByContent),
            _ => Err(Error::NotAnImage("neither PNG, JPEG, TIFF, BMP nor GIF")),
        }
    }
}
