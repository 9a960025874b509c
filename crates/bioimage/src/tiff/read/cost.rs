//! What unpacking strips and tiles costs: said before it is taken, and bounded by the image.

use super::codec::{Compression, LZMA_MEMORY, zstd_window_bytes};
use super::directory::File;
use super::page::{BitOrder, Layout};
use super::sample::Predictor;
use super::series::Series;
use crate::error::Error;

/// Bytes that a strip or tile may take beyond what its image can explain.
const FREE_SEGMENT_BYTES: u64 = 16 << 20;

/// How much larger than the page a strip or tile may be beyond that.
const MOST_PAGES_PER_SEGMENT: u64 = 4;

/// Bytes that may be unpacked in vain, and how many times the image beyond that.
const FREE_WASTE_BYTES: u64 = 512 << 20;
const MOST_WASTE: u64 = 16;

/// Bytes that decoding JPEG takes for each sample: the sample, and twice as much where all coefficients are kept.
const JPEG_SAMPLE_BYTES: u64 = 4;

/// The same for JPEG 2000: coefficients as f32, a transform of them, the result as f32 and as bytes.
const JPEG2000_SAMPLE_BYTES: u64 = 24;

/// Bytes that reading the values takes at its peak, the block included.
pub(super) fn peak_bytes(file: &File<'_>, series: &Series) -> u64 {
    let layout = &series.layout;
    let count = series.pages.count() as u64;
    let segments = (layout.segments().unwrap_or(usize::MAX) as u64).saturating_mul(count);
    let threads = (rayon::current_num_threads() as u64).min(segments);
    let at_once = segment_peak_bytes(file, layout).saturating_mul(threads);
    let values = (layout.values().unwrap_or(usize::MAX) as u64).saturating_mul(count);
    // Dictionaries, of which there is one at a time.
    let dictionary = match layout.compression {
        Compression::Lzma => LZMA_MEMORY,
        _ => 0,
    };
    values
        .saturating_mul(size_of::<f32>() as u64)
        .saturating_add(at_once)
        .saturating_add(dictionary)
}

/// Fails when strips or tiles are so much larger than the image that they are there to take memory or time.
pub(super) fn check_segment_size(layout: &Layout, pages: usize) -> Result<(), Error> {
    let whole = whole_segment_bytes(layout);
    let page = layout.plain_bytes().unwrap_or(u64::MAX);
    let allowed = page
        .saturating_mul(MOST_PAGES_PER_SEGMENT)
        .max(FREE_SEGMENT_BYTES);
    let segments = (layout.segments().unwrap_or(usize::MAX) as u64).saturating_mul(pages as u64);
    let unpacked = whole.saturating_mul(segments);
    let useful = page.saturating_mul(pages as u64);
    let allowed_in_all = useful
        .saturating_mul(MOST_WASTE)
        .saturating_add(FREE_WASTE_BYTES);
    if whole > allowed || unpacked > allowed_in_all {
        return Err(Error::corrupt(
            "the strips or tiles are far larger than the image",
        ));
    }
    Ok(())
}

/// Bytes that are unpacked of a segment, whatever lies outside the image included where it cannot be left out.
pub(super) fn whole_segment_bytes(layout: &Layout) -> u64 {
    match layout.compression {
        Compression::Jpeg | Compression::Jpeg2000 => {
            (layout.most_segment_pixels() as u64).saturating_mul(layout.samples_together() as u64)
        }
        Compression::Zstd => layout.plain_segment_bytes(0),
        _ => layout.most_segment_bytes(),
    }
}

/// The most stored bytes of a segment that are copied before they are unpacked.
pub(super) fn most_copied_bytes(layout: &Layout) -> u64 {
    let is_copied = layout.bit_order == BitOrder::LowFirst || layout.compression.is_picture();
    if is_copied {
        whole_segment_bytes(layout)
            .saturating_mul(4)
            .saturating_add(1 << 20)
    } else {
        0
    }
}

/// Bytes that reading one segment takes at its peak.
fn segment_peak_bytes(file: &File<'_>, layout: &Layout) -> u64 {
    let plain = layout.most_segment_bytes();
    let whole = whole_segment_bytes(layout);
    // Bits turned around, and JPEG segments with their tables, are copies of what is stored.
    let copied = most_copied_bytes(layout).min(file.len() as u64);
    let unpacked = match layout.compression {
        Compression::Jpeg => whole.saturating_mul(JPEG_SAMPLE_BYTES),
        Compression::Jpeg2000 => whole.saturating_mul(JPEG2000_SAMPLE_BYTES),
        // What may be repeated is kept in a window, which grows by doubling.
        Compression::Zstd => zstd_window_bytes(whole)
            .saturating_add(plain)
            .saturating_mul(2)
            .saturating_add(plain),
        Compression::Lzma => plain.saturating_mul(2),
        Compression::None if is_borrowed(layout) => 0,
        Compression::None | Compression::Lzw | Compression::Deflate | Compression::PackBits => {
            plain
        }
    };
    // Floats are put together in a copy of their row.
    let row = if layout.predictor == Predictor::FloatingPoint {
        plain
    } else {
        0
    };
    unpacked.saturating_add(row).saturating_add(copied)
}

/// Whether samples are taken from the file itself.
fn is_borrowed(layout: &Layout) -> bool {
    layout.predictor == Predictor::None && layout.bit_order == BitOrder::HighFirst
}
