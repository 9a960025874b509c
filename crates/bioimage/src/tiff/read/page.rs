//! What one directory says about its image: sizes, samples, and where its segments (strips or tiles) lie.
//!
//! Segments are found here and read in `raster`.

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

/// One page: its layout and its data.
pub(super) struct Page {
    /// Where its directory begins.
    pub(super) directory: u64,
    /// What pages of one series have in common.
    pub(super) layout: Layout,
    /// Where its data lie.
    pub(super) placement: Placement,
    /// Tables that all JPEG segments share.
    pub(super) jpeg_tables: Option<Entry>,
    /// Value of absent segments.
    pub(super) nodata: f32,
    /// Offsets of child directories.
    pub(super) children: Vec<u64>,
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

/// Where the data of a page lie.
#[derive(Clone, Copy)]
pub(super) enum Placement {
    /// Segment by segment where two tags say.
    Listed(SegmentLists),
    /// Uncompressed, all planes and rows one after another from here on.
    Run { start: u64 },
}

/// The two lists of a directory that say where each segment lies, as far as it has them.
#[derive(Clone, Copy)]
pub(super) struct SegmentLists {
    offsets: Option<Entry>,
    bytes: Option<Entry>,
}

/// The stored bytes of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) offset: u64,
    /// 0 for an absent segment.
    pub(super) bytes: u64,
}

impl Page {
    /// Reads the tags of `directory`.
    pub(super) fn of(file: &File<'_>, directory: &Directory) -> Result<Self, Error> {
        let tags = Tags { file, directory };
        let layout = Layout::of(&tags)?;
        let (offsets, bytes) = match layout.segment {
            SegmentShape::Strip { .. } => (STRIP_OFFSETS, STRIP_BYTES),
            SegmentShape::Tile { .. } => (TILE_OFFSETS, TILE_BYTES),
        };
        let nodata = directory.find(GDAL_NODATA).map(|entry| file.text(entry));
        Ok(Self {
            directory: directory.offset,
            layout,
            // Some writers store tiles under the tags of strips.
            placement: Placement::Listed(SegmentLists {
                offsets: directory.find_or(offsets, STRIP_OFFSETS).copied(),
                bytes: directory.find_or(bytes, STRIP_BYTES).copied(),
            }),
            jpeg_tables: directory.find(JPEG_TABLES).copied(),
            nodata: nodata
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0.0),
            children: tags.list(SUB_DIRECTORIES, usize::from(u16::MAX)),
        })
    }

    /// The same page with its data elsewhere, uncompressed and in one run.
    pub(super) fn as_run(&self, start: u64) -> Self {
        Self {
            layout: Layout {
                segment: SegmentShape::Strip {
                    rows: self.layout.height,
                },
                ..self.layout.clone()
            },
            placement: Placement::Run { start },
            children: Vec::new(),
            ..*self
        }
    }

    /// Where the data begin, when the page is stored as plain bytes without gaps: frames may follow then.
    pub(super) fn plain_start(&self, file: &File<'_>) -> Option<u64> {
        let layout = &self.layout;
        let plain = layout.compression == Compression::None
            && layout.predictor == Predictor::None
            && layout.bit_order == BitOrder::HighFirst
            && matches!(layout.segment, SegmentShape::Strip { .. });
        if !plain {
            return None;
        }
        let segments = self.segments(file).ok()?;
        let gapless = segments
            .windows(2)
            .all(|pair| pair[0].offset.checked_add(pair[0].bytes) == Some(pair[1].offset));
        (gapless && segments[0].bytes > 0).then(|| segments[0].offset)
    }

    /// Where each segment lies: plane by plane, in each from front to back, top to bottom, left to right.
    pub(super) fn segments(&self, file: &File<'_>) -> Result<Vec<Segment>, Error> {
        let expected = self
            .layout
            .segments()
            .ok_or_else(|| Error::corrupt("the image has too many segments"))?;
        match self.placement {
            Placement::Run { start } => Ok(self.run_segments(start, expected)),
            Placement::Listed(lists) => self.listed_segments(file, &lists, expected),
        }
    }

    fn run_segments(&self, start: u64, count: usize) -> Vec<Segment> {
        let bytes = self.layout.plain_segment_bytes(0);
        (0..count as u64)
            .map(|index| Segment {
                offset: start + index * bytes,
                bytes,
            })
            .collect()
    }

    fn listed_segments(
        &self,
        file: &File<'_>,
        lists: &SegmentLists,
        expected: usize,
    ) -> Result<Vec<Segment>, Error> {
        let offsets = lists
            .offsets
            .ok_or_else(|| Error::corrupt("the place of the pixels is missing"))?;
        if offsets.count < expected {
            return Err(Error::corrupt(format!(
                "{expected} strips or tiles needed, {} listed",
                offsets.count
            )));
        }
        let offsets = file.numbers(&offsets, expected);
        let mut bytes = lists
            .bytes
            .map(|entry| file.numbers(&entry, expected))
            .unwrap_or_default();
        let is_plain = self.layout.compression == Compression::None;
        // Without compression sizes follow from the layout, so a file may leave them out.
        if is_plain && bytes.len() < expected {
            let missing = bytes.len()..expected;
            bytes.extend(missing.map(|index| self.layout.plain_segment_bytes(index)));
        }
        if offsets.len() < expected || bytes.len() < expected {
            return Err(Error::corrupt("the list of strips or tiles ends too early"));
        }
        let mut segments = Vec::with_capacity(expected);
        for (index, (offset, mut bytes)) in offsets.into_iter().zip(bytes).enumerate() {
            // What a plain segment claims beyond its pixels need not be there.
            if is_plain {
                bytes = bytes.min(self.layout.plain_segment_bytes(index));
            }
            // An offset of 0, where the header lies, marks an absent segment.
            let bytes = if offset == 0 { 0 } else { bytes };
            segments.push(Segment { offset, bytes });
        }
        Ok(segments)
    }
}

impl Layout {
    /// Shape as tifffile gives it: axes of one sample or one slice do not show.
    pub(super) fn shape(&self) -> Vec<usize> {
        let mut shape = Vec::new();
        if self.samples > 1 && self.planes == Planes::Separate {
            shape.push(self.samples);
        }
        if self.depth > 1 {
            shape.push(self.depth);
        }
        shape.extend([self.height, self.width]);
        if self.samples > 1 && self.planes == Planes::Chunky {
            shape.push(self.samples);
        }
        shape
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
        let photometric = tags.number(PHOTOMETRIC).unwrap_or(0);
        let compression = Compression::from_tag(tags.number(COMPRESSION).unwrap_or(1))?;
        if photometric == YCBCR && compression != Compression::Jpeg && tags.is_subsampled() {
            return Err(Error::unsupported("YCbCr color with subsampled chroma"));
        }
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
            sample: SampleKind::new(
                tags.same_for_all(BITS, samples, 1)?,
                tags.same_for_all(SAMPLE_FORMAT, samples, 1)?,
            )?,
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

    fn segments(&self) -> Option<usize> {
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
    fn plain_segment_bytes(&self, index: usize) -> u64 {
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
}

impl Tags<'_> {
    fn number(&self, tag: u16) -> Option<u64> {
        self.file
            .numbers(self.directory.find(tag)?, 1)
            .first()
            .copied()
    }

    fn list(&self, tag: u16, limit: usize) -> Vec<u64> {
        self.directory
            .find(tag)
            .map(|entry| self.file.numbers(entry, limit))
            .unwrap_or_default()
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
