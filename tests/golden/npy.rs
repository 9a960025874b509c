//! Arrays from `.npy` files.

use std::path::Path;

use half::f16;
use ndarray::{ArrayD, IxDyn, ShapeBuilder};

/// An array from a `.npy` file; `f64` holds every value of the stored types.
pub(crate) struct Npy {
    /// `NumPy`'s name of the stored type, such as `<f4`.
    pub(crate) dtype: String,
    /// The values.
    pub(crate) values: ArrayD<f64>,
}

impl Npy {
    /// Reads a little-endian file of version 1.0.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&bytes).ok_or_else(|| format!("{}: not a npy file we read", path.display()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00")?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (header, data) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        let header = std::str::from_utf8(header).ok()?;
        let dtype = header
            .split_once("'descr': '")?
            .1
            .split_once('\'')?
            .0
            .to_owned();
        let by_column = !header.contains("'fortran_order': False");
        let shape = header.split_once("'shape': (")?.1.split_once(')')?.0;
        let lengths = shape
            .split(',')
            .map(str::trim)
            .filter(|length| !length.is_empty());
        let shape: Vec<usize> = lengths
            .map(|length| length.parse().ok())
            .collect::<Option<_>>()?;
        let values = numbers(&dtype, data)?;
        Some(Self {
            dtype,
            values: ArrayD::from_shape_vec(IxDyn(&shape).set_f(by_column), values).ok()?,
        })
    }

    /// The values as another type; conversion saturates.
    pub(crate) fn map<T>(&self, convert: impl Fn(f64) -> T) -> ArrayD<T> {
        self.values.map(|&value| convert(value))
    }
}

fn numbers(dtype: &str, data: &[u8]) -> Option<Vec<f64>> {
    fn each<const N: usize>(data: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>()
            .0
            .iter()
            .map(|&bytes| number(bytes))
            .collect()
    }
    Some(match dtype {
        "|u1" | "|b1" => each(data, |[byte]| byte.into()),
        "<u2" => each(data, |bytes| u16::from_le_bytes(bytes).into()),
        "<f2" => each(data, |bytes| f16::from_le_bytes(bytes).into()),
        "<u4" => each(data, |bytes| u32::from_le_bytes(bytes).into()),
        "<i4" => each(data, |bytes| i32::from_le_bytes(bytes).into()),
        "<f4" => each(data, |bytes| f32::from_le_bytes(bytes).into()),
        "<f8" => each(data, f64::from_le_bytes),
        "<i8" => each(data, |bytes| i64::from_le_bytes(bytes) as f64),
        _ => return None,
    })
}
