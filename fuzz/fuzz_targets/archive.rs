//! Zip archives: no name leaves its folder, nothing unpacks to more than allowed, and reading by pieces finds the same.
#![no_main]

mod bound;

use std::io::Cursor;
use std::ops::Range;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use redis_consumer::storage::archive::{self, ArchiveError, ArchiveLimits, SparseFile, ZipImages};

use bound::within;

const LIMITS: ArchiveLimits = ArchiveLimits { entries: 64, bytes: 4 << 20, ratio: 200 };

/// Bytes that are fetched at once.
const PIECE: u64 = 1000;

type Unpacked = Result<Vec<(String, Vec<u8>)>, ArchiveError>;

fuzz_target!(|bytes: &[u8]| {
    for name in archive::image_entries(bytes).unwrap_or_default() {
        assert_inside(&name);
    }
    // The images, which are kept here, and one of them while it is unpacked.
    let whole = within(2 * LIMITS.bytes, bytes, || unpack(bytes));
    let by_pieces = within(2 * LIMITS.bytes, bytes, || unpack_by_pieces(bytes));
    match (whole, by_pieces) {
        (Ok(whole), Ok(by_pieces)) => {
            assert!(whole == by_pieces, "reading by pieces finds other images");
            whole.iter().for_each(|(path, _)| assert_inside(path));
            let unpacked: usize = whole.iter().map(|(_, content)| content.len()).sum();
            assert!(whole.len() <= LIMITS.entries && unpacked as u64 <= LIMITS.bytes, "{unpacked} bytes are too many");
        }
        (Err(whole), Err(by_pieces)) => assert_eq!(whole.to_string(), by_pieces.to_string()),
        (Ok(_), Err(error)) => panic!("reading by pieces fails: {error}"),
        (Err(error), Ok(_)) => panic!("reading as a whole fails: {error}"),
    }
});

fn assert_inside(path: &str) {
    assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."), "{path:?} leaves its folder");
}

fn unpack(bytes: &[u8]) -> Unpacked {
    let mut file = Cursor::new(bytes);
    let mut images = ZipImages::open(&mut file, LIMITS)?;
    let mut unpacked = Vec::new();
    while let Some(image) = images.read_next(&mut file)? {
        unpacked.push(image);
    }
    Ok(unpacked)
}

/// The same, with the bytes in memory that were asked for.
fn unpack_by_pieces(bytes: &[u8]) -> Unpacked {
    let mut window = SparseFile::new(bytes.len() as u64);
    let mut images = complete(bytes, &mut window, |window| ZipImages::open(window, LIMITS))?;
    let mut unpacked = Vec::new();
    loop {
        window.clear();
        insert(bytes, &mut window, images.next_range(PIECE));
        match complete(bytes, &mut window, |window| images.read_next(window))? {
            Some(image) => unpacked.push(image),
            None => return Ok(unpacked),
        }
    }
}

/// The result of reading when nothing was missing.
fn complete<T>(bytes: &[u8], window: &mut SparseFile, mut read: impl FnMut(&mut SparseFile) -> T) -> T {
    loop {
        let result = read(window);
        let Some(Range { start, end }) = window.take_missing_range() else { return result };
        assert!(start < end, "there is nothing at {start}");
        insert(bytes, window, start..end.min(start + PIECE));
    }
}

fn insert(bytes: &[u8], window: &mut SparseFile, range: Range<u64>) {
    window.insert(range.start, Bytes::copy_from_slice(&bytes[range.start as usize..range.end as usize]));
}
