//! Drawn pictures, and PNG files of them.

use ndarray::{Array2, Array3};
use png::{BitDepth, ColorType, DeflateCompression, Encoder, Filter};

/// Higher levels take several times as long for some per cent.
const COMPRESSION: DeflateCompression = DeflateCompression::Level(2);

/// A drawn picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// Gray `[row, column]`.
    Gray(Array2<u8>),
    /// Color `[row, column, 3]`.
    Color(Array3<u8>),
    /// Entries of a palette.
    Indexed {
        /// `[row, column]`.
        pixels: Array2<u8>,
        /// Red, green, blue and opacity of each entry, at most 256.
        palette: Vec<[u8; 4]>,
    },
}

impl Picture {
    /// Rows and columns.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::Gray(pixels) | Self::Indexed { pixels, .. } => pixels.dim(),
            Self::Color(pixels) => (pixels.dim().0, pixels.dim().1),
        }
    }

    /// The picture as a file.
    ///
    /// # Panics
    ///
    /// If it has no pixels, or a palette of more than 256 entries.
    #[must_use]
    pub fn to_png(&self) -> Vec<u8> {
        // Entries of a palette that are near each other need not look alike.
        let filter = match self {
            Self::Indexed { .. } => Filter::NoFilter,
            _ => Filter::Up,
        };
        self.encoded(filter)
    }

    /// The picture as a file, its rows filtered.
    pub(crate) fn encoded(&self, filter: Filter) -> Vec<u8> {
        self.encode(filter)
            .expect("memory takes what a picture with pixels becomes")
    }

    fn encode(&self, filter: Filter) -> Result<Vec<u8>, png::EncodingError> {
        let (rows, columns) = self.dim();
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, columns as u32, rows as u32);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_deflate_compression(COMPRESSION);
        encoder.set_filter(filter);
        let pixels = match self {
            Self::Gray(pixels) => {
                encoder.set_color(ColorType::Grayscale);
                row_by_row(pixels)
            }
            Self::Color(pixels) => {
                encoder.set_color(ColorType::Rgb);
                row_by_row(pixels)
            }
            Self::Indexed { pixels, palette } => {
                encoder.set_color(ColorType::Indexed);
                let colors = palette.iter().flat_map(|color| &color[..3]);
                encoder.set_palette(colors.copied().collect::<Vec<u8>>());
                if palette.iter().any(|color| color[3] < u8::MAX) {
                    encoder.set_trns(palette.iter().map(|color| color[3]).collect::<Vec<u8>>());
                }
                row_by_row(pixels)
            }
        };
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(file)
    }
}

fn row_by_row<D: ndarray::Dimension>(pixels: &ndarray::Array<u8, D>) -> Vec<u8> {
    pixels.iter().copied().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Width, height and RGBA of a file.
    pub(crate) fn decode(file: &[u8]) -> ((usize, usize), Vec<[u8; 4]>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut bytes).expect("pixels");
        let pixels = match info.color_type {
            ColorType::GrayscaleAlpha => bytes
                .chunks_exact(2)
                .map(|p| [p[0], p[0], p[0], p[1]])
                .collect(),
            ColorType::Rgba => bytes
                .chunks_exact(4)
                .map(|p| [p[0], p[1], p[2], p[3]])
                .collect(),
            other => panic!("{other:?}"),
        };
        ((info.height as usize, info.width as usize), pixels)
    }

    #[test]
    fn files_have_the_pixels_of_their_pictures() {
        let gray = Picture::Gray(Array2::from_shape_fn((3, 5), |(row, column)| {
            (row * 5 + column) as u8
        }));
        let (dim, pixels) = decode(&gray.to_png());
        assert_eq!((dim, pixels[7]), ((3, 5), [7, 7, 7, 255]));
        let color = Picture::Color(Array3::from_shape_fn((2, 2, 3), |(row, column, part)| {
            (row * 100 + column * 10 + part) as u8
        }));
        assert_eq!(decode(&color.to_png()).1[3], [110, 111, 112, 255]);
        let palette = vec![[0; 4], [9, 8, 7, 255]];
        let pixels = Array2::from_shape_fn((4, 4), |(row, column)| u8::from(row == column));
        let indexed = decode(&Picture::Indexed { pixels, palette }.to_png());
        assert_eq!((indexed.1[0], indexed.1[1]), ([9, 8, 7, 255], [0; 4]));
    }
}
