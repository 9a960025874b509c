//! JPEG 2000 segments of TIFF files, 8 bits a sample.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use crate::error::Error;
use crate::jpeg::Picture;

/// A strip or tile of at most `most_pixels` with so many channels.
pub(crate) fn decode_segment(
    segment: &[u8],
    channels: usize,
    most_pixels: usize,
) -> Result<Picture, Error> {
    let settings = DecodeSettings {
        strict: true,
        resolve_palette_indices: false,
        ..DecodeSettings::default()
    };
    // The header is checked before pixels are decoded, which is what takes memory.
    let image = Image::new(segment, &settings).map_err(error)?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width.saturating_mul(height) > most_pixels {
        return Err(Error::corrupt(
            "a JPEG 2000 strip or tile is larger than the image says",
        ));
    }
    if image.original_bit_depth() != 8 {
        return Err(Error::unsupported(
            "JPEG 2000 compression of samples that are not 8 bits",
        ));
    }
    let mut context = DecoderContext::default();
    let samples = image.decode(&mut context).map_err(error)?.data_u8();
    if samples.len() != width * height * channels {
        return Err(Error::corrupt("the JPEG 2000 data do not fill the image"));
    }
    Ok(Picture {
        width,
        height,
        channels,
        samples,
    })
}

fn error(error: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("JPEG 2000: {error}"))
}
