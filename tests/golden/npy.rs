//! Arrays from `.npy` files, in the type that they are stored in.

use std::path::Path;

use half::f16;
use ndarray::{ArrayD, IxDyn, ShapeBuilder};

/// An array from a `.npy` file.
pub(crate) struct Npy {
    /// `NumPy`'s name of the stored type, such as `<f4`.
    pub(crate) dtype: String,
    /// The values; `f64` holds every one of the stored types but integers beyond 2^53.
    pub(crate) values: ArrayD<f64>,
    shape: Vec<usize>,
    by_column: bool,
    /// The values as they are stored, each little-endian.
    stored: Vec<u8>,
}

impl Npy {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (header, data) = split(bytes).ok_or("not a npy file that we read")?;
        let of = |key: &str| header.split_once(&format!("'{key}': "));
        let dtype = of("descr").and_then(|(_, rest)| rest.split('\'').nth(1));
        let dtype = dtype.ok_or("the header names no simple type")?.to_owned();
        let by_column = of("fortran_order").is_some_and(|(_, rest)| rest.starts_with("True"));
        let shape = of("shape").and_then(|(_, rest)| rest.split(['(', ')']).nth(1));
        let lengths = shape.ok_or("the header has no shape")?.split(',');
        let lengths = lengths.map(str::trim).filter(|length| !length.is_empty());
        let shape: Vec<usize> = lengths
            .map(|length| {
                length
                    .parse()
                    .map_err(|_| format!("`{length}` is no length"))
            })
            .collect::<Result<_, _>>()?;
        let mut npy = Self {
            values: ArrayD::zeros(IxDyn(&[0])),
            stored: little_endian(&dtype, data)?,
            dtype,
            shape,
            by_column,
        };
        npy.values = npy.as_f64()?;
        Ok(npy)
    }

    /// The values as another type; conversion saturates.
    pub(crate) fn map<T>(&self, convert: impl Fn(f64) -> T) -> ArrayD<T> {
        self.values.map(|&value| convert(value))
    }

    /// The type without its order of bytes, such as `f4`.
    pub(crate) fn kind(&self) -> &str {
        self.dtype.trim_start_matches(['<', '>', '|', '='])
    }

    /// The values in the type that `number` makes of them, in the file's order of axes.
    pub(crate) fn typed<const N: usize, T>(
        &self,
        number: impl Fn([u8; N]) -> T,
    ) -> Result<ArrayD<T>, String> {
        let values = self.stored.as_chunks::<N>().0.iter();
        let values = values.map(|&bytes| number(bytes)).collect();
        let shape = IxDyn(&self.shape).set_f(self.by_column);
        ArrayD::from_shape_vec(shape, values).map_err(|error| error.to_string())
    }

    fn as_f64(&self) -> Result<ArrayD<f64>, String> {
        match self.kind() {
            "u1" | "b1" => self.typed(|[byte]| byte.into()),
            "i1" => self.typed(|bytes| i8::from_le_bytes(bytes).into()),
            "u2" => self.typed(|bytes| u16::from_le_bytes(bytes).into()),
            "i2" => self.typed(|bytes| i16::from_le_bytes(bytes).into()),
            "u4" => self.typed(|bytes| u32::from_le_bytes(bytes).into()),
            "i4" => self.typed(|bytes| i32::from_le_bytes(bytes).into()),
            "u8" => self.typed(|bytes| u64::from_le_bytes(bytes) as f64),
            "i8" => self.typed(|bytes| i64::from_le_bytes(bytes) as f64),
            "f2" => self.typed(|bytes| f16::from_le_bytes(bytes).into()),
            "f4" => self.typed(|bytes| f32::from_le_bytes(bytes).into()),
            "f8" => self.typed(f64::from_le_bytes),
            // The real part is what the reference goes on with.
            "c8" => self.typed(|[a, b, c, d, ..]: [u8; 8]| f32::from_le_bytes([a, b, c, d]).into()),
            "c16" => self.typed(|bytes: [u8; 16]| {
                f64::from_le_bytes(bytes.first_chunk().copied().unwrap_or_default())
            }),
            other => Err(format!("no type is called `{other}`")),
        }
    }
}

/// Header and data of a file of any version.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = match bytes.strip_prefix(b"\x93NUMPY")? {
        [1, _, a, b, rest @ ..] => (u16::from_le_bytes([*a, *b]).into(), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length as usize)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// The values with the least byte first; the parts of complex numbers are values of their own.
fn little_endian(dtype: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    let mut stored = data.to_vec();
    if dtype.starts_with('>') {
        let bytes: usize = dtype[2..]
            .parse()
            .map_err(|_| format!("no type is called `{dtype}`"))?;
        let part = if dtype.starts_with(">c") {
            bytes / 2
        } else {
            bytes
        };
        stored
            .chunks_exact_mut(part.max(1))
            .for_each(<[u8]>::reverse);
    }
    Ok(stored)
}

/// What `$write` makes of the array `$npy`, a [`Npy`], in the type that it is stored in.
macro_rules! in_its_type {
    // The reference writes no TIFF of booleans.
    ($npy:expr, tiff $write:path) => {
        crate::npy::in_its_type!($npy, $write; {})
    };
    ($npy:expr, $write:path) => {
        crate::npy::in_its_type!($npy, $write; { "b1" => |[byte]: [u8; 1]| byte != 0, })
    };
    ($npy:expr, $write:path; { $($kind:literal => $number:expr,)* }) => {
        match $npy.kind() {
            $($kind => $write(&$npy.typed($number)?.view()),)*
            "u1" => $write(&$npy.typed(u8::from_le_bytes)?.view()),
            "i1" => $write(&$npy.typed(i8::from_le_bytes)?.view()),
            "u2" => $write(&$npy.typed(u16::from_le_bytes)?.view()),
            "i2" => $write(&$npy.typed(i16::from_le_bytes)?.view()),
            "u4" => $write(&$npy.typed(u32::from_le_bytes)?.view()),
            "i4" => $write(&$npy.typed(i32::from_le_bytes)?.view()),
            "u8" => $write(&$npy.typed(u64::from_le_bytes)?.view()),
            "i8" => $write(&$npy.typed(i64::from_le_bytes)?.view()),
            "f2" => $write(&$npy.typed(half::f16::from_le_bytes)?.view()),
            "f4" => $write(&$npy.typed(f32::from_le_bytes)?.view()),
            "f8" => $write(&$npy.typed(f64::from_le_bytes)?.view()),
            other => return Err(format!("nothing here writes arrays of `{other}`").into()),
        }
    };
}

pub(crate) use in_its_type;
