//! Unsigned integers of up to eight bytes, in the byte order a file has.

/// The number whose least significant byte comes first.
pub(crate) fn from_little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, append_byte)
}

/// The number whose most significant byte comes first.
pub(crate) fn from_big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, append_byte)
}

fn append_byte(number: u64, byte: &u8) -> u64 {
    (number << 8) | u64::from(*byte)
}
