//! `.npy` files, versions 1 to 3, of numbers and booleans.
//!
//! Reference: the format's description in NumPy's documentation (`numpy.lib.format`). Object and structured arrays are
//! refused.

use std::cell::Cell;

use half::f16;
use ndarray::{ArrayD, ArrayViewD, IxDyn, ShapeBuilder};

use crate::axes::tuple;
use crate::error::Error;
use crate::limits::Limits;
use crate::number::{from_big_endian, from_little_endian};

/// The array of a `.npy` file as f32, in the file's shape.
///
/// Values that f32 does not hold are rounded to the nearest, ties to even; booleans become 0 and 1.
///
/// # Errors
///
/// [`Error::NotAnImage`] without the magic bytes, [`Error::Corrupt`] for a damaged header or missing data,
/// [`Error::Unsupported`] for objects and the like, [`Error::TooLarge`] over the limit.
pub fn read_f32(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f32>, Error> {
    let file = File::parse(bytes)?;
    limits.check_bytes(file.count.saturating_mul(4) as u64)?;
    file.array(|number| match number {
        Number::Float(value) => value as f32,
        Number::Signed(value) => value as f32,
        Number::Unsigned(value) => value as f32,
    })
}

/// The array of a `.npy` file as f64, in the file's shape; 64-bit integers beyond 2^53 are rounded to the nearest, ties
/// to even.
///
/// # Errors
///
/// As [`read_f32`].
pub fn read_f64(bytes: &[u8], limits: &Limits) -> Result<ArrayD<f64>, Error> {
    let file = File::parse(bytes)?;
    limits.check_bytes(file.count.saturating_mul(8) as u64)?;
    file.array(|number| match number {
        Number::Float(value) => value,
        Number::Signed(value) => value as f64,
        Number::Unsigned(value) => value as f64,
    })
}

/// The array of a `.npy` file as i32: floats are cut off to whole numbers, NaN becomes 0.
///
/// # Errors
///
/// As [`read_f32`], and [`Error::Unsupported`] for values that i32 does not hold.
pub(crate) fn read_i32(bytes: &[u8], limits: &Limits) -> Result<ArrayD<i32>, Error> {
    let file = File::parse(bytes)?;
    limits.check_bytes(file.count.saturating_mul(4) as u64)?;
    let all_fit = Cell::new(true);
    let array = file.array(|number| {
        number.to_i32().unwrap_or_else(|| {
            all_fit.set(false);
            0
        })
    })?;
    if all_fit.get() {
        Ok(array)
    } else {
        Err(Error::unsupported("whole numbers of more than 32 bits"))
    }
}

/// Bytes of each value in a file that begins with `head`, if its header can be read.
pub(crate) fn bytes_per_value(head: &[u8]) -> Option<u64> {
    let (header, _) = split_header(head.strip_prefix(MAGIC)?)?;
    let header = String::from_utf8_lossy(header);
    let stored = Stored::parse(value_of(&header, "descr").ok()?).ok()?;
    Some(stored.bytes as u64)
}

/// The array as a `.npy` file of version 1.0, byte for byte what `NumPy` writes.
///
/// Arrays that lie in memory column by column are stored that way (`fortran_order`).
#[must_use]
pub fn write<T: NpyElement>(array: &ArrayViewD<'_, T>) -> Vec<u8> {
    let is_fortran =
        !array.is_standard_layout() && array.view().reversed_axes().is_standard_layout();
    let order = if is_fortran { "True" } else { "False" };
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': {order}, 'shape': {}, }}",
        T::DESCR,
        tuple(array.shape())
    );
    // Blanks and a line feed fill the header up, so that the data can be mapped into memory as they lie in the file.
    let unpadded = PREAMBLE_V1 + header.len() + 1;
    header.extend(std::iter::repeat_n(
        ' ',
        unpadded.next_multiple_of(HEADER_ALIGNMENT) - unpadded,
    ));
    header.push('\n');

    let mut file = Vec::with_capacity(PREAMBLE_V1 + header.len() + array.len() * size_of::<T>());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&[1, 0]);
    file.extend_from_slice(&(header.len() as u16).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    let ordered = if is_fortran {
        array.view().reversed_axes()
    } else {
        array.view()
    };
    ordered.iter().for_each(|&value| value.append_to(&mut file));
    file
}

/// Values that can be written: floats of 16, 32 and 64 bits, integers of 8 to 64 bits, and bool.
pub trait NpyElement: private::Sealed {}

impl<T: private::Sealed> NpyElement for T {}

mod private {
    /// What a `.npy` file says of its values.
    pub trait Sealed: Copy {
        /// Type in the header.
        const DESCR: &'static str;
        /// Appends the value in file order.
        fn append_to(self, file: &mut Vec<u8>);
    }

    macro_rules! number {
        ($($number:ty: $descr:literal),+) => {$(
            impl Sealed for $number {
                const DESCR: &'static str = $descr;
                fn append_to(self, file: &mut Vec<u8>) {
                    file.extend_from_slice(&self.to_le_bytes());
                }
            }
        )+};
    }

    number!(f64: "<f8", f32: "<f4", half::f16: "<f2");
    number!(i64: "<i8", i32: "<i4", i16: "<i2", i8: "|i1");
    number!(u64: "<u8", u32: "<u4", u16: "<u2", u8: "|u1");

    impl Sealed for bool {
        const DESCR: &'static str = "|b1";
        fn append_to(self, file: &mut Vec<u8>) {
            file.push(self.into());
        }
    }
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// Bytes before the header text of version 1.
const PREAMBLE_V1: usize = 10;

/// Data begin at a multiple of this.
const HEADER_ALIGNMENT: usize = 64;

/// The most axes that `NumPy` itself allows.
const MOST_AXES: usize = 64;

/// One stored value.
enum Number {
    Float(f64),
    Signed(i64),
    Unsigned(u64),
}

impl Number {
    /// The whole part, if 32 bits hold it.
    fn to_i32(&self) -> Option<i32> {
        match *self {
            Self::Float(value) => (value as i64).try_into().ok(),
            Self::Signed(value) => value.try_into().ok(),
            Self::Unsigned(value) => value.try_into().ok(),
        }
    }
}

/// How values are stored.
#[derive(Clone, Copy)]
struct Stored {
    kind: u8,
    bytes: usize,
    is_big_endian: bool,
}

/// A parsed header and the data behind it.
struct File<'a> {
    stored: Stored,
    is_fortran: bool,
    shape: Vec<usize>,
    count: usize,
    data: &'a [u8],
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or(Error::NotAnImage("not a .npy file"))?;
        let (header, data) =
            split_header(rest).ok_or_else(|| Error::corrupt("the .npy header is incomplete"))?;
        let header = String::from_utf8_lossy(header);
        let stored = Stored::parse(value_of(&header, "descr")?)?;
        let shape = parse_shape(value_of(&header, "shape")?)?;
        let is_fortran = parse_bool(value_of(&header, "fortran_order")?)?;
        // The shape comes from the file: it is checked against the data that are there before anything is allocated.
        let count = shape
            .iter()
            .try_fold(1_usize, |count, &axis| count.checked_mul(axis));
        let needed = count
            .and_then(|count| count.checked_mul(stored.bytes))
            .unwrap_or(usize::MAX);
        let (Some(count), Some(data)) = (count, data.get(..needed)) else {
            return Err(Error::corrupt(format!(
                "the .npy file needs {needed} bytes of data and has {}",
                data.len()
            )));
        };
        Ok(Self {
            stored,
            is_fortran,
            shape,
            count,
            data,
        })
    }

    fn array<T>(&self, value: impl Fn(Number) -> T) -> Result<ArrayD<T>, Error> {
        let values = self
            .data
            .chunks_exact(self.stored.bytes)
            .map(|bytes| value(self.stored.number(bytes)))
            .collect();
        let shape = IxDyn(&self.shape).set_f(self.is_fortran);
        ArrayD::from_shape_vec(shape, values)
            .map_err(|_| Error::corrupt("the .npy data do not fill the array"))
    }
}

impl Stored {
    /// Reads `'<f8'` and the like.
    fn parse(text: &str) -> Result<Self, Error> {
        let quote = text
            .chars()
            .next()
            .filter(|quote| matches!(quote, '\'' | '"'))
            .ok_or_else(|| unsupported_type(text))?;
        let name = text[1..].split(quote).next().unwrap_or_default();
        let (order, name) = name
            .split_at_checked(1)
            .ok_or_else(|| unsupported_type(text))?;
        let (kind, bytes) = match (
            name.as_bytes(),
            name.get(1..).and_then(|bytes| bytes.parse().ok()),
        ) {
            ([kind, ..], Some(bytes)) => (*kind, bytes),
            _ => return Err(unsupported_type(text)),
        };
        let is_known = matches!(
            (kind, bytes),
            (b'f', 2 | 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1)
        );
        if !is_known || !matches!(order, "<" | ">" | "|" | "=") {
            return Err(unsupported_type(text));
        }
        Ok(Self {
            kind,
            bytes,
            is_big_endian: order == ">",
        })
    }

    fn number(self, bytes: &[u8]) -> Number {
        let bits = if self.is_big_endian {
            from_big_endian(bytes)
        } else {
            from_little_endian(bytes)
        };
        let unused = 64 - 8 * self.bytes;
        match (self.kind, self.bytes) {
            (b'f', 2) => Number::Float(f16::from_bits(bits as u16).to_f64()),
            (b'f', 4) => Number::Float(f64::from(f32::from_bits(bits as u32))),
            (b'f', _) => Number::Float(f64::from_bits(bits)),
            (b'i', _) => Number::Signed((bits << unused) as i64 >> unused),
            _ => Number::Unsigned(bits),
        }
    }
}

fn unsupported_type(text: &str) -> Error {
    let shown: String = text.chars().take(24).collect();
    Error::unsupported(format!("array type {shown}"))
}

/// Header text and data, from what follows the magic bytes.
fn split_header(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (
            usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?,
            rest,
        ),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// What follows the key in the header's dictionary.
fn value_of<'a>(header: &'a str, key: &str) -> Result<&'a str, Error> {
    let after_key = ['\'', '"'].into_iter().find_map(|quote| {
        let quoted = format!("{quote}{key}{quote}");
        header
            .find(&quoted)
            .map(|at| header[at + quoted.len()..].trim_start())
    });
    let value = after_key
        .and_then(|after| after.strip_prefix(':'))
        .map(str::trim_start);
    value.ok_or_else(|| Error::corrupt(format!("`{key}` is missing in the .npy header")))
}

fn parse_bool(text: &str) -> Result<bool, Error> {
    if text.starts_with("True") {
        return Ok(true);
    }
    if text.starts_with("False") {
        return Ok(false);
    }
    Err(Error::corrupt(
        "fortran_order in the .npy header is neither True nor False",
    ))
}

fn unreadable_shape() -> Error {
    Error::corrupt("the shape in the .npy header is not readable")
}

fn parse_shape(text: &str) -> Result<Vec<usize>, Error> {
    let inner = text
        .strip_prefix('(')
        .and_then(|text| text.split_once(')'))
        .ok_or_else(unreadable_shape)?
        .0;
    let axes = inner
        .split(',')
        .map(str::trim)
        .filter(|axis| !axis.is_empty());
    // Python 2 wrote long integers with an L.
    let axes = axes.map(|axis| axis.trim_end_matches('L').parse());
    let shape: Vec<usize> = axes
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable_shape())?;
    if shape.len() > MOST_AXES {
        Err(unreadable_shape())
    } else {
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn column_major_arrays_keep_their_values() {
        let array = ArrayD::from_shape_vec(IxDyn(&[2, 3]), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .expect("six values");
        let turned = array.view().reversed_axes();
        let file = write(&turned);
        assert!(String::from_utf8_lossy(&file).contains("'fortran_order': True"));
        assert_eq!(
            read_f64(&file, &Limits::default()).expect("just written"),
            turned
        );
    }

    #[test]
    fn sizes_beyond_the_data_are_refused_before_memory_is_taken() {
        let text = b"\x93NUMPY\x01\x00\x50\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999)}     ";
        assert!(matches!(
            read_f64(text, &Limits::default()),
            Err(Error::Corrupt(_))
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            shape in prop::collection::vec(0_usize..5, 0..4),
            seed in any::<u32>(),
        ) {
            let count = shape.iter().product::<usize>() as u32;
            let values: Vec<f32> = (0..count).map(|index| f32::from_bits((seed ^ index) & 0x7f7f_ffff)).collect();
            let array = ArrayD::from_shape_vec(shape, values).expect("count matches");
            let file = write(&array.view());
            prop_assert_eq!(read_f32(&file, &Limits::default()).expect("just written"), array);
        }

        #[test]
        fn damaged_files_do_not_panic(at in 0_usize..160, byte in any::<u8>(), length in 0_usize..170) {
            let array = ArrayD::<f32>::zeros(vec![2, 4]);
            let mut file = write(&array.view());
            file[at] = byte;
            file.truncate(length);
            let _ = read_f64(&file, &Limits { max_decoded_bytes: 1 << 16 });
        }
    }
}
