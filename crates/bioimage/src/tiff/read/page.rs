//! What one directory says about its image: sizes, samples, and which entries list its segments (strips or tiles).
//!
//! Segments are looked up in `segments` and read in `raster`.

use std::cell::Cell;

use super::codec::Compression;
use super::directory::{Directory, Entry, File};
use super::sample::{Predictor, SampleKind};
use crate::error::Error;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTES: u16 = 279;
const PLANAR: u16 = 284;
const PREDICTOR: u16 = 317;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTES: u16 = 325;
const SUB_DIRECTORIES: u16 = 330;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;
const JPEG_TABLES: u16 = 347;
const CHROMA_SUBSAMPLING: u16 = 530;
const DEPTH: u16 = 32997;
const TILE_DEPTH: u16 = 32998;
const GDAL_NODATA: u16 = 42113;

const YCBCR: u64 = 6;

/// Samples of a pixel that the tag for them can state.
const MOST_SAMPLES: usize = 65_535;

/// One page: its layout and its data.
pub(super) struct Page {
    /// What pages of one series have in common.
    pub(super) layout: Layout,
    pub(super) data: PageData,
    /// Offsets of child directories.
    pub(super) children: Option<Entry>,
    /// Values that were read from lists, which pages may share.
    pub(super) listed_values: usize,
}

/// What of a page is its own.
#[derive(Clone, Copy)]
pub(super) struct PageData {
    /// Where its segments lie.
    pub(super) lists: SegmentLists,
    /// Tables that all JPEG segments share.
    pub(super) jpeg_tables: Option<Entry>,
    /// Value of absent segments.
    pub(super) nodata: f32,
}

/// The two lists of a directory that say where each segment lies, as far as it has them.
#[derive(Clone, Copy)]
pub(super) struct SegmentLists {
    pub(super) offsets: Option<Entry>,
    pub(super) bytes: Option<Entry>,
}

/// Everything that must be equal for pages to form one series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) depth: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) samples: usize,
    pub(super) planes: Planes,
    pub(super) sample: SampleKind,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    pub(super) photometric: u64,
    pub(super) bit_order: BitOrder,
    pub(super) segment: SegmentShape,
    extra_samples: Vec<u64>,
}

/// How the samples of a pixel lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planes {
    /// Together.
    Chunky,
    /// Each in an image of its own.
    Separate,
}

/// Which bit of a stored byte comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitOrder {
    HighFirst,
    LowFirst,
}

/// Size of the pieces an image is stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentShape {
    /// Full rows, this many.
    Strip { rows: usize },
    /// A box.
    Tile {
        depth: usize,
        height: usize,
        width: usize,
    },
}

/// Longest text of a nodata value that is looked at.
const NODATA_BYTES: usize = 64;

impl Page {
    /// Reads the tags of `directory`.
    pub(super) fn of(file: &File<'_>, directory: &Directory) -> Result<Self, Error> {
        let tags = Tags {
            file,
            directory,
            listed_values: Cell::new(0),
        };
        let layout = Layout::of(&tags)?;
        let (offsets, bytes) = match layout.segment {
            SegmentShape::Strip { .. } => (STRIP_OFFSETS, STRIP_BYTES),
            SegmentShape::Tile { .. } => (TILE_OFFSETS, TILE_BYTES),
        };
        let nodata = directory
            .find(GDAL_NODATA)
            .filter(|entry| entry.count <= NODATA_BYTES)
            .map(|entry| file.text(entry))
            .transpose()?;
        Ok(Self {
            layout,
            data: PageData {
                // Some writers store tiles under the tags of strips.
                lists: SegmentLists {
                    offsets: directory.find_or(offsets, STRIP_OFFSETS).copied(),
                    bytes: directory.find_or(bytes, STRIP_BYTES).copied(),
                },
                jpeg_tables: directory.find(JPEG_TABLES).copied(),
                nodata: nodata
                    .and_then(|text| text.trim().parse().ok())
                    .unwrap_or(0.0),
            },
            children: directory.find(SUB_DIRECTORIES).copied(),
            listed_values: tags.listed_values.get(),
        })
    }
}

impl Layout {
    /// Axes as tifffile gives them, a letter and a length each: those of one sample or one slice do not show.
    pub(super) fn axes(&self) -> Vec<(char, usize)> {
        let mut axes = Vec::new();
        if self.samples > 1 && self.planes == Planes::Separate {
            axes.push(('S', self.samples));
        }
        if self.depth > 1 {
            axes.push(('Z', self.depth));
        }
        axes.extend([('Y', self.height), ('X', self.width)]);
        if self.samples > 1 && self.planes == Planes::Chunky {
            axes.push(('S', self.samples));
        }
        axes
    }

    /// The same page, uncompressed and with each of its images in one piece.
    pub(super) fn as_run(&self) -> Self {
        Self {
            segment: SegmentShape::Strip { rows: self.height },
            ..self.clone()
        }
    }

    /// Values of a page.
    pub(super) fn values(&self) -> Option<usize> {
        [self.depth, self.height, self.width]
            .iter()
            .try_fold(self.samples, |count, &axis| count.checked_mul(axis))
    }

    /// Images that are stored one after another: planes, and slices where segments are flat.
    pub(super) fn images(&self) -> usize {
        let planes = if self.planes == Planes::Separate {
            self.samples
        } else {
            1
        };
        planes.saturating_mul(if self.segment.depth() > 1 {
            1
        } else {
            self.depth
        })
    }

    /// Samples of a pixel within one plane.
    pub(super) fn samples_together(&self) -> usize {
        if self.planes == Planes::Chunky {
            self.samples
        } else {
            1
        }
    }

    /// Bytes of the page when nothing is compressed.
    pub(super) fn plain_bytes(&self) -> Option<u64> {
        let rows = (self.images() as u64).checked_mul(self.height as u64)?;
        rows.checked_mul(
            self.sample
                .row_bytes(self.width.checked_mul(self.samples_together())?) as u64,
        )
    }

    /// The most plain bytes that are needed of one segment; what of a tile lies below the image is not.
    pub(super) fn most_segment_bytes(&self) -> u64 {
        let (rows, width) = match self.segment {
            SegmentShape::Strip { rows } => (rows, self.width),
            SegmentShape::Tile {
                depth: 1,
                height,
                width,
            } => (height.min(self.height), width),
            SegmentShape::Tile {
                depth,
                height,
                width,
            } => (depth.min(self.depth).saturating_mul(height), width),
        };
        (rows as u64).saturating_mul(
            self.sample
                .row_bytes(width.saturating_mul(self.samples_together())) as u64,
        )
    }

    /// Pixels of a whole strip or tile, whatever lies outside the image included.
    pub(super) fn most_segment_pixels(&self) -> usize {
        match self.segment {
            SegmentShape::Strip { rows } => rows.saturating_mul(self.width),
            SegmentShape::Tile { height, width, .. } => height.saturating_mul(width),
        }
    }

    fn of(tags: &Tags<'_>) -> Result<Self, Error> {
        let height = tags.size(HEIGHT, None)?;
        let samples = tags.size(SAMPLES, Some(1))?;
        if samples > MOST_SAMPLES {
            return Err(Error::corrupt("a pixel has more than 65535 samples"));
        }
        let photometric = tags.number(PHOTOMETRIC).unwrap_or(0);
        let compression = Compression::from_tag(tags.number(COMPRESSION).unwrap_or(1))?;
        if photometric == YCBCR && compression != Compression::Jpeg && tags.is_subsampled() {
            return Err(Error::unsupported("YCbCr color with subsampled chroma"));
        }
        let sample = SampleKind::new(
            tags.same_for_all(BITS, samples, 1)?,
            tags.same_for_all(SAMPLE_FORMAT, samples, 1)?,
        )?;
        compression.check(sample)?;
        Ok(Self {
            depth: tags.size(DEPTH, Some(1))?,
            height,
            width: tags.size(WIDTH, None)?,
            samples,
            planes: if samples > 1 && tags.number(PLANAR) == Some(2) {
                Planes::Separate
            } else {
                Planes::Chunky
            },
            sample,
            compression,
            predictor: Predictor::from_tag(tags.number(PREDICTOR).unwrap_or(1))?,
            photometric,
            bit_order: if tags.number(FILL_ORDER) == Some(2) {
                BitOrder::LowFirst
            } else {
                BitOrder::HighFirst
            },
            segment: tags.segment_shape(height)?,
            extra_samples: tags.list(EXTRA_SAMPLES, samples),
        })
    }

    /// How many segments a page has.
    pub(super) fn segments(&self) -> Option<usize> {
        let per_image = match self.segment {
            SegmentShape::Strip { rows } => self.height.div_ceil(rows),
            SegmentShape::Tile {
                depth,
                height,
                width,
            } => {
                let slabs = if depth > 1 {
                    self.depth.div_ceil(depth)
                } else {
                    1
                };
                let per_slab = self
                    .height
                    .div_ceil(height)
                    .checked_mul(self.width.div_ceil(width))?;
                per_slab.checked_mul(slabs)?
            }
        };
        per_image.checked_mul(self.images())
    }

    /// Bytes of an uncompressed segment.
    pub(super) fn plain_segment_bytes(&self, index: usize) -> u64 {
        let (rows, width) = match self.segment {
            SegmentShape::Strip { rows } => {
                let strip = index % self.height.div_ceil(rows);
                (rows.min(self.height - strip * rows), self.width)
            }
            SegmentShape::Tile {
                depth,
                height,
                width,
            } => (depth.saturating_mul(height), width),
        };
        let row = self
            .sample
            .row_bytes(width.saturating_mul(self.samples_together()));
        (rows as u64).saturating_mul(row as u64)
    }
}

impl Layout {
    /// Bytes of an uncompressed segment that hold pixels of the image: the last tiles may end with the image.
    pub(super) fn needed_segment_bytes(&self, index: usize) -> u64 {
        let SegmentShape::Tile {
            depth: 1,
            height,
            width,
        } = self.segment
        else {
            return self.plain_segment_bytes(index);
        };
        let across = self.width.div_ceil(width);
        let above = index / across % self.height.div_ceil(height) * height;
        let rows = height.min(self.height - above);
        let row = self
            .sample
            .row_bytes(width.saturating_mul(self.samples_together()));
        (rows as u64).saturating_mul(row as u64)
    }
}

impl SegmentShape {
    pub(super) fn depth(self) -> usize {
        match self {
            Self::Strip { .. } => 1,
            Self::Tile { depth, .. } => depth,
        }
    }
}

/// The entries of a directory as numbers.
struct Tags<'a> {
    file: &'a File<'a>,
    directory: &'a Directory,
    listed_values: Cell<usize>,
}

impl Tags<'_> {
    fn number(&self, tag: u16) -> Option<u64> {
        self.file.number_of(self.directory.find(tag)?, 0)
    }

    fn list(&self, tag: u16, limit: usize) -> Vec<u64> {
        let values = self
            .directory
            .find(tag)
            .map(|entry| self.file.numbers(entry, limit))
            .unwrap_or_default();
        self.listed_values
            .set(self.listed_values.get() + values.len());
        values
    }

    /// A size, which must be given unless there is a default, and must not be 0.
    fn size(&self, tag: u16, default: Option<u64>) -> Result<usize, Error> {
        let number = self
            .number(tag)
            .or(default)
            .ok_or_else(|| Error::corrupt("the image's size is missing"))?;
        let size = u32::try_from(number)
            .map_err(|_| Error::corrupt("the image's size is out of range"))?;
        if size == 0 {
            return Err(Error::corrupt("the image has no pixels"));
        }
        Ok(size as usize)
    }

    /// The one value of a tag that is given for each sample.
    fn same_for_all(&self, tag: u16, samples: usize, default: u64) -> Result<u64, Error> {
        let values = self.list(tag, samples);
        let first = values.first().copied().unwrap_or(default);
        if values.iter().any(|&value| value != first) {
            return Err(Error::unsupported(
                "samples of different kinds in one pixel",
            ));
        }
        Ok(first)
    }

    fn is_subsampled(&self) -> bool {
        self.list(CHROMA_SUBSAMPLING, 2)
            .iter()
            .any(|&factor| factor != 1)
    }

    fn segment_shape(&self, height: usize) -> Result<SegmentShape, Error> {
        if self.directory.find(TILE_WIDTH).is_none() {
            let rows = self
                .number(ROWS_PER_STRIP)
                .and_then(|rows| usize::try_from(rows).ok());
            return Ok(SegmentShape::Strip {
                rows: rows.filter(|&rows| rows > 0).unwrap_or(height).min(height),
            });
        }
        Ok(SegmentShape::Tile {
            depth: self.size(TILE_DEPTH, Some(1))?,
            height: self.size(TILE_HEIGHT, None)?,
            width: self.size(TILE_WIDTH, None)?,
        })
    }
}
