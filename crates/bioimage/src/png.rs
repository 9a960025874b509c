//! PNG files, with the samples that Pillow gives for them.
//!
//! Read by the `png` crate itself, not through `image`: that one would turn palettes to colors, scale 1-bit gray and add an
//! alpha channel for transparency, and to undo all this takes more lines than to read what is stored.

use std::io::Cursor;

use ndarray::ArrayD;
use png::{BitDepth, ColorType, Decoder, Info, Reader, Transformations};

use crate::array::array;
use crate::error::Error;
use crate::limits::Limits;

/// Most bytes that a byte of deflate data stands for.
const MOST_EXPANSION: u64 = 1032;

/// What may be spent on a header.
const HEADER_BYTES: u64 = 1 << 20;

/// `[row, column, channel]`.
///
/// Gray of 1 bit is 0 or 1, of 2 and 4 bits it is scaled to 255, of 16 bits it is kept. Palette images are indices. 16-bit
/// colors keep their high byte, and 16-bit gray with alpha becomes color with alpha that way. Transparency chunks, gamma
/// and profiles are ignored.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    // The header needs some room of its own, whatever the pixels may take.
    let mut reader = open(bytes, limits.max_decoded_bytes.max(HEADER_BYTES))?;
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    let stored_as = Samples::of(reader.info());
    let channels = stored_as.channels();
    limits.values(&[height, width, channels])?;
    let row_bytes = reader.info().raw_row_length() - 1;
    let stored = height as u64 * row_bytes as u64;
    if stored / MOST_EXPANSION > bytes.len() as u64 {
        return Err(Error::corrupt("the file is too short for the image's size"));
    }
    let size = reader
        .output_buffer_size()
        .ok_or_else(|| Error::corrupt("the image's size is out of range"))?;
    let mut samples = vec![0; size];
    reader.next_frame(&mut samples).map_err(error)?;
    let mut values = Vec::with_capacity(height * width * channels);
    for row in samples.chunks_exact(row_bytes).take(height) {
        stored_as.append_row(row, width, &mut values);
    }
    array(values, &[height, width, channels])
}

/// The shape that [`decode`] would give, and the bits of a sample.
pub(crate) fn shape(bytes: &[u8]) -> Result<(Vec<usize>, u8), Error> {
    let reader = open(bytes, HEADER_BYTES)?;
    let info = reader.info();
    let channels = Samples::of(info).channels();
    let shape = vec![info.height as usize, info.width as usize, channels];
    Ok((shape, info.bit_depth as u8))
}

fn open(bytes: &[u8], allowed_bytes: u64) -> Result<Reader<Cursor<&[u8]>>, Error> {
    let limits = png::Limits {
        bytes: usize::try_from(allowed_bytes).unwrap_or(usize::MAX),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().map_err(error)
}

/// How the samples of an image are stored.
#[derive(Clone, Copy)]
struct Samples {
    color: ColorType,
    depth: BitDepth,
}

impl Samples {
    fn of(info: &Info<'_>) -> Self {
        Self {
            color: info.color_type,
            depth: info.bit_depth,
        }
    }

    /// Channels of the array, not of the file: 16-bit gray with alpha becomes color with alpha.
    fn channels(self) -> usize {
        match (self.color, self.depth) {
            (ColorType::Grayscale | ColorType::Indexed, _) => 1,
            (ColorType::GrayscaleAlpha, BitDepth::Sixteen) | (ColorType::Rgba, _) => 4,
            (ColorType::GrayscaleAlpha, _) => 2,
            (ColorType::Rgb, _) => 3,
        }
    }

    /// Appends the values of one stored row.
    fn append_row(self, row: &[u8], width: usize, values: &mut Vec<f32>) {
        match (self.color, self.depth) {
            (ColorType::Grayscale, BitDepth::Sixteen) => {
                let (samples, _) = row.as_chunks();
                let samples = samples.iter().map(|&sample| u16::from_be_bytes(sample));
                values.extend(samples.map(f32::from));
            }
            (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
                let (pixels, _) = row.as_chunks();
                let rgba = pixels
                    .iter()
                    .flat_map(|&[gray, _, alpha, _]| [gray, gray, gray, alpha]);
                values.extend(rgba.map(f32::from));
            }
            (_, BitDepth::Sixteen) => {
                values.extend(row.iter().step_by(2).map(|&high| f32::from(high)));
            }
            (_, BitDepth::Eight) => values.extend(row.iter().map(|&byte| f32::from(byte))),
            (_, depth) => {
                let scale = self.scale();
                let samples = packed(row, depth as usize).take(width);
                values.extend(samples.map(|sample| f32::from(sample) * scale));
            }
        }
    }

    /// What a packed sample is multiplied by: gray of 2 and 4 bits reaches up to 255.
    fn scale(self) -> f32 {
        match (self.color, self.depth) {
            (ColorType::Grayscale, BitDepth::Two) => 85.0,
            (ColorType::Grayscale, BitDepth::Four) => 17.0,
            _ => 1.0,
        }
    }
}

/// Samples of 1, 2 or 4 bits, high bits first.
fn packed(row: &[u8], bits: usize) -> impl Iterator<Item = u8> {
    row.iter()
        .flat_map(move |&byte| (0..8 / bits).map(move |index| byte << (index * bits) >> (8 - bits)))
}

fn error(error: png::DecodingError) -> Error {
    match error {
        png::DecodingError::LimitsExceeded => Error::corrupt("a PNG chunk exceeds the size limit"),
        png::DecodingError::IoError(_) => Error::corrupt("the PNG file ends too early"),
        _ => Error::corrupt("the PNG data are damaged"),
    }
}
