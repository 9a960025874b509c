//! JPEG 2000 segments of TIFF files, 8 bits a sample.
//!
//! What a stream will take is read from its header before it is decoded: a few bytes can ask for any number of tiles,
//! components and code-blocks. Reference: ITU-T T.800, annexes A and I.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use crate::error::Error;
use crate::jpeg::Picture;
use crate::number::from_big_endian;

/// A strip or tile of at most `most_pixels` with so many channels.
pub(crate) fn decode_segment(
    segment: &[u8],
    channels: usize,
    most_pixels: usize,
) -> Result<Picture, Error> {
    check_stream(codestream(segment)?, channels)?;
    let settings = DecodeSettings {
        strict: true,
        resolve_palette_indices: false,
        ..DecodeSettings::default()
    };
    let image = Image::new(segment, &settings).map_err(error)?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width.saturating_mul(height) > most_pixels {
        return Err(Error::corrupt(
            "a JPEG 2000 strip or tile is larger than the image says",
        ));
    }
    if image.original_bit_depth() != 8 {
        return Err(Error::unsupported(
            "JPEG 2000 compression of samples that are not 8 bits",
        ));
    }
    let mut context = DecoderContext::default();
    let samples = image.decode(&mut context).map_err(error)?.data_u8();
    if samples.len() != width * height * channels {
        return Err(Error::corrupt("the JPEG 2000 data do not fill the image"));
    }
    Ok(Picture {
        width,
        height,
        channels,
        samples,
    })
}

const START_OF_STREAM: &[u8] = &[0xff, 0x4f, 0xff, 0x51];
const CODING_STYLE: u64 = 0xff52;
const COMPONENT_CODING_STYLE: u64 = 0xff53;
const START_OF_TILE_PART: u64 = 0xff90;
const START_OF_DATA: u64 = 0xff93;
const END_OF_STREAM: u64 = 0xffd9;

/// Markers that stand alone.
const BARE_MARKERS: std::ops::RangeInclusive<u64> = 0xff30..=0xff3f;

/// The box of a `.jp2` file that holds the stream.
const STREAM_BOX: u64 = 0x6a70_3263;

/// Pixels of a tile on the average, at least.
const FEWEST_PIXELS: u64 = 1 << 10;

/// Sides of code-blocks have at least 2^4 pixels, those of precincts 2^5.
const SMALLEST_EXPONENT: u64 = 5;

/// The stream itself, which may lie in the box of a file.
fn codestream(segment: &[u8]) -> Result<&[u8], Error> {
    if segment.starts_with(START_OF_STREAM) {
        return Ok(segment);
    }
    let mut streams = Vec::new();
    let mut rest = segment;
    while let Some((kind, content, after)) = next_box(rest) {
        if kind == STREAM_BOX {
            streams.push(content);
        }
        rest = after;
    }
    match streams.as_slice() {
        [stream] if stream.starts_with(START_OF_STREAM) => Ok(stream),
        _ => Err(Error::corrupt("JPEG 2000: not one stream of pixels")),
    }
}

/// Kind and content of the first box, and what follows it.
fn next_box(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let kind = number(bytes, 4, 4)?;
    let (header, length) = match number(bytes, 0, 4)? {
        0 => (8, bytes.len() as u64),
        1 => (16, number(bytes, 8, 8)?),
        length => (8, length),
    };
    let (this, after) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((kind, this.get(header..)?, after))
}

/// Fails when the stream asks for more than its pixels need.
fn check_stream(stream: &[u8], channels: usize) -> Result<(), Error> {
    let size = Size::parse(stream).ok_or_else(incomplete)?;
    if size.components != channels as u64 {
        return Err(Error::corrupt("the JPEG 2000 data do not fill the image"));
    }
    if size.tiles > size.pixels / FEWEST_PIXELS + 1 {
        return Err(unusual("tiny tiles"));
    }
    // Main header, then the header of each part of a tile. Length and content of each segment follow its marker.
    let mut at =
        START_OF_STREAM.len() + usize::try_from(size.segment_bytes).map_err(|_| incomplete())?;
    let mut part: Option<(usize, u64)> = None;
    while let Some(marker) = number(stream, at, 2) {
        let length = number(stream, at + 2, 2);
        match (marker, part) {
            (CODING_STYLE, None) => check_style(stream, at + 4, at + 9)?,
            (COMPONENT_CODING_STYLE, None) => {
                let index_bytes = if size.components < 257 { 1 } else { 2 };
                check_style(stream, at + 4 + index_bytes, at + 5 + index_bytes)?;
            }
            (CODING_STYLE | COMPONENT_CODING_STYLE, Some(_)) => {
                return Err(unusual("settings for single tiles"));
            }
            (START_OF_TILE_PART, _) => part = Some((at, number(stream, at + 6, 4).unwrap_or(0))),
            (START_OF_DATA, Some((start, bytes))) if bytes > 0 => {
                let next = start.checked_add(usize::try_from(bytes).map_err(|_| incomplete())?);
                at = next.filter(|&next| next > at).ok_or_else(incomplete)?;
                continue;
            }
            (START_OF_DATA | END_OF_STREAM, _) => break,
            _ => {}
        }
        let length = if BARE_MARKERS.contains(&marker) {
            Some(0)
        } else {
            length
        };
        at += 2 + length.ok_or_else(incomplete)? as usize;
    }
    Ok(())
}

/// Sizes that the stream begins with.
struct Size {
    segment_bytes: u64,
    pixels: u64,
    tiles: u64,
    components: u64,
}

impl Size {
    fn parse(stream: &[u8]) -> Option<Self> {
        let long = |index: usize| number(stream, 8 + 4 * index, 4);
        let [right, bottom, left, top] = [long(0)?, long(1)?, long(2)?, long(3)?];
        let [tile_width, tile_height, tile_left, tile_top] =
            [long(4)?, long(5)?, long(6)?, long(7)?];
        let count = |end: u64, start: u64, size: u64| {
            end.checked_sub(start)?
                .checked_add(size)?
                .checked_sub(1)?
                .checked_div(size)
        };
        let across = count(right, tile_left, tile_width)?;
        let down = count(bottom, tile_top, tile_height)?;
        Some(Self {
            segment_bytes: number(stream, 4, 2)?,
            pixels: right
                .checked_sub(left)?
                .checked_mul(bottom.checked_sub(top)?)?
                .checked_div(number(stream, 43, 1)? * number(stream, 44, 1)?)?,
            tiles: across.checked_mul(down)?,
            components: number(stream, 40, 2)?,
        })
    }
}

/// Fails for code-blocks or precincts of a few pixels, each of which takes a thousand bytes. The flags lie at `flags_at`, the
/// number of decompositions at `style_at`, the exponents of the code-block behind it.
fn check_style(stream: &[u8], flags_at: usize, style_at: usize) -> Result<(), Error> {
    let byte = |at: usize| number(stream, at, 1).ok_or_else(incomplete);
    let levels = byte(style_at)?;
    // Exponents of the code-block are stored less 2.
    let mut smallest = byte(style_at + 1)?.min(byte(style_at + 2)?) + 3;
    if byte(flags_at)? & 1 == 1 {
        for level in 0..=levels {
            // Each level has half as many rows and columns as the next, and may have precincts of half the size.
            let exponents = byte(style_at + 5 + level as usize)?;
            smallest = smallest.min((exponents & 15).min(exponents >> 4) + levels - level);
        }
    }
    if smallest < SMALLEST_EXPONENT {
        return Err(unusual("tiny code-blocks"));
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(from_big_endian(bytes.get(at..at.checked_add(length)?)?))
}

fn unusual(what: &str) -> Error {
    Error::unsupported(format!("JPEG 2000 compression with {what}"))
}

fn incomplete() -> Error {
    Error::corrupt("JPEG 2000: the header is incomplete")
}

fn error(error: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("JPEG 2000: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream without pixels: sides of image and tiles, components, decompositions, exponents of the code-blocks less 2,
    /// precincts of each level, and whether a tile has settings of its own.
    fn stream(
        side: u32,
        tile: u32,
        components: u16,
        blocks: [u8; 2],
        precincts: &[u8],
        more: &[u8],
    ) -> Vec<u8> {
        let mut size = vec![0, 0];
        for number in [side, side, 0, 0, tile, tile, 0, 0] {
            size.extend_from_slice(&number.to_be_bytes());
        }
        size.extend_from_slice(&components.to_be_bytes());
        size.extend([7, 1, 1].repeat(components.into()));
        let levels = 2;
        let mut style = vec![u8::from(!precincts.is_empty()), 0, 0, 1, 0, levels];
        style.extend_from_slice(&[blocks[0], blocks[1], 0, 1]);
        style.extend_from_slice(precincts);
        let quantization = vec![0x40, 64, 72, 72, 80, 72, 72, 80];
        let mut stream = vec![0xff, 0x4f];
        append(&mut stream, 0x51, &size);
        append(&mut stream, 0x52, &style);
        append(&mut stream, 0x5c, &quantization);
        let part = 12 + more.len() as u32 + 2;
        append(
            &mut stream,
            0x90,
            &[&[0, 0], part.to_be_bytes().as_slice(), &[0, 1]].concat(),
        );
        stream.extend_from_slice(more);
        stream.extend_from_slice(&[0xff, 0x93, 0xff, 0xd9]);
        stream
    }

    fn append(stream: &mut Vec<u8>, marker: u8, content: &[u8]) {
        stream.extend_from_slice(&[0xff, marker]);
        stream.extend_from_slice(&(content.len() as u16 + 2).to_be_bytes());
        stream.extend_from_slice(content);
    }

    fn check(stream: &[u8]) -> Result<(), Error> {
        check_stream(codestream(stream)?, 1)
    }

    fn refused(stream: &[u8]) -> String {
        check(stream).expect_err("it asks for too much").to_string()
    }

    #[test]
    fn usual_streams_pass() {
        check(&stream(256, 256, 1, [4, 4], &[], &[])).expect("as most are");
        check(&stream(256, 64, 1, [3, 3], &[0x66, 0x77, 0x88], &[])).expect("small precincts");
        check(&stream(16, 16, 1, [4, 4], &[], &[])).expect("a small image");
        let inside = stream(256, 256, 1, [4, 4], &[], &[]);
        let mut file = b"\0\0\0\x0cjP  \r\n\x87\n".to_vec();
        file.extend_from_slice(&(inside.len() as u32 + 8).to_be_bytes());
        file.extend_from_slice(b"jp2c");
        file.extend_from_slice(&inside);
        check(&file).expect("in its box");
        file.extend_from_slice(&file.clone());
        assert!(refused(&file).contains("not one stream"));
    }

    #[test]
    fn what_takes_a_thousand_bytes_for_a_pixel_is_refused() {
        for blocks in [[0, 0], [0, 8], [1, 4]] {
            let reason = refused(&stream(256, 256, 1, blocks, &[], &[]));
            assert!(reason.contains("tiny code-blocks"), "{reason}");
        }
        for precincts in [[0x00, 0x77, 0x88], [0x66, 0x77, 0x0f], [0x88, 0x88, 0x44]] {
            let reason = refused(&stream(256, 256, 1, [4, 4], &precincts, &[]));
            assert!(reason.contains("tiny code-blocks"), "{reason}");
        }
        let reason = refused(&stream(4000, 1, 1, [4, 4], &[], &[]));
        assert!(reason.contains("tiny tiles"), "{reason}");
        let reason = refused(&stream(256, 256, 300, [4, 4], &[], &[]));
        assert!(reason.contains("do not fill the image"), "{reason}");
    }

    #[test]
    fn settings_that_come_later_do_not_slip_through() {
        let mut hidden = Vec::new();
        append(&mut hidden, 0x52, &[0, 0, 0, 32, 0, 2, 0, 0, 0, 1]);
        let reason = refused(&stream(256, 256, 1, [4, 4], &[], &hidden));
        assert!(reason.contains("settings for single tiles"), "{reason}");
        let sound = stream(256, 256, 1, [4, 4], &[], &[]);
        for length in 0..sound.len() - 16 {
            let _ = check(&sound[..length]);
        }
    }
}
