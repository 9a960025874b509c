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

    /// The largest value that a stored sample can have, if samples are integers of at least 8 bits. Those of fewer may be
    /// scaled when they are decoded.
    #[must_use]
    pub fn largest_sample(&self) -> Option<f32> {
        let is_signed = match self.sample.chars().next()? {
            'u' => 0,
            'i' => 1,
            _ => return None,
        };
        let bits: i32 = self.sample.get(1..)?.parse().ok()?;
        (8..=64)
            .contains(&bits)
            .then(|| (2_f64.powi(bits - is_signed) - 1.0) as f32)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_a_largest_value() {
        for (sample, expected) in [
            ("u8", Some(255.0)),
            ("u12", Some(4095.0)),
            ("u16", Some(65535.0)),
            ("i16", Some(32767.0)),
            ("u1", None),
            ("f32", None),
            ("c64", None),
            ("i64", Some(9.223_372e18)),
            ("u64", Some(1.844_674_4e19)),
            ("i0", None),
            ("u", None),
            ("", None),
        ] {
            let mut header = Header::of_picture(vec![], 8, 1);
            header.sample = sample.to_owned();
            assert_eq!(header.largest_sample(), expected, "{sample}");
        }
    }
}
