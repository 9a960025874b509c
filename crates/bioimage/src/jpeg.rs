//! JPEG files, and the JPEG segments of TIFF files.

use std::borrow::Cow;

use ndarray::ArrayD;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::array::channels_last;
use crate::error::Error;
use crate::limits::Limits;

/// `[row, column, channel]`: gray 1, color 3 (RGB), print color 4 (CMYK, 255 is full ink); orientation is ignored.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options());
    let (width, height) = headers(&mut decoder)?;
    limits.values(&[height, width, 4])?;
    let picture = pixels(decoder, [height, width], None)?;
    channels_last(&picture.samples, [height, width, picture.channels])
}

/// The shape that [`decode`] would give.
pub(crate) fn shape(bytes: &[u8]) -> Result<Vec<usize>, Error> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options());
    let (width, height) = headers(&mut decoder)?;
    let (_, channels) = shown(stored_colors(&decoder), None)?;
    Ok(vec![height, width, channels])
}

/// One decoded JPEG stream.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
    /// Row by row, the channels of a pixel together.
    pub(crate) samples: Vec<u8>,
}

/// What the TIFF around a segment says of it.
pub(crate) struct Expected {
    /// Channels of a pixel.
    pub(crate) channels: usize,
    /// Code of the color space.
    pub(crate) photometric: u64,
    /// Most pixels.
    pub(crate) most_pixels: usize,
}

/// A strip or tile of a TIFF, with the tables its page has for all of them. YCbCr becomes RGB, unless the TIFF says that it
/// is RGB already; print colors are as stored.
pub(crate) fn decode_segment(
    tables: &[u8],
    segment: &[u8],
    expected: &Expected,
) -> Result<Picture, Error> {
    // The tables are a stream of their own: without its end mark and the segment's start mark both make one stream.
    let joined = match (tables, segment) {
        ([tables @ .., 0xff, 0xd9], [0xff, 0xd8, rest @ ..]) if tables.len() >= 2 => {
            Cow::Owned([tables, rest].concat())
        }
        _ => Cow::Borrowed(segment),
    };
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*joined), options());
    let (width, height) = headers(&mut decoder)?;
    // Checked before pixels are decoded, which is what takes memory.
    let (_, channels) = shown(stored_colors(&decoder), Some(expected.photometric))?;
    if channels != expected.channels || width * height > expected.most_pixels {
        return Err(Error::corrupt(
            "a JPEG strip or tile has another size than the image says",
        ));
    }
    pixels(decoder, [height, width], Some(expected.photometric))
}

const RGB: u64 = 2;

fn options() -> DecoderOptions {
    DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true)
}

fn headers(decoder: &mut JpegDecoder<ZCursor<&[u8]>>) -> Result<(usize, usize), Error> {
    decoder
        .decode_headers()
        .map_err(|error| Error::corrupt(format!("JPEG: {error:?}")))?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    if width == 0 || height == 0 {
        return Err(Error::corrupt("the image has no pixels"));
    }
    Ok((width, height))
}

/// `photometric` is what a TIFF says of the colors; without it the stream's own marks count.
fn pixels(
    mut decoder: JpegDecoder<ZCursor<&[u8]>>,
    [height, width]: [usize; 2],
    photometric: Option<u64>,
) -> Result<Picture, Error> {
    let (shown, channels) = shown(stored_colors(&decoder), photometric)?;
    decoder.set_options(options().jpeg_set_out_colorspace(shown));
    let mut samples = decoder
        .decode()
        .map_err(|error| Error::corrupt(format!("JPEG: {error:?}")))?;
    // Adobe's programs store CMYK inverted, and Pillow turns it back; inside a TIFF it is stored as it is.
    if shown == ColorSpace::CMYK && photometric.is_none() {
        samples
            .iter_mut()
            .for_each(|sample| *sample = 255 - *sample);
    }
    if samples.len() != width * height * channels {
        return Err(Error::corrupt("the JPEG data do not fill the image"));
    }
    Ok(Picture {
        width,
        height,
        channels,
        samples,
    })
}

fn stored_colors(decoder: &JpegDecoder<ZCursor<&[u8]>>) -> ColorSpace {
    decoder.input_colorspace().unwrap_or(ColorSpace::Unknown)
}

/// What stored colors are decoded to, and in how many channels.
fn shown(stored: ColorSpace, photometric: Option<u64>) -> Result<(ColorSpace, usize), Error> {
    match stored {
        ColorSpace::Luma => Ok((ColorSpace::Luma, 1)),
        ColorSpace::YCbCr if photometric == Some(RGB) => Ok((ColorSpace::YCbCr, 3)),
        ColorSpace::YCbCr | ColorSpace::RGB => Ok((ColorSpace::RGB, 3)),
        ColorSpace::CMYK => Ok((ColorSpace::CMYK, 4)),
        _ => Err(Error::unsupported("JPEG in an unusual color space")),
    }
}
