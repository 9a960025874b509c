//! BMP files: uncompressed with 8, 24 or 32 bits a pixel.

use ndarray::ArrayD;

use super::{Error, Limits, channels_last};

/// `[row, column, channel]`: one channel of palette indices (gray values where the palette is the usual gray ramp) for 8
/// bits, RGB for 24 and 32; the fourth byte of 32 is padding.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let header =
        Header::parse(bytes).ok_or_else(|| Error::corrupt("the BMP header is incomplete"))?;
    let (height, width) = (header.height.unsigned_abs() as usize, header.width);
    let pixel_bytes = match (header.bits, header.compression) {
        (8 | 24 | 32, 0) => usize::from(header.bits / 8),
        (bits, compression) => {
            return Err(Error::unsupported(format!(
                "BMP with {bits} bits a pixel and compression {compression}"
            )));
        }
    };
    let channels = pixel_bytes.min(3);
    let count = limits.values(&[height, width, channels])?;
    let row_bytes = (width * pixel_bytes).next_multiple_of(4);
    let data = bytes.get(header.data_at..).unwrap_or_default();
    if data.len() < (height - 1) * row_bytes + width * pixel_bytes {
        return Err(Error::corrupt("the file ends before the pixels do"));
    }
    let mut samples = Vec::with_capacity(count);
    for row in 0..height {
        // Rows are stored bottom up, unless the height is negative.
        let stored = if header.height > 0 {
            height - 1 - row
        } else {
            row
        };
        let pixels = data[stored * row_bytes..][..width * pixel_bytes].chunks_exact(pixel_bytes);
        pixels.for_each(|pixel| samples.extend(pixel.iter().take(channels).rev()));
    }
    channels_last(&samples, [height, width, channels])
}

struct Header {
    data_at: usize,
    width: usize,
    height: i32,
    bits: u16,
    compression: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            data_at: long(10)? as usize,
            width: usize::try_from(long(18)? as i32).ok()?,
            height: long(22)? as i32,
            bits: (long(26)? >> 16) as u16,
            compression: long(30)?,
        })
    }
}
