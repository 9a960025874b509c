//! Segments put in place: the pixels of pages as one block of f32.

use std::borrow::Cow;

use rayon::prelude::*;

use super::codec::{Compression, bits_reversed};
use super::cost::{check_segment_size, most_copied_bytes, whole_segment_bytes};
use super::directory::File;
use super::page::{BitOrder, Layout, PageData, SegmentShape};
use super::sample::Predictor;
use super::segments::Segments;
use super::series::{Pages, Series};
use crate::error::Error;
use crate::limits::Limits;
use crate::{jpeg, jpeg2000};

/// The values of the pages, one page after another, each in the order of its shape.
///
/// Everything that the file's header claims is checked before the block is allocated.
pub(super) fn read(file: &File<'_>, series: &Series, limits: &Limits) -> Result<Vec<f32>, Error> {
    let page_values = series.layout.values().unwrap_or(usize::MAX);
    let count = series.pages.count();
    let values = limits.values(&[count, page_values])?;
    limits.check_bytes(series.layout.most_segment_bytes())?;
    series.layout.predictor.check(series.layout.sample)?;
    check_segment_size(&series.layout, count)?;
    check_pages(file, series)?;
    // Zeros are written, not asked for: an allocator would take fresh pages for them and give back those that are there.
    let mut block: Vec<f32> = std::iter::repeat_n(0.0, values).collect();
    block
        .par_chunks_mut(page_values)
        .enumerate()
        .try_for_each(|(index, out)| PageReader::of(file, series, index)?.read(out))?;
    Ok(block)
}

/// Fails when the data of a page cannot be what the header claims.
fn check_pages(file: &File<'_>, series: &Series) -> Result<(), Error> {
    // That frames behind each other lie within the file was seen when they were found.
    let Pages::Listed(pages) = &series.pages else {
        return Ok(());
    };
    let mut segments_left = file.len();
    for page in pages {
        let reader = PageReader::listed(file, &series.layout, page)?;
        // Lists of segments take a byte at least of each, unless pages share them to make a small file seem huge.
        segments_left = segments_left
            .checked_sub(reader.segments.count())
            .ok_or_else(|| Error::corrupt("pages share their data"))?;
        reader.check_plausible()?;
    }
    Ok(())
}

/// A page whose segments were found.
struct PageReader<'a> {
    file: &'a File<'a>,
    layout: &'a Layout,
    segments: Segments<'a>,
    /// Tables that all its JPEG segments share.
    jpeg_tables: &'a [u8],
    /// Value of absent segments.
    nodata: f32,
}

/// A box of pixels within a band, and the size of what is stored for it.
struct Region {
    /// Index of its segment.
    segment: usize,
    /// First row and column within the band.
    row: usize,
    column: usize,
    /// Slices, rows and columns that are inside the image.
    slices: usize,
    rows: usize,
    columns: usize,
    /// Rows and columns that are stored.
    stored_rows: usize,
    stored_columns: usize,
}

/// Unpacked rows of a segment.
struct Rows<'a> {
    bytes: Cow<'a, [u8]>,
    row_bytes: usize,
}

impl<'a> PageReader<'a> {
    /// The page of this index.
    fn of(file: &'a File<'a>, series: &'a Series, index: usize) -> Result<Self, Error> {
        let layout = &series.layout;
        match &series.pages {
            Pages::Listed(pages) => Self::listed(file, layout, &pages[index]),
            Pages::Run { start, .. } => {
                let before = layout
                    .plain_bytes()
                    .unwrap_or(u64::MAX)
                    .saturating_mul(index as u64);
                Ok(Self {
                    file,
                    layout,
                    segments: Segments::run(file, layout, start.saturating_add(before))?,
                    jpeg_tables: &[],
                    nodata: 0.0,
                })
            }
        }
    }

    fn listed(file: &'a File<'a>, layout: &'a Layout, page: &PageData) -> Result<Self, Error> {
        Ok(Self {
            file,
            layout,
            segments: Segments::listed(file, layout, &page.lists)?,
            jpeg_tables: page
                .jpeg_tables
                .map(|entry| file.data(&entry))
                .unwrap_or_default(),
            nodata: page.nodata,
        })
    }

    /// Fails when segments lie outside the file or are too short for what they claim to hold.
    fn check_plausible(&self) -> Result<(), Error> {
        let (mut stored, mut any_absent) = (0_u64, false);
        for segment in self.segments.iter() {
            let is_absent = segment.bytes == 0;
            let inside = self.file.slice(segment.offset, segment.bytes).is_some() || is_absent;
            if !inside {
                return Err(Error::corrupt("the file ends before the pixels do"));
            }
            stored = stored.saturating_add(segment.bytes);
            any_absent |= is_absent;
        }
        if stored == 0 {
            return Err(Error::corrupt("the file holds no pixels"));
        }
        // Absent segments take no bytes, so nothing follows from the size of a file that has some.
        let most = self.layout.compression.most_bytes(stored);
        if !any_absent && self.layout.plain_bytes().unwrap_or(u64::MAX) > most {
            return Err(Error::corrupt(
                "the pixel data are too short for the image's size",
            ));
        }
        Ok(())
    }

    fn read(&self, out: &mut [f32]) -> Result<(), Error> {
        let layout = self.layout;
        let images = layout.images();
        let image_values = out.len() / images;
        let band_values = band_values(layout).min(image_values);
        out.par_chunks_mut(image_values)
            .enumerate()
            .try_for_each(|(image, out)| {
                let first = image * (self.segments.count() / images);
                out.par_chunks_mut(band_values)
                    .enumerate()
                    .try_for_each(|(band, out)| {
                        regions(layout, first, band)
                            .try_for_each(|region| self.read_region(&region, out))
                    })
            })
    }

    fn read_region(&self, region: &Region, band: &mut [f32]) -> Result<(), Error> {
        let layout = self.layout;
        let samples = layout.samples_together();
        let Some(mut rows) = self.rows(region)? else {
            if self.nodata != 0.0 {
                self.place(region, band, |_, out| out.fill(self.nodata));
            }
            return Ok(());
        };
        let order = self.file.order;
        if layout.predictor == Predictor::None {
            self.place(region, band, |row, out| {
                layout.sample.read_row(rows.row(row), order, out)
            });
            return Ok(());
        }
        // A predictor is undone row by row, in place: rows that were borrowed from the file are copied first.
        let row_bytes = rows.row_bytes;
        let plain = rows.bytes.to_mut();
        self.place(region, band, |row, out| {
            let row = &mut plain[row * row_bytes..(row + 1) * row_bytes];
            let order = layout.predictor.undo(row, layout.sample, samples, order);
            layout.sample.read_row(row, order, out);
        });
        Ok(())
    }

    /// Calls `fill` with each stored row of the region that is inside the image, and its place in the band.
    fn place(&self, region: &Region, band: &mut [f32], mut fill: impl FnMut(usize, &mut [f32])) {
        let layout = self.layout;
        let samples = layout.samples_together();
        for slice in 0..region.slices {
            for row in 0..region.rows {
                let start = ((slice * layout.height + region.row + row) * layout.width
                    + region.column)
                    * samples;
                let out = &mut band[start..start + region.columns * samples];
                fill(slice * region.stored_rows + row, out);
            }
        }
    }

    /// The plain rows of a segment; none when it is absent.
    fn rows(&self, region: &Region) -> Result<Option<Rows<'a>>, Error> {
        let layout = self.layout;
        let segment = self.segments.get(region.segment);
        if segment.bytes == 0 {
            return Ok(None);
        }
        let packed = self
            .file
            .slice(segment.offset, segment.bytes)
            .unwrap_or_default();
        let packed = &packed[..packed.len().min(self.most_packed_bytes())];
        if layout.compression.is_picture() {
            return self.picture_rows(region, packed).map(Some);
        }
        let row_bytes = layout
            .sample
            .row_bytes(region.stored_columns * layout.samples_together());
        let wanted = ((region.slices - 1) * region.stored_rows + region.rows) * row_bytes;
        let whole = whole_segment_bytes(layout);
        let bytes = match layout.bit_order {
            BitOrder::HighFirst => layout.compression.unpack(packed, wanted, whole)?,
            BitOrder::LowFirst => Cow::Owned(
                layout
                    .compression
                    .unpack(&bits_reversed(packed), wanted, whole)?
                    .into_owned(),
            ),
        };
        Ok(Some(Rows { bytes, row_bytes }))
    }

    /// The most stored bytes of a segment that are looked at: none is unpacked that is many times as large as its pixels.
    fn most_packed_bytes(&self) -> usize {
        match most_copied_bytes(self.layout) {
            0 => usize::MAX,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }

    fn picture_rows(&self, region: &Region, packed: &[u8]) -> Result<Rows<'a>, Error> {
        let layout = self.layout;
        let samples = layout.samples_together();
        let most_pixels = layout.most_segment_pixels();
        let picture = if layout.compression == Compression::Jpeg2000 {
            jpeg2000::decode_segment(packed, samples, most_pixels)?
        } else {
            let expected = jpeg::Expected {
                channels: samples,
                photometric: layout.photometric,
                most_pixels,
            };
            jpeg::decode_segment(self.jpeg_tables, packed, &expected)?
        };
        let fits =
            picture.width >= region.columns && picture.height >= region.rows && region.slices == 1;
        if !fits {
            return Err(Error::corrupt(
                "a JPEG strip or tile has another size than the image says",
            ));
        }
        Ok(Rows {
            row_bytes: picture.width * samples,
            bytes: Cow::Owned(picture.samples),
        })
    }
}

impl Rows<'_> {
    fn row(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.row_bytes..(index + 1) * self.row_bytes]
    }
}

/// Values of a band: segments side by side that cover a gapless part of the image.
fn band_values(layout: &Layout) -> usize {
    let rows = match layout.segment {
        SegmentShape::Strip { rows } => rows,
        SegmentShape::Tile {
            depth: 1, height, ..
        } => height,
        SegmentShape::Tile { depth, .. } => depth.saturating_mul(layout.height),
    };
    rows.saturating_mul(layout.width)
        .saturating_mul(layout.samples_together())
}

/// The segments of a band of the image whose first segment is `first`.
fn regions(layout: &Layout, first: usize, band: usize) -> impl Iterator<Item = Region> {
    let (tile_depth, tile_height, tile_width) = match layout.segment {
        SegmentShape::Strip { rows } => (1, rows, layout.width),
        SegmentShape::Tile {
            depth,
            height,
            width,
        } => (depth, height, width),
    };
    // Strips and flat tiles fill a band side by side; tiles of several slices fill a slab, in which they also lie below
    // each other, since the rows of a slice must stay together.
    let is_strip = matches!(layout.segment, SegmentShape::Strip { .. });
    let is_slab = tile_depth > 1;
    let across = layout.width.div_ceil(tile_width);
    let down = if is_slab {
        layout.height.div_ceil(tile_height)
    } else {
        1
    };
    let slices = if is_slab {
        tile_depth.min(layout.depth - band * tile_depth)
    } else {
        1
    };
    let (height, width) = (layout.height, layout.width);
    (0..across * down).map(move |index| {
        let (tile_row, tile_column) = (index / across, index % across);
        // Rows count from the top of the band, which begins at the top of the image for slabs.
        let above = if is_slab { tile_row } else { band } * tile_height;
        let rows = tile_height.min(height - above);
        Region {
            segment: first + band * across * down + index,
            row: if is_slab { above } else { 0 },
            column: tile_column * tile_width,
            slices,
            rows,
            columns: tile_width.min(width - tile_column * tile_width),
            stored_rows: if is_strip { rows } else { tile_height },
            stored_columns: tile_width,
        }
    })
}
