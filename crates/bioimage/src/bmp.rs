//! BMP files: uncompressed with 8, 24 or 32 bits a pixel.
//!
//! Not read through `image`: asked for indices it hands out packed bytes for 1 and 4 bits, it refuses sides of more than
//! 65,535 pixels, and to check what a header claims and drop what was not asked for takes as many lines as reading.

use ndarray::ArrayD;

use crate::array::channels_last;
use crate::error::Error;
use crate::limits::Limits;

/// `[row, column, channel]`: one channel of palette indices (gray values where the palette is the usual gray ramp) for 8
/// bits, RGB for 24 and 32; the fourth byte of 32 is padding.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let header = Header::parse(bytes)?;
    let shape = header.shape();
    let count = limits.values(&shape)?;
    let [height, width, channels] = shape;
    let row_bytes = (width * header.pixel_bytes).next_multiple_of(4);
    let data = bytes.get(header.data_at..).unwrap_or_default();
    // The last row may lack its padding.
    if data.len() < (height - 1) * row_bytes + width * header.pixel_bytes {
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
        let pixels = &data[stored * row_bytes..][..width * header.pixel_bytes];
        for pixel in pixels.chunks_exact(header.pixel_bytes) {
            samples.extend(pixel.iter().take(channels).rev());
        }
    }
    channels_last(&samples, shape)
}

/// The shape that [`decode`] would give.
pub(crate) fn shape(bytes: &[u8]) -> Result<Vec<usize>, Error> {
    Ok(Header::parse(bytes)?.shape().to_vec())
}

struct Header {
    data_at: usize,
    width: usize,
    height: i32,
    pixel_bytes: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let header: &[u8; 34] = bytes.first_chunk().ok_or_else(incomplete)?;
        let bits = u16::from_le_bytes([header[28], header[29]]);
        let compression = long(header, 30);
        if !matches!((bits, compression), (8 | 24 | 32, 0)) {
            return Err(Error::unsupported(format!(
                "BMP with {bits} bits a pixel and compression {compression}"
            )));
        }
        Ok(Self {
            data_at: long(header, 10) as usize,
            width: usize::try_from(long(header, 18) as i32).map_err(|_| incomplete())?,
            height: long(header, 22) as i32,
            pixel_bytes: usize::from(bits / 8),
        })
    }

    fn shape(&self) -> [usize; 3] {
        let height = self.height.unsigned_abs() as usize;
        [height, self.width, self.pixel_bytes.min(3)]
    }
}

fn incomplete() -> Error {
    Error::corrupt("the BMP header is incomplete")
}

fn long(header: &[u8; 34], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[at + byte]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use proptest::prelude::*;

    /// A file with a header of 40 bytes, a gray palette if there is one, and rows as given.
    fn file(size: [i32; 2], bits: u8, rows: &[u8]) -> Vec<u8> {
        let palette: Vec<u8> = match bits {
            ..=8 => (0..1_u32 << bits).flat_map(|_| [9, 9, 9, 0]).collect(),
            _ => Vec::new(),
        };
        let data_at = 54 + palette.len() as u32;
        let mut file = b"BM\0\0\0\0\0\0\0\0".to_vec();
        file.extend(data_at.to_le_bytes());
        file.extend(40_u32.to_le_bytes());
        file.extend(size.iter().flat_map(|side| side.to_le_bytes()));
        file.extend([1, 0, bits, 0]);
        file.extend([0; 24]);
        file.extend(palette);
        file.extend(rows);
        file
    }

    fn values(file: &[u8]) -> Result<Vec<f32>, Error> {
        Ok(decode(file, &Limits::default())?.into_iter().collect())
    }

    #[test]
    fn palettes_give_indices_and_rows_are_stored_bottom_up() {
        let upward = file([3, 2], 8, &[1, 2, 3, 0, 4, 5, 6, 0]);
        assert_eq!(
            values(&upward).ok(),
            Some(vec![4.0, 5.0, 6.0, 1.0, 2.0, 3.0])
        );
        let downward = file([3, -2], 8, &[1, 2, 3, 0, 4, 5, 6, 0]);
        assert_eq!(
            values(&downward).ok(),
            Some(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        );
        assert!(matches!(
            values(&file([3, 1], 4, &[0; 4])),
            Err(Error::Unsupported(_))
        ));
    }

    #[test]
    fn colors_are_red_green_blue() {
        let three = file([1, 1], 24, &[3, 2, 1, 0]);
        assert_eq!(values(&three).ok(), Some(vec![1.0, 2.0, 3.0]));
        let four = file([1, 1], 32, &[3, 2, 1, 200]);
        assert_eq!(values(&four).ok(), Some(vec![1.0, 2.0, 3.0]));
        assert_eq!(shape(&four).ok(), Some(vec![1, 1, 3]));
    }

    #[test]
    fn small_files_of_huge_images_are_refused_at_once() {
        let huge = file([60_000, 60_000], 8, &[0; 100]);
        let refused = decode(
            &huge,
            &Limits {
                max_decoded_bytes: 1 << 40,
            },
        );
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
        assert!(matches!(values(&huge), Err(Error::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), bits in 0_u8..40) {
            let mut bytes = [b"BM".to_vec(), bytes].concat();
            let _ = (decode(&bytes, &Limits::default()), shape(&bytes));
            let sound = file([5, 3], bits, &[7; 60]);
            let length = bytes.len().min(30);
            bytes[..length].copy_from_slice(&sound[..length]);
            let _ = (decode(&bytes, &Limits::default()), shape(&bytes));
        }

        #[test]
        fn what_is_written_is_read(pixels in proptest::collection::vec(any::<u8>(), 4 * 3 * 3)) {
            let read = decode(&file([4, -3], 24, &pixels), &Limits::default()).expect("it is sound");
            let stored = Array3::from_shape_fn((3, 4, 3), |(row, column, channel)| {
                f32::from(pixels[(row * 4 + column) * 3 + 2 - channel])
            });
            prop_assert_eq!(read, stored.into_dyn());
        }
    }
}
