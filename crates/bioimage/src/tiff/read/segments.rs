//! Where the stored bytes of a page lie: strip by strip or tile by tile.
//!
//! Looked up one by one, because a small file may list millions. Counts of bytes that cannot be are corrected as
//! tifffile and libtiff do.

use super::codec::Compression;
use super::directory::{Entry, File};
use super::page::{BitOrder, Layout, Page, SegmentLists, SegmentShape};
use super::sample::Predictor;
use crate::error::Error;

/// The stored bytes of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) offset: u64,
    /// 0 for an absent segment.
    pub(super) bytes: u64,
}

/// The segments of one page: plane by plane, in each from front to back, top to bottom, left to right.
pub(super) struct Segments<'a> {
    file: File<'a>,
    layout: &'a Layout,
    count: usize,
    source: Source,
}

#[derive(Clone, Copy)]
enum Source {
    /// Where two lists say.
    Listed {
        offsets: Entry,
        bytes: Option<Entry>,
        counts: Counts,
    },
    /// Uncompressed, one behind the other from here on.
    Run { start: u64 },
}

/// What the listed counts of bytes are worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Stated,
    /// All are 0: the writer left them out.
    LeftOut,
}

impl<'a> Segments<'a> {
    /// The segments that these lists name.
    pub(super) fn listed(
        file: &File<'a>,
        layout: &'a Layout,
        lists: &SegmentLists,
    ) -> Result<Self, Error> {
        let count = layout
            .segments()
            .ok_or_else(|| Error::corrupt("the image has too many segments"))?;
        let offsets = lists
            .offsets
            .ok_or_else(|| Error::corrupt("the place of the pixels is missing"))?;
        if offsets.count < count {
            return Err(Error::corrupt(format!(
                "{count} strips or tiles needed, {} listed",
                offsets.count
            )));
        }
        // Without compression sizes follow from the layout, so a file may leave them out.
        let is_plain = layout.compression == Compression::None;
        let last = count - 1;
        let has_bytes = |entry: Entry| file.number_of(&entry, last).is_some();
        if file.number_of(&offsets, last).is_none()
            || !(is_plain || lists.bytes.is_some_and(has_bytes))
        {
            return Err(Error::corrupt("the list of strips or tiles ends too early"));
        }
        Ok(Self {
            file: *file,
            layout,
            count,
            source: Source::Listed {
                offsets,
                bytes: lists.bytes,
                counts: counts(file, lists.bytes, count, is_plain),
            },
        })
    }

    /// The segments of a page of plain bytes that begins at `start`.
    pub(super) fn run(file: &File<'a>, layout: &'a Layout, start: u64) -> Result<Self, Error> {
        let count = layout
            .segments()
            .ok_or_else(|| Error::corrupt("the image has too many segments"))?;
        Ok(Self {
            file: *file,
            layout,
            count,
            source: Source::Run { start },
        })
    }

    /// How many there are; at least one.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// All of them in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Segment> {
        (0..self.count).map(|index| self.get(index))
    }

    /// The segment of this index.
    pub(super) fn get(&self, index: usize) -> Segment {
        match self.source {
            Source::Run { start } => {
                let bytes = self.layout.plain_segment_bytes(0);
                Segment {
                    offset: start.saturating_add(bytes.saturating_mul(index as u64)),
                    bytes,
                }
            }
            Source::Listed {
                offsets,
                bytes,
                counts,
            } => {
                let offset = self.file.number_of(&offsets, index).unwrap_or(0);
                let stated = bytes.and_then(|entry| self.file.number_of(&entry, index));
                let stated = stated.filter(|&stated| stated > 0 || counts == Counts::Stated);
                // An offset of 0, where the header lies, marks an absent segment.
                let bytes = if offset == 0 {
                    0
                } else {
                    self.stored_bytes(index, offset, stated)
                };
                Segment { offset, bytes }
            }
        }
    }

    /// The bytes of a segment, of which the file states so many.
    fn stored_bytes(&self, index: usize, offset: u64, stated: Option<u64>) -> u64 {
        if self.layout.compression == Compression::None {
            let needed = self.layout.needed_segment_bytes(index);
            // What a plain segment claims beyond its pixels need not be there, and what its pixels take must be.
            return match stated {
                None => needed,
                Some(0) => 0,
                Some(stated) => stated.clamp(needed, self.layout.plain_segment_bytes(index)),
            };
        }
        // Whether what is there of a packed segment suffices shows when it is unpacked.
        let there = (self.file.len() as u64).saturating_sub(offset);
        match stated {
            Some(stated) if there > 0 => stated.min(there),
            Some(stated) => stated,
            None => there.max(1),
        }
    }
}

/// Where the data of a page begin, when it is stored as plain bytes without gaps: frames may follow then.
pub(super) fn plain_start(file: &File<'_>, page: &Page) -> Option<u64> {
    let layout = &page.layout;
    let plain = layout.compression == Compression::None
        && layout.predictor == Predictor::None
        && layout.bit_order == BitOrder::HighFirst
        && matches!(layout.segment, SegmentShape::Strip { .. });
    if !plain {
        return None;
    }
    let segments = Segments::listed(file, layout, &page.data.lists).ok()?;
    let first = segments.get(0);
    let mut next = first.offset;
    let gapless = segments.iter().all(|segment| {
        let follows = segment.offset == next;
        next = segment.offset.saturating_add(segment.bytes);
        follows
    });
    (gapless && first.bytes > 0).then_some(first.offset)
}

/// Counts of 0 mark absent segments where others are there; where all are 0, something else is meant.
fn counts(file: &File<'_>, bytes: Option<Entry>, count: usize, is_plain: bool) -> Counts {
    let is_zero =
        |entry: Entry| (0..count).all(|index| file.number_of(&entry, index).unwrap_or(0) == 0);
    if (is_plain || count == 1) && bytes.is_some_and(is_zero) {
        Counts::LeftOut
    } else {
        Counts::Stated
    }
}
