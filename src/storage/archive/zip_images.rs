//! The images of an archive, unpacked one after the other within limits.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use zip::read::{ZipArchiveMetadata, ZipFileEntry};
use zip::{SUPPORTED_COMPRESSION_METHODS, ZipReadOptions};

use super::error::ArchiveError;
use super::names::{UsedPaths, image_path, is_folder, without_last_suffix};
use super::zip_list::read_list;

/// Small entries may have any ratio.
const RATIO_FROM: u64 = 1 << 20;

/// What the list of entries may take for each image that is allowed, and beside them all.
const LIST_BYTES_PER_IMAGE: u64 = 1 << 10;
const LIST_BYTES: u64 = 1 << 20;

/// A local header without its name and extra fields.
const LOCAL_HEADER: u64 = 30;

/// What extra fields of a local header seldom exceed. Only the header itself tells.
const EXTRA_FIELDS: u64 = 512;

/// Images that are this many bytes apart are still read at once.
const GAP: u64 = 64 << 10;

/// How much an archive may unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Images in it.
    pub entries: usize,
    /// Bytes of all of them together.
    pub bytes: u64,
    /// Bytes of one for each byte that it takes in the archive.
    pub ratio: u64,
}

impl ArchiveLimits {
    /// What the list of entries at the end of the archive may take: enough for long names, and for entries that are no
    /// images.
    pub fn list_bytes(&self) -> u64 {
        (self.entries as u64)
            .saturating_mul(LIST_BYTES_PER_IMAGE)
            .saturating_add(LIST_BYTES)
    }
}

/// The images of an archive: what its list of entries says of them, and how far they are unpacked.
///
/// Holds no bytes of the archive: whoever unpacks hands in the same file each time, of which only the
/// [`next_range`](Self::next_range) bytes must be there.
pub struct ZipImages {
    list: Arc<ZipArchiveMetadata>,
    images: Vec<Image>,
    next: usize,
    paths: UsedPaths,
}

/// An image that is still packed.
struct Image {
    index: usize,
    path: String,
    /// Where it lies in the archive, as far as the list of entries tells.
    range: Range<u64>,
    packed: u64,
    unpacked: u64,
}

/// The largest image of an archive, packed and unpacked; these may be two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargestEntry {
    /// Bytes that it takes in the archive.
    pub packed: u64,
    /// Bytes that it unpacks to.
    pub unpacked: u64,
}

impl ZipImages {
    /// Begins with the first. Reads the end of the file only, and unpacks nothing.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotAnArchive`] when there is no readable list of entries, [`ArchiveError::TooMany`],
    /// [`ArchiveError::Overlap`], and whatever the list says against an image: encrypted, packed in a way that is not
    /// supported, or larger than allowed. So nothing need be stored of an archive that cannot be unpacked.
    pub fn open(
        file: &mut (impl Read + Seek),
        limits: ArchiveLimits,
    ) -> Result<Self, ArchiveError> {
        let list = read_list(file)?;
        let size = file
            .seek(SeekFrom::End(0))
            .map_err(|_| ArchiveError::NotAnArchive)?;
        let images = images_in(&list, size)?;
        if images.len() > limits.entries {
            return Err(ArchiveError::TooMany {
                entries: images.len(),
                limit: limits.entries,
            });
        }
        if images
            .iter()
            .try_fold(0_u64, |sum, image| sum.checked_add(image.packed))
            .is_none_or(|sum| sum > size)
        {
            return Err(ArchiveError::Overlap);
        }
        let mut left = limits.bytes;
        for image in &images {
            let entry = list.entry(image.index);
            image.check(
                &entry.map_err(|_| ArchiveError::NotAnArchive)?,
                left,
                limits.ratio,
            )?;
            left -= image.unpacked;
        }
        Ok(Self {
            list,
            images,
            next: 0,
            paths: UsedPaths::default(),
        })
    }

    /// The sizes of the largest image, as the list of entries has them.
    pub fn largest(&self) -> LargestEntry {
        let most = |size: fn(&Image) -> u64| self.images.iter().map(size).max().unwrap_or(0);
        LargestEntry {
            packed: most(|image| image.packed),
            unpacked: most(|image| image.unpacked),
        }
    }

    /// Bytes of all images together, as the list of entries has them.
    pub fn unpacked(&self) -> u64 {
        let sizes = self.images.iter().map(|image| image.unpacked);
        sizes.fold(0, u64::saturating_add)
    }

    /// Where the next image lies in the file, and those that follow it closely, as long as they are `most` bytes together.
    /// With 0 it is the next one alone.
    pub fn next_range(&self, most: u64) -> Range<u64> {
        let mut images = self.images[self.next..].iter();
        let Some(mut range) = images.next().map(|image| image.range.clone()) else {
            return 0..0;
        };
        for Image { range: next, .. } in images {
            let is_close = (range.start..range.end.saturating_add(GAP)).contains(&next.start);
            if !is_close || next.end - range.start > most {
                break;
            }
            range.end = range.end.max(next.end);
        }
        range
    }

    /// Path and content of the next image. A path that was used before gets a number before its suffix.
    ///
    /// # Errors
    ///
    /// An entry that is damaged, or larger than the list says. The next call tries it again.
    pub fn read_next(
        &mut self,
        file: &mut (impl Read + Seek),
    ) -> Result<Option<(String, Vec<u8>)>, ArchiveError> {
        let Some(image) = self.images.get(self.next) else {
            return Ok(None);
        };
        let content = self.content(image, file)?;
        let path = self.paths.take(&image.path);
        self.next += 1;
        Ok(Some((path, content)))
    }

    fn content(
        &self,
        image: &Image,
        file: &mut (impl Read + Seek),
    ) -> Result<Vec<u8>, ArchiveError> {
        let damaged = |reason: &dyn std::fmt::Display| image.damaged(reason);
        let entry = self
            .list
            .entry(image.index)
            .map_err(|error| damaged(&error))?;
        let mut entry = entry
            .with_reader(file, ZipReadOptions::new())
            .map_err(|error| damaged(&error))?;
        // Ends with an error if there is more than the list of entries says.
        let size = usize::try_from(image.unpacked).map_err(|error| damaged(&error))?;
        let mut content = Vec::with_capacity(size);
        entry
            .read_to_end(&mut content)
            .map_err(|error| damaged(&error))?;
        Ok(content)
    }
}

impl Image {
    /// Whether the list says nothing against the image; so many bytes are left for it.
    fn check(&self, entry: &ZipFileEntry<'_>, left: u64, ratio: u64) -> Result<(), ArchiveError> {
        if entry.encrypted() {
            return Err(ArchiveError::Encrypted(self.path.clone()));
        }
        let by_ratio = self.packed.saturating_mul(ratio);
        let limit = left.min(by_ratio.max(RATIO_FROM));
        if self.unpacked > limit {
            return Err(ArchiveError::TooLarge {
                path: self.path.clone(),
                limit,
            });
        }
        let method = entry.compression();
        if !SUPPORTED_COMPRESSION_METHODS.contains(&method) {
            return Err(self.damaged(&format_args!("compression {method} is not supported")));
        }
        Ok(())
    }

    fn damaged(&self, reason: &dyn std::fmt::Display) -> ArchiveError {
        ArchiveError::Damaged {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

/// The entries that are images, in the order of the list.
fn images_in(list: &ZipArchiveMetadata, size: u64) -> Result<Vec<Image>, ArchiveError> {
    let mut images = Vec::new();
    for index in 0..list.len() {
        let entry = list.entry(index).map_err(|_| ArchiveError::NotAnArchive)?;
        let path = image_path(entry.name_raw());
        if is_folder(entry.name_raw()) || entry.is_symlink() || !is_image_path(&path) {
            continue;
        }
        let (start, packed) = (entry.header_start().min(size), entry.compressed_size());
        let header = LOCAL_HEADER + entry.name_raw().len() as u64 + EXTRA_FIELDS;
        let range = start
            ..start
                .saturating_add(header)
                .saturating_add(packed)
                .min(size);
        images.push(Image {
            index,
            path,
            range,
            packed,
            unpacked: entry.size(),
        });
    }
    Ok(images)
}

/// The paths of the images in an archive, in its order: what an upload is unpacked to.
///
/// Files with a suffix in their base name (any suffix; a leading dot begins none) whose path does not contain `__MACOSX`.
/// Paths are cleaned as by [`clean_path`](super::clean_path), and fit for keys of a bucket.
///
/// # Errors
///
/// [`ArchiveError::NotAnArchive`] when there is no readable list of entries.
pub fn image_entries(archive: &[u8]) -> Result<Vec<String>, ArchiveError> {
    let list = read_list(&mut Cursor::new(archive))?;
    let images = images_in(&list, archive.len() as u64)?;
    Ok(images.into_iter().map(|image| image.path).collect())
}

/// Whether the entry of this path is an image: it has a suffix, and no Mac has made it of its own.
pub(super) fn is_image_path(path: &str) -> bool {
    let base = path.rsplit('/').next().unwrap_or(path);
    without_last_suffix(base).len() < base.len() && !path.contains("__MACOSX")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use bytes::Bytes;
    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::super::sparse_file::SparseFile;
    use super::super::write::write_zip;
    use super::*;

    const LIMITS: ArchiveLimits = ArchiveLimits {
        entries: 2,
        bytes: 3 << 20,
        ratio: 100,
    };

    const NO_LIMITS: ArchiveLimits = ArchiveLimits {
        entries: 100_000,
        bytes: 1 << 30,
        ratio: u64::MAX,
    };

    /// The longest local header.
    const HEADER: u64 = 128 << 10;

    type Unpacked = Result<Vec<(String, Vec<u8>)>, ArchiveError>;

    fn unpack(archive: &[u8], limits: ArchiveLimits) -> Unpacked {
        let mut file = Cursor::new(archive);
        let mut images = ZipImages::open(&mut file, limits)?;
        let mut found = Vec::new();
        while let Some(image) = images.read_next(&mut file)? {
            found.push(image);
        }
        Ok(found)
    }

    /// The same with no more of the file in memory than is asked for; also the most bytes that were.
    fn unpack_by_pieces(archive: &[u8], limits: ArchiveLimits, most: u64) -> (Unpacked, u64) {
        let fetch = |file: &mut SparseFile, range: Range<u64>| {
            let bytes = &archive[usize::try_from(range.start).expect("small")
                ..usize::try_from(range.end).expect("small")];
            file.insert(range.start, Bytes::copy_from_slice(bytes));
            range.end - range.start
        };
        let mut file = SparseFile::new(archive.len() as u64);
        let mut images = loop {
            let found = ZipImages::open(&mut file, limits);
            let Some(missing) = file.take_missing_range() else {
                match found {
                    Ok(images) => break images,
                    Err(error) => return (Err(error), 0),
                }
            };
            fetch(
                &mut file,
                missing.start..missing.end.min(missing.start + most),
            );
        };
        let (mut found, mut held, mut largest) = (Vec::new(), 0, 0);
        let mut has_tail = false;
        file.clear();
        loop {
            if has_tail || !file.covers(&images.next_range(0)) {
                file.clear();
                has_tail = false;
                held = fetch(&mut file, images.next_range(most));
            }
            let next = loop {
                let next = images.read_next(&mut file);
                let Some(missing) = file.take_missing_range() else {
                    break next;
                };
                has_tail = true;
                held += fetch(
                    &mut file,
                    missing.start..missing.end.min(missing.start + HEADER),
                );
            };
            largest = largest.max(held);
            match next {
                Ok(Some(image)) => found.push(image),
                Ok(None) => return (Ok(found), largest),
                Err(error) => return (Err(error), largest),
            }
        }
    }

    #[test]
    fn no_bytes_are_no_archive() {
        assert!(matches!(
            image_entries(b""),
            Err(ArchiveError::NotAnArchive)
        ));
    }

    #[test]
    fn images_are_unpacked_within_limits() {
        let unpack = |archive: &[u8], limits| -> Result<Vec<(String, usize)>, ArchiveError> {
            Ok(unpack(archive, limits)?
                .into_iter()
                .map(|(path, content)| (path, content.len()))
                .collect())
        };
        let file = |name: &str, length: usize| (name.to_owned(), vec![0; length]);
        let archive = |entries: Vec<_>| write_zip(entries).expect("fits in memory");
        let good = archive(vec![
            file("b/a.tif", 5),
            file("__MACOSX/a.tif", 5),
            file("plain", 5),
            file("c.png", 7),
        ]);
        assert_eq!(
            unpack(&good, LIMITS).expect("it is small"),
            [("b/a.tif".to_owned(), 5), ("c.png".to_owned(), 7)]
        );
        let many = archive(vec![file("1.tif", 1), file("2.tif", 1), file("3.tif", 1)]);
        assert!(matches!(
            unpack(&many, LIMITS),
            Err(ArchiveError::TooMany {
                entries: 3,
                limit: 2
            })
        ));
        let bomb = archive(vec![file("bomb.tif", 2 << 20)]);
        assert!(
            matches!(unpack(&bomb, LIMITS), Err(ArchiveError::TooLarge { .. })),
            "2 MiB of zeros"
        );
        assert!(
            unpack(
                &bomb,
                ArchiveLimits {
                    ratio: 10_000,
                    ..LIMITS
                }
            )
            .is_ok()
        );
        let large = archive(vec![file("1.tif", 2 << 20), file("2.tif", 2 << 20)]);
        let error = unpack(
            &large,
            ArchiveLimits {
                ratio: 10_000,
                ..LIMITS
            },
        )
        .expect_err("4 MiB in all");
        assert!(
            error.to_string().starts_with(
                "`2.tif` in the archive unpacks to more than its limit of 1048576 bytes"
            ),
            "{error}"
        );
    }

    #[test]
    fn what_the_list_says_against_an_image_is_told_before_the_first_is_read() {
        let good = write_zip([
            ("a.tif".to_owned(), vec![7; 1000]),
            ("b.tif".to_owned(), vec![8; 1000]),
        ])
        .expect("fits in memory");
        let entry = good
            .windows(4)
            .rposition(|magic| magic == b"PK\x01\x02")
            .expect("a list of entries");
        let with = |offset: usize, value: u8| {
            let mut changed = good.clone();
            changed[entry + offset] = value;
            ZipImages::open(&mut Cursor::new(changed), LIMITS)
                .map(drop)
                .map_err(|error| error.to_string())
        };
        assert_eq!(with(0, b'P'), Ok(()));
        let error = |end: Result<(), String>| end.expect_err("it cannot be unpacked");
        assert_eq!(error(with(8, 1)), "`b.tif` in the archive is encrypted");
        assert!(error(with(10, 14)).starts_with("`b.tif` in the archive cannot be unpacked: "));
        assert!(error(with(27, 1)).starts_with("`b.tif` in the archive unpacks to more"));
    }

    #[test]
    fn sizes_in_the_list_are_not_trusted() {
        let archive = write_zip([("a.tif".to_owned(), vec![7; 1000])]).expect("fits in memory");
        let entry = archive
            .windows(4)
            .rposition(|magic| magic == b"PK\x01\x02")
            .expect("a list of entries");
        let with = |offset: usize, value: u32| {
            let mut changed = archive.clone();
            changed[entry + offset..][..4].copy_from_slice(&value.to_le_bytes());
            unpack(&changed, NO_LIMITS)
        };
        let error = with(24, 999).expect_err("one byte more than it says");
        assert!(
            error.to_string().contains("larger than its declared"),
            "{error}"
        );
        assert!(
            matches!(with(20, 1 << 20), Err(ArchiveError::Overlap)),
            "an image larger than the archive"
        );
    }

    /// An archive of these entries, with a comment, and junk in front of it.
    fn archive_of(entries: &[(String, Vec<u8>, u8)], comment: &str, junk: usize) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content, form) in entries {
            let method = if form & 1 == 0 {
                CompressionMethod::Stored
            } else {
                CompressionMethod::Deflated
            };
            let options = SimpleFileOptions::default()
                .compression_method(method)
                .large_file(form & 2 != 0)
                .with_alignment(if form & 4 != 0 { 4096 } else { 1 });
            // Names may not be used twice in one archive.
            if writer.start_file(name.as_str(), options).is_ok() {
                writer.write_all(content).expect("fits in memory");
            }
        }
        writer
            .set_comment(comment.to_owned())
            .expect("a short comment");
        let mut archive = vec![0x5a; junk];
        archive.extend(writer.finish().expect("fits in memory").into_inner());
        archive
    }

    fn entries() -> impl Strategy<Value = Vec<(String, Vec<u8>, u8)>> {
        let name = "(a/|__MACOSX/|)[a-d]{1,2}(\\.tif|\\.png|/|)";
        let content = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..2000),
            (any::<u8>(), 0_usize..100_000).prop_map(|(byte, length)| vec![byte; length]),
            prop::collection::vec(any::<u8>(), 100_000),
        ];
        prop::collection::vec((name, content, 0_u8..8), 0..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn reading_by_pieces_unpacks_the_same(
            entries in entries(), comment in "[ -~]{0,300}", junk in 0_usize..5000, most in 1_u64..300_000
        ) {
            let archive = archive_of(&entries, &comment, junk);
            let whole = unpack(&archive, NO_LIMITS).expect("a good archive");
            let (by_pieces, held) = unpack_by_pieces(&archive, NO_LIMITS, most);
            prop_assert_eq!(&by_pieces.expect("a good archive"), &whole);
            let largest = whole.iter().map(|(_, content)| content.len() as u64).max().unwrap_or(0);
            // A packed image may be larger than it is unpacked, by a few bytes.
            prop_assert!(held <= most.max(largest + 2_000) + HEADER, "{} bytes were held", held);
            let listed = super::super::image_entries(&archive).expect("a good archive");
            prop_assert_eq!(whole.len(), listed.len());
        }

        #[test]
        fn damage_is_the_same_by_pieces(entries in entries(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut archive = archive_of(&entries, "", 0);
            let at = at.index(archive.len());
            archive[at] = byte;
            let text = |unpacked: Unpacked| unpacked.map_err(|error| error.to_string());
            let (by_pieces, _) = unpack_by_pieces(&archive, NO_LIMITS, 70_000);
            prop_assert_eq!(text(by_pieces), text(unpack(&archive, NO_LIMITS)));
        }
    }

    #[test]
    fn archives_of_other_programs_unpack_the_same_by_pieces() {
        let folders = ["../shared/data/zip", "tests/fixtures/golden/image-io"].map(Path::new);
        let mut archives = 0;
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            let mut pending = vec![folder.to_path_buf()];
            while let Some(path) = pending.pop() {
                if path.is_dir() {
                    pending.extend(
                        fs::read_dir(&path)
                            .expect("a folder")
                            .map(|entry| entry.expect("an entry").path()),
                    );
                } else if path.extension().is_some_and(|suffix| suffix == "zip") {
                    let archive = fs::read(&path).expect("an archive");
                    let text = |unpacked: Unpacked| unpacked.map_err(|error| error.to_string());
                    for most in [1 << 10, 8 << 20] {
                        let (by_pieces, _) = unpack_by_pieces(&archive, NO_LIMITS, most);
                        assert_eq!(
                            text(by_pieces),
                            text(unpack(&archive, NO_LIMITS)),
                            "{}",
                            path.display()
                        );
                    }
                    archives += 1;
                }
            }
        }
        assert!(archives > 3, "{archives} archives");
    }

    #[test]
    fn very_many_entries_are_read_a_few_at_a_time() {
        // More than the numbers of 16 bits at its end can count.
        let entries: Vec<_> = (0..66_000)
            .map(|n| (format!("{n}.tif"), vec![(n % 251) as u8], 0))
            .collect();
        let archive = archive_of(&entries, "", 100);
        let (found, held) = unpack_by_pieces(&archive, NO_LIMITS, 20_000);
        assert_eq!(found.expect("a good archive").len(), 66_000);
        assert!((10_000..=20_000).contains(&held), "{held} bytes were held");
    }
}
