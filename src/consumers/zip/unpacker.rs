//! The images of an archive in the bucket, of which a few megabytes are in memory at a time.

use std::ops::Range;

use crate::compute;
use crate::storage::archive::{
    ArchiveError, ArchiveLimits, LargestEntry, SparseFile, ZipImages, claimed_list_bytes,
};
use crate::storage::{RangeReader, Storage};

/// Bytes of the archive that are fetched at once, unless one image takes more.
const WINDOW: u64 = 8 << 20;

/// The end of an archive, which has to be read first: the list of some thousand entries.
const END: u64 = 256 << 10;

/// What a local header can be longer than the list of entries let expect.
const LOCAL_HEADER: u64 = 128 << 10;

/// Bytes that the list takes in memory for each of its own, while it is read: it is packed tightly, and read twice.
const LIST_FACTOR: u64 = 10;

/// An archive in the bucket while its images are unpacked.
pub(super) struct Unpacker {
    source: RangeReader,
    window: SparseFile,
    /// Whether an image was longer than expected, so that more than a window is held. With the next one that begins anew, or
    /// tail upon tail the whole archive would be.
    has_tail: bool,
    images: ZipImages,
}

impl Unpacker {
    /// Bytes that [`Self::open`] takes at most, as the end of the archive tells.
    ///
    /// # Errors
    ///
    /// As with [`RangeReader::read`].
    pub(super) async fn memory_to_open(
        storage: &Storage,
        reference: &str,
        limits: ArchiveLimits,
    ) -> anyhow::Result<u64> {
        let mut source = storage.range_reader(reference).await?;
        let size = source.size();
        let mut window = SparseFile::new(size);
        fetch(&mut source, &mut window, size - END.min(size)..size).await?;
        let list = compute::run(move || claimed_list_bytes(&mut window)).await;
        let list = list.min(size).min(limits.list_bytes());
        Ok(size
            .min(WINDOW)
            .saturating_add(list.saturating_mul(LIST_FACTOR)))
    }

    /// Reads the list of entries.
    ///
    /// # Errors
    ///
    /// As with [`RangeReader::read`] and [`ZipImages::open`], and a list that is longer than the limits let expect.
    pub(super) async fn open(
        storage: &Storage,
        reference: &str,
        limits: ArchiveLimits,
    ) -> anyhow::Result<Self> {
        let mut source = storage.range_reader(reference).await?;
        let size = source.size();
        let mut window = SparseFile::new(size);
        let end = if size <= WINDOW { size } else { END };
        fetch(&mut source, &mut window, size - end..size).await?;
        let mut allowed = limits.list_bytes();
        loop {
            let (images, read) =
                compute::run(move || (ZipImages::open(&mut window, limits), window)).await;
            window = read;
            let Some(Range { start, end }) = window.take_missing_range() else {
                return Ok(Self {
                    source,
                    window,
                    has_tail: false,
                    images: images?,
                });
            };
            if allowed == 0 {
                return Err(ArchiveError::LongList {
                    limit: limits.list_bytes(),
                }
                .into());
            }
            let next = start..end.min(start.saturating_add(allowed));
            allowed -= next.end - next.start;
            fetch(&mut source, &mut window, next).await?;
        }
    }

    /// The sizes of the largest image, which are never exceeded.
    pub(super) fn largest(&self) -> LargestEntry {
        self.images.largest()
    }

    /// What there is of the archive in memory at most, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.source
            .size()
            .min(WINDOW.max(self.largest().packed) + LOCAL_HEADER)
    }

    /// Path and content of the next image, and the archive for those after it.
    ///
    /// # Errors
    ///
    /// As with [`RangeReader::read`] and [`ZipImages::read_next`].
    pub(super) async fn next(mut self) -> anyhow::Result<Option<((String, Vec<u8>), Self)>> {
        if self.has_tail || !self.window.covers(&self.images.next_range(0)) {
            self.window.clear();
            self.has_tail = false;
            fetch(
                &mut self.source,
                &mut self.window,
                self.images.next_range(WINDOW),
            )
            .await?;
        }
        loop {
            let Self {
                source,
                mut window,
                mut images,
                has_tail,
            } = self;
            let (image, window, images) =
                compute::run(move || (images.read_next(&mut window), window, images)).await;
            self = Self {
                source,
                window,
                has_tail,
                images,
            };
            let Some(Range { start, end }) = self.window.take_missing_range() else {
                return Ok(image?.map(|image| (image, self)));
            };
            self.has_tail = true;
            fetch(
                &mut self.source,
                &mut self.window,
                start..end.min(start + LOCAL_HEADER),
            )
            .await?;
        }
    }
}

async fn fetch(
    source: &mut RangeReader,
    window: &mut SparseFile,
    range: Range<u64>,
) -> anyhow::Result<()> {
    if !range.is_empty() {
        let start = range.start;
        window.insert(start, source.read(range).await?);
    }
    Ok(())
}
