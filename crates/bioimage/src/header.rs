//! What a file's header says of the image: shape, axes, and what decoding takes.

use crate::limits::bytes_of;

/// What [`decode`](crate::decode()) would give, and what it would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Shape of the array.
    pub shape: Vec<usize>,
    /// What the file says of its axes.
    pub container: Container,
    /// Type of the stored samples: `u8`, `i16`, `f32`, … with their bits; `c64` is a pair of `f32`.
    pub sample: String,
    /// Bytes that decoding takes at its peak, the array included, the file not. What a header takes while it is read, a few
    /// MiB at most beside the file, is not in it.
    pub peak_bytes: u64,
}

/// Kind of file an image came from, as far as its axes depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Container {
    /// TIFF: axes as stored.
    Tiff,
    /// TIFF that names its axes, a letter each: `Y` rows, `X` columns, `C` channels, `S` samples, `T` frames, `Z` slices.
    Named(String),
    /// Anything else: `[row, column, channel]`.
    Other,
}

impl Header {
    /// Bytes of the array; 2^64 - 1 if they cannot be counted.
    #[must_use]
    pub fn decoded_bytes(&self) -> u64 {
        bytes_of(&self.shape)
    }

    /// Of a picture with unsigned samples of so many bits, whose decoder takes so many bytes for each value at its peak.
    pub(crate) fn of_picture(shape: Vec<usize>, bits: u8, value_bytes: u64) -> Self {
        let values = bytes_of(&shape) / size_of::<f32>() as u64;
        Self {
            shape,
            container: Container::Other,
            sample: format!("u{bits}"),
            peak_bytes: values.saturating_mul(value_bytes),
        }
    }
}
