//! What decoding may cost.

use crate::error::Error;

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
    pub(crate) fn values(&self, shape: &[usize]) -> Result<usize, Error> {
        let bytes = bytes_of(shape);
        self.check_bytes(bytes)?;
        if bytes == 0 {
            return Err(Error::corrupt("the image has no pixels"));
        }
        usize::try_from(bytes / size_of::<f32>() as u64).map_err(|_| Error::TooLarge {
            needed_bytes: bytes,
            limit_bytes: self.max_decoded_bytes,
        })
    }

    /// Fails when `needed_bytes` is over the limit.
    pub(crate) fn check_bytes(&self, needed_bytes: u64) -> Result<(), Error> {
        if needed_bytes > self.max_decoded_bytes {
            return Err(Error::TooLarge {
                needed_bytes,
                limit_bytes: self.max_decoded_bytes,
            });
        }
        Ok(())
    }
}

/// Bytes of an f32 array of this shape; the largest number if they cannot be counted.
pub(crate) fn bytes_of(shape: &[usize]) -> u64 {
    let count = shape
        .iter()
        .try_fold(1_u64, |count, &axis| count.checked_mul(axis as u64))
        .unwrap_or(u64::MAX);
    count.saturating_mul(size_of::<f32>() as u64)
}
