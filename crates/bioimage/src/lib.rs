//! Files ↔ arrays: which decoder reads a file, and how much memory it may take for that.
//!
//! Everything here is synchronous and knows bytes and arrays only; fetching, unpacking and storing files is `storage`.
//! Pixel values are never scaled: what the file stores becomes f32 as it is.

/// Names and places of array axes: to `[batch, row, column, channel]`, and what a model accepts.
pub mod axes;

/// Arrays to TIFF bytes, laid out as the predecessor's writer does.
pub mod encode;

/// `.npy` files.
pub mod npy;

/// Movies and labels of their frames.
pub mod time_lapse;

/// Pictures of spots.
pub mod spot_overlay;

/// Tables of spots.
pub mod spot_csv;

/// `.trk` files.
pub mod trk;

mod bmp;
mod gif;
mod jpeg;
mod jpeg2000;
mod png;
mod tiff;

pub use axes::{
    AxesError, Container, ModelInput, default_order, detect_dimension_order, spot_batch, squeeze,
    to_bxyc, validate_model_input,
};
pub use encode::encode_tiff;
pub use spot_csv::spot_csv;
pub use spot_overlay::spot_overlay;
pub use time_lapse::{FrameLimits, MovieError};
pub use trk::{TrackFile, TrackFileError};

use ndarray::ArrayD;

/// The image in `bytes` as f32, axes as the file gives them.
///
/// `name` decides the decoder by its suffix alone: `.tif` and `.tiff` (any case) go to the TIFF reader whatever the content
/// is; everything else goes by content (PNG, JPEG, BMP, GIF, and TIFF under another name).
///
/// * A TIFF keeps the axes of its first series, none added or removed: `[row, column]`, `[page, row, column]`,
///   `[row, column, sample]`, … up to what its description says.
/// * Anything else is `[row, column, channel]`: gray 1, gray with alpha 2, colour 3, with alpha 4; a palette image is 1
///   channel of indices.
///
/// Values are the stored samples (a palette index, an uninverted white-is-zero sample); integers beyond 24 bits and f64 are
/// rounded to the nearest f32, ties to even; complex samples keep their real part.
///
/// # Errors
///
/// See [`Error`]. No input makes it panic, and sizes declared in the file are held against `limits` and against what the
/// file can hold before memory is taken.
pub fn decode(bytes: &[u8], name: &str, limits: &Limits) -> Result<ArrayD<f32>, Error> {
    if is_tiff_name(name) {
        return tiff::decode(bytes, limits);
    }
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => png::decode(bytes, limits),
        [0xff, 0xd8, 0xff, ..] => jpeg::decode(bytes, limits),
        [b'G', b'I', b'F', b'8', ..] => gif::decode(bytes, limits),
        [b'B', b'M', ..] => bmp::decode(bytes, limits),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
            tiff::decode_first_page(bytes, limits)
        }
        _ => Err(Error::NotAnImage("neither PNG, JPEG, TIFF, BMP nor GIF")),
    }
}

/// Bytes of the array that [`decode`] would give, from the file's header; `None` if it would fail.
#[must_use]
pub fn decoded_bytes(bytes: &[u8], name: &str) -> Option<u64> {
    // With nothing allowed, decoding ends where the size is known and nothing has been taken.
    match decode(
        bytes,
        name,
        &Limits {
            max_decoded_bytes: 0,
        },
    ) {
        Err(Error::TooLarge { needed_bytes, .. }) => Some(needed_bytes),
        _ => None,
    }
}

/// Whether the suffix of `name` sends it to the TIFF reader: `.tif` or `.tiff` in any case.
#[must_use]
pub fn is_tiff_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with(".tif") || lower.ends_with(".tiff")
}

/// What decoding may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest array, in bytes of its f32 values. Default 2 GiB.
    pub max_decoded_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_decoded_bytes: 2 << 30,
        }
    }
}

impl Limits {
    /// The number of values of an array of this shape.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] when they do not fit as f32, [`Error::Corrupt`] when there are none.
    fn values(&self, shape: &[usize]) -> Result<usize, Error> {
        let count = shape
            .iter()
            .try_fold(1_u64, |count, &axis| count.checked_mul(axis as u64))
            .unwrap_or(u64::MAX);
        self.check_bytes(count.saturating_mul(size_of::<f32>() as u64))?;
        if count == 0 {
            return Err(Error::corrupt("the image has no pixels"));
        }
        usize::try_from(count).map_err(|_| Error::TooLarge {
            needed_bytes: count,
            limit_bytes: self.max_decoded_bytes,
        })
    }

    /// Fails when `needed_bytes` is over the limit.
    fn check_bytes(&self, needed_bytes: u64) -> Result<(), Error> {
        if needed_bytes > self.max_decoded_bytes {
            return Err(Error::TooLarge {
                needed_bytes,
                limit_bytes: self.max_decoded_bytes,
            });
        }
        Ok(())
    }
}

/// Why a file is not an image that can be used. The messages do not repeat the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content is no image at all.
    #[error("cannot identify image file: {0}")]
    NotAnImage(&'static str),

    /// The file began well, but is damaged, contradicts itself or ends too early.
    #[error("image is corrupt or truncated: {0}")]
    Corrupt(String),

    /// A sound file that uses something not built here.
    #[error("image uses an unsupported feature: {0}")]
    Unsupported(String),

    /// The pixels would take more memory than allowed.
    #[error("image is too large: needs {needed_bytes} bytes, allowed are {limit_bytes}")]
    TooLarge {
        /// Bytes that the file's header asks for.
        needed_bytes: u64,
        /// [`Limits::max_decoded_bytes`].
        limit_bytes: u64,
    },
}

impl Error {
    fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt(what.into())
    }

    fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }
}

/// `[row, column, channel]` from 8-bit samples in that order.
fn channels_last(samples: &[u8], shape: [usize; 3]) -> Result<ArrayD<f32>, Error> {
    let values = samples.iter().map(|&sample| f32::from(sample)).collect();
    array(values, &shape)
}

/// `values` in this shape; a mismatch is the file's fault, never a panic.
fn array(values: Vec<f32>, shape: &[usize]) -> Result<ArrayD<f32>, Error> {
    ArrayD::from_shape_vec(shape, values)
        .map_err(|_| Error::corrupt("the pixel data do not fill the image"))
}
