//! Stored samples to f32, row by row: types, byte order, packed bits, predictors.

use half::f16;

use super::directory::ByteOrder;
use crate::error::Error;

/// Type of a stored sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleKind {
    /// Unsigned integers of a width that machines do not have, high bit first, rows padded to bytes.
    Packed {
        bits: u8,
    },
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
    /// Pairs of f32, of which the first counts.
    ComplexF32,
    /// Pairs of f64, of which the first counts.
    ComplexF64,
}

/// How samples were changed before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Difference to the same sample of the pixel to the left.
    Horizontal,
    /// Bytes of floats sorted by significance, then differences of bytes.
    FloatingPoint,
}

impl SampleKind {
    /// The type of `bits` wide samples of this sample format (1 unsigned, 2 signed, 3 float, 4 untyped, 6 complex).
    pub(super) fn new(bits: u64, format: u64) -> Result<Self, Error> {
        Ok(match (format, bits) {
            (1 | 4, 8) => Self::U8,
            (1 | 4, 16) => Self::U16,
            (1 | 4, 32) => Self::U32,
            (1 | 4, 64) => Self::U64,
            (1 | 4, 1..=31) => Self::Packed { bits: bits as u8 },
            (2, 8) => Self::I8,
            (2, 16) => Self::I16,
            (2, 32) => Self::I32,
            (2, 64) => Self::I64,
            (3, 16) => Self::F16,
            (3, 32) => Self::F32,
            (3, 64) => Self::F64,
            (6, 64) => Self::ComplexF32,
            (6, 128) => Self::ComplexF64,
            _ => {
                return Err(Error::unsupported(format!(
                    "samples of {bits} bits in sample format {format}"
                )));
            }
        })
    }

    /// The type as a word, such as `u16`.
    pub(super) fn name(self) -> String {
        let letter = match self {
            Self::Packed { .. } | Self::U8 | Self::U16 | Self::U32 | Self::U64 => 'u',
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => 'i',
            Self::F16 | Self::F32 | Self::F64 => 'f',
            Self::ComplexF32 | Self::ComplexF64 => 'c',
        };
        format!("{letter}{}", self.bits())
    }

    /// Bytes of a row of so many samples.
    pub(super) fn row_bytes(self, samples: usize) -> usize {
        samples.saturating_mul(self.bits()).div_ceil(8)
    }

    /// The first samples of a row, as many as `out` takes.
    pub(super) fn read_row(self, row: &[u8], order: ByteOrder, out: &mut [f32]) {
        match self {
            Self::Packed { bits } => unpack(row, u32::from(bits), out),
            Self::U8 => each(row, order, out, |[byte]| f32::from(byte)),
            Self::I8 => each(row, order, out, |bytes| f32::from(i8::from_le_bytes(bytes))),
            Self::U16 => each(row, order, out, |bytes| {
                f32::from(u16::from_le_bytes(bytes))
            }),
            Self::I16 => each(row, order, out, |bytes| {
                f32::from(i16::from_le_bytes(bytes))
            }),
            Self::U32 => each(row, order, out, |bytes| u32::from_le_bytes(bytes) as f32),
            Self::I32 => each(row, order, out, |bytes| i32::from_le_bytes(bytes) as f32),
            Self::U64 => each(row, order, out, |bytes| u64::from_le_bytes(bytes) as f32),
            Self::I64 => each(row, order, out, |bytes| i64::from_le_bytes(bytes) as f32),
            Self::F16 => each(row, order, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::F32 => each(row, order, out, f32::from_le_bytes),
            Self::F64 => each(row, order, out, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::ComplexF32 => pairs(row, order, out, f32::from_le_bytes),
            Self::ComplexF64 => pairs(row, order, out, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }

    fn bits(self) -> usize {
        match self {
            Self::Packed { bits } => usize::from(bits),
            Self::U8 | Self::I8 => 8,
            Self::U16 | Self::I16 | Self::F16 => 16,
            Self::U32 | Self::I32 | Self::F32 => 32,
            Self::U64 | Self::I64 | Self::F64 | Self::ComplexF32 => 64,
            Self::ComplexF64 => 128,
        }
    }
}

impl Predictor {
    pub(super) fn from_tag(code: u64) -> Result<Self, Error> {
        match code {
            1 => Ok(Self::None),
            2 => Ok(Self::Horizontal),
            3 => Ok(Self::FloatingPoint),
            _ => Err(Error::unsupported(format!("predictor {code}"))),
        }
    }

    /// Whether this predictor is defined for these samples.
    pub(super) fn check(self, kind: SampleKind) -> Result<(), Error> {
        let packed_or_complex = matches!(
            kind,
            SampleKind::Packed { .. } | SampleKind::ComplexF32 | SampleKind::ComplexF64
        );
        let float = matches!(kind, SampleKind::F16 | SampleKind::F32 | SampleKind::F64);
        match self {
            Self::Horizontal if packed_or_complex => Err(Error::unsupported(
                "predictor 2 on packed or complex samples",
            )),
            Self::FloatingPoint if !float => Err(Error::unsupported(
                "predictor 3 on samples that are not floats",
            )),
            _ => Ok(()),
        }
    }

    /// Undoes the prediction in one row with `stride` samples a pixel; returns the byte order that the row has then.
    pub(super) fn undo(
        self,
        row: &mut [u8],
        kind: SampleKind,
        stride: usize,
        order: ByteOrder,
    ) -> ByteOrder {
        match (self, kind.bits()) {
            (Self::None, _) => order,
            (Self::Horizontal, 8) => accumulate::<1>(row, stride, order),
            (Self::Horizontal, 16) => accumulate::<2>(row, stride, order),
            (Self::Horizontal, 32) => accumulate::<4>(row, stride, order),
            (Self::Horizontal, _) => accumulate::<8>(row, stride, order),
            (Self::FloatingPoint, bits) => {
                accumulate::<1>(row, stride, order);
                gather_bytes(row, bits / 8);
                ByteOrder::Big
            }
        }
    }
}

/// Values of `N` bytes, handed over least significant byte first.
fn each<const N: usize>(
    row: &[u8],
    order: ByteOrder,
    out: &mut [f32],
    value: impl Fn([u8; N]) -> f32,
) {
    let (stored, _) = row.as_chunks::<N>();
    match order {
        ByteOrder::Little => out
            .iter_mut()
            .zip(stored)
            .for_each(|(out, &bytes)| *out = value(bytes)),
        ByteOrder::Big => out
            .iter_mut()
            .zip(stored)
            .for_each(|(out, &bytes)| *out = value(reversed(bytes))),
    }
}

/// The first of each pair of values.
fn pairs<const N: usize>(
    row: &[u8],
    order: ByteOrder,
    out: &mut [f32],
    value: impl Fn([u8; N]) -> f32,
) {
    let (stored, _) = row.as_chunks::<N>();
    for (out, &bytes) in out.iter_mut().zip(stored.iter().step_by(2)) {
        *out = value(if order == ByteOrder::Big {
            reversed(bytes)
        } else {
            bytes
        });
    }
}

fn reversed<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes.reverse();
    bytes
}

fn unpack(row: &[u8], bits: u32, out: &mut [f32]) {
    let mask = (1_u64 << bits) - 1;
    let (mut window, mut held) = (0_u64, 0_u32);
    let mut bytes = row.iter();
    for out in out {
        while held < bits {
            window = (window << 8) | u64::from(bytes.next().copied().unwrap_or(0));
            held += 8;
        }
        held -= bits;
        *out = ((window >> held) & mask) as f32;
    }
}

/// Adds to each sample of `N` bytes the one `stride` samples before, wrapping around.
fn accumulate<const N: usize>(row: &mut [u8], stride: usize, order: ByteOrder) -> ByteOrder {
    let (samples, _) = row.as_chunks_mut::<N>();
    for index in stride..samples.len() {
        let sum =
            integer(samples[index - stride], order).wrapping_add(integer(samples[index], order));
        samples[index] = bytes_of(sum, order);
    }
    order
}

fn integer<const N: usize>(bytes: [u8; N], order: ByteOrder) -> u64 {
    let bytes = if order == ByteOrder::Little {
        reversed(bytes)
    } else {
        bytes
    };
    bytes
        .iter()
        .fold(0, |number, &byte| (number << 8) | u64::from(byte))
}

fn bytes_of<const N: usize>(number: u64, order: ByteOrder) -> [u8; N] {
    let little = std::array::from_fn(|index| (number >> (8 * index)) as u8);
    if order == ByteOrder::Big {
        reversed(little)
    } else {
        little
    }
}

/// Floats from planes of their bytes, the most significant bytes first in `row` and in each float.
fn gather_bytes(row: &mut [u8], float_bytes: usize) {
    let planes = row.to_vec();
    let floats = planes.len() / float_bytes;
    for (index, float) in row.chunks_exact_mut(float_bytes).enumerate() {
        for (plane, byte) in float.iter_mut().enumerate() {
            *byte = planes[plane * floats + index];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 754, number by number.
    fn by_definition(bits: u16) -> f32 {
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let mantissa = f32::from(bits & 0x3ff);
        match bits >> 10 & 0x1f {
            0 => sign * mantissa * 2.0_f32.powi(-24),
            0x1f if mantissa == 0.0 => sign * f32::INFINITY,
            0x1f => f32::NAN,
            exponent => sign * (1024.0 + mantissa) * 2.0_f32.powi(i32::from(exponent) - 25),
        }
    }

    #[test]
    fn every_half_is_read_exactly() {
        let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut read = vec![0.0; 1 << 16];
        SampleKind::F16.read_row(&halves, ByteOrder::Little, &mut read);
        for (bits, value) in (0..=u16::MAX).zip(read) {
            let expected = by_definition(bits);
            if expected.is_nan() {
                // Sign and payload stay; a signaling one becomes quiet.
                let payload = u32::from(bits & 0x3ff) << 13 | 0x40_0000;
                let sign = u32::from(bits >> 15) << 31;
                assert_eq!(value.to_bits(), sign | 0x7f80_0000 | payload, "{bits:#06x}");
            } else {
                assert_eq!(value.to_bits(), expected.to_bits(), "{bits:#06x}");
            }
        }
    }
}
