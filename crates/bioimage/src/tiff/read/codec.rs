//! Compressed segments to plain bytes. Each codec gives at most what is asked for, and fails on less.

use std::borrow::Cow;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use super::sample::SampleKind;
use crate::error::Error;

/// Memory that LZMA streams may ask for: dictionaries of 64 MiB serve the highest preset.
const LZMA_MEMORY_KIB: u32 = 66 << 10;

/// The same in bytes, which a stream takes whatever it unpacks to.
pub(super) const LZMA_MEMORY: u64 = (LZMA_MEMORY_KIB as u64) << 10;

/// Held while a stream of LZMA is unpacked: one at a time, for each may take a dictionary.
static LZMA_DICTIONARY: Mutex<()> = Mutex::new(());

/// Smallest window that a Zstandard stream gets.
const ZSTD_WINDOW_BYTES: u64 = 8 << 20;

/// How segments are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
    Lzma,
    /// Pictures that know their own size, read in `raster`.
    Jpeg,
    Jpeg2000,
}

impl Compression {
    pub(super) fn from_tag(code: u64) -> Result<Self, Error> {
        Ok(match code {
            1 => Self::None,
            5 => Self::Lzw,
            7 => Self::Jpeg,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            34925 => Self::Lzma,
            34926 | 50000 => Self::Zstd,
            2..=4 => return Err(Error::unsupported("CCITT fax compression")),
            6 => return Err(Error::unsupported("old-style JPEG compression")),
            34712 => Self::Jpeg2000,
            33003..=33005 => return Err(Error::unsupported("JPEG 2000 compression by Aperio")),
            34887 => return Err(Error::unsupported("LERC compression")),
            34927 | 50001 => return Err(Error::unsupported("WebP compression")),
            34934 | 22610 => return Err(Error::unsupported("JPEG XR compression")),
            50002 | 52546 => return Err(Error::unsupported("JPEG XL compression")),
            code => return Err(Error::unsupported(format!("compression {code}"))),
        })
    }

    /// Whether its data can be samples of this kind.
    pub(super) fn check(self, sample: SampleKind) -> Result<(), Error> {
        match self {
            Self::Jpeg if sample != SampleKind::U8 => Err(Error::unsupported(
                "JPEG compression of samples that are not 8 bits",
            )),
            Self::Jpeg2000 if sample != SampleKind::U8 => Err(Error::unsupported(
                "JPEG 2000 compression of samples that are not 8 bits",
            )),
            _ => Ok(()),
        }
    }

    /// Whether segments are pictures that state a size of their own.
    pub(super) fn is_picture(self) -> bool {
        matches!(self, Self::Jpeg | Self::Jpeg2000)
    }

    /// The most bytes that so many compressed ones can hold, where the method has such a bound.
    pub(super) fn most_bytes(self, compressed: u64) -> u64 {
        let ratio = match self {
            Self::None => 1,
            Self::PackBits => 64,
            Self::Deflate => 1032,
            // A 9-bit code stands for 4096 bytes at most.
            Self::Lzw => 4096,
            Self::Zstd | Self::Lzma | Self::Jpeg | Self::Jpeg2000 => return u64::MAX,
        };
        compressed.saturating_mul(ratio).saturating_add(ratio)
    }

    /// The first `wanted` plain bytes of a segment, which holds `whole` bytes at most.
    pub(super) fn unpack(
        self,
        packed: &[u8],
        wanted: usize,
        whole: u64,
    ) -> Result<Cow<'_, [u8]>, Error> {
        if wanted as u64 > self.most_bytes(packed.len() as u64) {
            return Err(short(packed.len(), wanted));
        }
        match self {
            Self::None => packed
                .get(..wanted)
                .map(Cow::Borrowed)
                .ok_or_else(|| short(packed.len(), wanted)),
            Self::Lzw => lzw(packed, wanted).map(Cow::Owned),
            Self::Deflate => deflate(packed, wanted).map(Cow::Owned),
            Self::PackBits => pack_bits(packed, wanted).map(Cow::Owned),
            Self::Zstd => zstd(packed, wanted, zstd_window_bytes(whole)).map(Cow::Owned),
            Self::Lzma => lzma(packed, wanted).map(Cow::Owned),
            Self::Jpeg | Self::Jpeg2000 => {
                Err(Error::unsupported("JPEG data where plain bytes are needed"))
            }
        }
    }
}

/// Window for the Zstandard stream of a segment of so many bytes: nothing in it can refer to what lies further back.
pub(super) fn zstd_window_bytes(whole: u64) -> u64 {
    whole.clamp(ZSTD_WINDOW_BYTES, 1 << 40).next_power_of_two()
}

/// Bytes with their bits in the opposite order.
pub(super) fn bits_reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.reverse_bits()).collect()
}

fn lzw(packed: &[u8], wanted: usize) -> Result<Vec<u8>, Error> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let mut plain = vec![0; wanted];
    let (mut read, mut written) = (0, 0);
    while written < wanted {
        let step = decoder.decode_bytes(&packed[read..], &mut plain[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status {
            Ok(weezl::LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(error) => return Err(Error::corrupt(format!("LZW data: {error}"))),
        }
    }
    if written < wanted {
        Err(short(written, wanted))
    } else {
        Ok(plain)
    }
}

fn deflate(packed: &[u8], wanted: usize) -> Result<Vec<u8>, Error> {
    let mut inflater = flate2::Decompress::new(true);
    let mut plain = vec![0; wanted];
    let (mut read, mut written) = (0, 0);
    loop {
        let finish = flate2::FlushDecompress::Finish;
        let status = inflater.decompress(&packed[read..], &mut plain[written..], finish);
        let status = status.map_err(|error| Error::corrupt(format!("deflate data: {error}")))?;
        let (read_now, written_now) = (inflater.total_in() as usize, inflater.total_out() as usize);
        let stuck = (read_now, written_now) == (read, written);
        (read, written) = (read_now, written_now);
        if stuck || written == wanted || status == flate2::Status::StreamEnd {
            break;
        }
    }
    if written < wanted {
        Err(short(written, wanted))
    } else {
        Ok(plain)
    }
}

/// `PackBits`: a count byte `n`, then `n + 1` bytes as they are, or one byte to be repeated `1 - n` times for negative `n`.
fn pack_bits(packed: &[u8], wanted: usize) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::with_capacity(wanted);
    let mut rest = packed;
    while plain.len() < wanted {
        let [count, after @ ..] = rest else {
            return Err(short(plain.len(), wanted));
        };
        let count = usize::from(*count);
        rest = match (count, after) {
            (128, _) => after,
            (0..128, _) if after.len() > count => {
                plain.extend_from_slice(&after[..=count]);
                &after[count + 1..]
            }
            (129.., [byte, after @ ..]) => {
                plain.resize(plain.len() + 257 - count, *byte);
                after
            }
            _ => return Err(short(plain.len(), wanted)),
        };
    }
    plain.truncate(wanted);
    Ok(plain)
}

fn zstd(packed: &[u8], wanted: usize, window: u64) -> Result<Vec<u8>, Error> {
    let Some((mut head, rest)) = packed
        .split_first_chunk::<6>()
        .map(|(head, rest)| (*head, rest))
    else {
        return Err(short(packed.len(), wanted));
    };
    // Writers ask for windows many times as large as the content, and get what the content needs. The fifth byte has a flag
    // for streams that state their size instead.
    let [_, _, _, _, flags, descriptor] = &mut head;
    if *flags & SINGLE_SEGMENT == 0 {
        *descriptor = (*descriptor).min(((window.ilog2() - 10) << 3) as u8);
    }
    let stream = head.as_slice().chain(rest);
    let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(stream, window)
        .map_err(|error| Error::corrupt(format!("Zstandard data: {error}")))?;
    read_all(decoder, "Zstandard", wanted)
}

/// Flag of a Zstandard frame without a window descriptor.
const SINGLE_SEGMENT: u8 = 1 << 5;

/// LZMA segments are whole `.xz` streams.
fn lzma(packed: &[u8], wanted: usize) -> Result<Vec<u8>, Error> {
    let _held = LZMA_DICTIONARY
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let reader = lzma_rust2::XzReader::new_mem_limit(packed, false, LZMA_MEMORY_KIB);
    read_all(reader, "LZMA", wanted)
}

/// Takes no more than `wanted` bytes, and those only as the stream gives them.
fn read_all(mut reader: impl Read, codec: &str, wanted: usize) -> Result<Vec<u8>, Error> {
    let mut plain = vec![0; wanted];
    let mut filled = 0;
    while filled < wanted {
        match reader.read(&mut plain[filled..]) {
            Ok(0) => return Err(short(filled, wanted)),
            Ok(read) => filled += read,
            Err(error) => return Err(Error::corrupt(format!("{codec} data: {error}"))),
        }
    }
    Ok(plain)
}

fn short(found: usize, wanted: usize) -> Error {
    Error::corrupt(format!(
        "a strip or tile holds {found} bytes, {wanted} are needed"
    ))
}
