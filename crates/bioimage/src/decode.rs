//! Which decoder reads a file.

use std::ops::Range;

use ndarray::ArrayD;

use crate::error::Error;
use crate::header::Header;
use crate::limits::Limits;
use crate::pieces::{Pieces, Source};
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
    header(Source::Whole(bytes), bytes, name)
}

/// Height and width of a pixel in micrometers, if a TIFF tells them: in OME-XML, or by `ImageJ`'s unit and the resolution.
#[must_use]
pub fn pixel_size(bytes: &[u8], name: &str) -> Option<[f64; 2]> {
    match Format::of(bytes, name).ok()? {
        Format::Tiff | Format::TiffByContent => tiff::pixel_size(bytes),
        _ => None,
    }
}

/// What [`header_of`] gives of a file of which only some pieces are in memory; or which bytes are needed to tell. When they have been
/// [inserted](Pieces::insert), and more beside them as it suits, this is to be called again.
///
/// # Errors
///
/// As [`header_of`].
pub fn header_of_pieces(pieces: &mut Pieces, name: &str) -> Result<Found, Error> {
    let begin = pieces.begin();
    let header = header(Source::Pieces(pieces), begin, name);
    let is_at_begin = match Format::of(begin, name) {
        Ok(Format::Tiff | Format::TiffByContent) => false,
        Ok(_) => true,
        Err(_) => begin.len() < SIGNATURE,
    };
    // However long the header of a picture is, it is at the beginning.
    if is_at_begin && header.is_err() && begin.len() < pieces.size() {
        let more = begin.len().saturating_mul(2).max(PICTURE_HEADER);
        pieces.want(begin.len()..more.min(pieces.size()));
    }
    match pieces.take_missing() {
        Some(missing) => Ok(Found::Needs(missing)),
        None => header.map(Found::Header),
    }
}

/// What [`header_of_pieces`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The header.
    Header(Header),
    /// These bytes are needed first.
    Needs(Range<usize>),
}

/// The header of a file that begins with these bytes.
fn header(source: Source<'_>, begin: &[u8], name: &str) -> Result<Header, Error> {
    // Beside each value as f32 there are the stored sample, and what a decoder keeps: the frame of a GIF, the
    // coefficients of a JPEG.
    let header = match Format::of(begin, name)? {
        Format::Tiff => tiff::header(source)?,
        Format::TiffByContent => tiff::header_by_content(source)?,
        Format::Png => {
            let (shape, bits) = png::shape(begin)?;
            Header::of_picture(shape, bits, 6)
        }
        Format::Jpeg => Header::of_picture(jpeg::shape(begin)?, 8, 12),
        Format::Gif => Header::of_picture(gif::shape(begin)?, 8, 6),
        Format::Bmp => Header::of_picture(bmp::shape(begin)?, 8, 5),
    };
    if header.shape.contains(&0) {
        return Err(Error::corrupt("the image has no pixels"));
    }
    Ok(header)
}

/// Bytes by which files are told apart.
const SIGNATURE: usize = 4;

/// Bytes that are needed of a picture at first.
const PICTURE_HEADER: usize = 4096;

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

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::tiff::write::encode_tiff;

    /// The header by pieces of a file, and how many bytes were needed.
    fn by_pieces(file: &[u8], name: &str) -> (Result<Header, Error>, usize) {
        let (mut pieces, mut fetched) = (Pieces::new(file.len()), 0);
        loop {
            match header_of_pieces(&mut pieces, name) {
                Ok(Found::Needs(range)) => {
                    fetched += range.len();
                    pieces.insert(range.start, file[range].to_vec());
                }
                Ok(Found::Header(header)) => return (Ok(header), fetched),
                Err(error) => return (Err(error), fetched),
            }
        }
    }

    #[test]
    fn a_header_is_the_same_from_pieces() {
        let movie = encode_tiff(Array3::<u16>::zeros((60, 64, 64)).view().into_dyn());
        for name in ["a.tif", "a.btf"] {
            let (header, fetched) = by_pieces(&movie, name);
            let header = header.expect("a movie");
            assert_eq!(header_of(&movie, name).ok(), Some(header.clone()));
            assert_eq!(
                (header.shape, header.sample.as_str()),
                (vec![60, 64, 64], "u16")
            );
            assert!(fetched < movie.len() / 10, "{fetched} of {}", movie.len());
        }
    }

    #[test]
    fn what_is_no_image_is_not_read_to_its_end() {
        let text = [b'x'; 100_000];
        let (header, fetched) = by_pieces(&text, "a.png");
        assert!(matches!(header, Err(Error::NotAnImage(_))));
        assert_eq!(fetched, PICTURE_HEADER);
    }

    #[test]
    fn what_is_wrong_with_a_header_is_the_same_from_pieces() {
        let mut movie = encode_tiff(Array3::<u8>::zeros((4, 64, 64)).view().into_dyn());
        movie.truncate(40);
        let text = |header: Result<Header, Error>| header.expect_err("no directory").to_string();
        let (header, _) = by_pieces(&movie, "a.tif");
        assert_eq!(text(header), text(header_of(&movie, "a.tif")));
    }
}
