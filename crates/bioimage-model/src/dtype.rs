//! The types of values that descriptions name, and what casting to them makes of a number.

/// A type of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// `float32`
    Float32,
    /// `float64`
    Float64,
    /// `uint8`
    Uint8,
    /// `int8`
    Int8,
    /// `uint16`
    Uint16,
    /// `int16`
    Int16,
    /// `uint32`
    Uint32,
    /// `int32`
    Int32,
    /// `uint64`
    Uint64,
    /// `int64`
    Int64,
    /// `bool`
    Bool,
}

impl Dtype {
    pub(crate) const WORDS: [(&'static str, Self); 11] = [
        ("float32", Self::Float32),
        ("float64", Self::Float64),
        ("uint8", Self::Uint8),
        ("int8", Self::Int8),
        ("uint16", Self::Uint16),
        ("int16", Self::Int16),
        ("uint32", Self::Uint32),
        ("int32", Self::Int32),
        ("uint64", Self::Uint64),
        ("int64", Self::Int64),
        ("bool", Self::Bool),
    ];

    /// Its name in a description.
    #[must_use]
    pub fn name(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, dtype)| *dtype == self);
        word.map_or("", |(name, _)| name)
    }

    /// The number as `NumPy`'s `astype` makes it on x86-64: fractions are cut off, what is too large for 8 or 16 bits
    /// wraps around, and beyond that comes the number that the processor gives for it, mostly the smallest.
    pub(crate) fn cast(self, number: f64) -> f64 {
        match self {
            Self::Float32 => f64::from(number as f32),
            Self::Float64 => number,
            Self::Uint8 => f64::from(to_i32(number) as u8),
            Self::Int8 => f64::from(to_i32(number) as i8),
            Self::Uint16 => f64::from(to_i32(number) as u16),
            Self::Int16 => f64::from(to_i32(number) as i16),
            Self::Int32 => f64::from(to_i32(number)),
            Self::Uint32 => f64::from(to_i64(number) as u32),
            Self::Int64 => to_i64(number) as f64,
            Self::Uint64 if number >= 0.0 => number as u64 as f64,
            Self::Uint64 => to_i64(number) as u64 as f64,
            Self::Bool => f64::from(u8::from(number != 0.0)),
        }
    }
}

/// The whole part; the smallest number for what does not fit.
fn to_i32(number: f64) -> i32 {
    let fits = number > f64::from(i32::MIN) - 1.0 && number < -f64::from(i32::MIN);
    if fits { number as i32 } else { i32::MIN }
}

/// The whole part; the smallest number for what does not fit.
fn to_i64(number: f64) -> i64 {
    let fits = number >= i64::MIN as f64 && number < -(i64::MIN as f64);
    if fits { number as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `NumPy` 2.4 on x86-64.
    #[test]
    fn numbers_are_cast_as_numpy_casts_them() {
        let numbers = [
            -70_000.7,
            -300.5,
            -1.5,
            -0.5,
            0.5,
            255.9,
            256.5,
            70_000.3,
            5e9,
            f64::NAN,
        ];
        let expected: [(Dtype, [f64; 10]); 5] = [
            (
                Dtype::Uint8,
                [144.0, 212.0, 255.0, 0.0, 0.0, 255.0, 0.0, 112.0, 0.0, 0.0],
            ),
            (
                Dtype::Int8,
                [-112.0, -44.0, -1.0, 0.0, 0.0, -1.0, 0.0, 112.0, 0.0, 0.0],
            ),
            (
                Dtype::Uint16,
                [
                    61_072.0, 65_236.0, 65_535.0, 0.0, 0.0, 255.0, 256.0, 4464.0, 0.0, 0.0,
                ],
            ),
            (
                Dtype::Int32,
                [
                    -70_000.0,
                    -300.0,
                    -1.0,
                    0.0,
                    0.0,
                    255.0,
                    256.0,
                    70_000.0,
                    -2_147_483_648.0,
                    -2_147_483_648.0,
                ],
            ),
            (
                Dtype::Bool,
                [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            ),
        ];
        for (dtype, expected) in expected {
            assert_eq!(
                numbers.map(|number| dtype.cast(number)),
                expected,
                "{dtype:?}"
            );
        }
        assert_eq!(Dtype::Int64.cast(9.3e18), i64::MIN as f64);
        assert_eq!(Dtype::Int32.cast(-2_147_483_648.5), -2_147_483_648.0);
        assert_eq!(Dtype::Uint64.cast(1e19), 1e19);
        assert_eq!(Dtype::Float32.cast(0.1), f64::from(0.1_f32));
    }
}
