//! What hostile files take: never more than their headers announce, and a little.
//!
//! A test program of its own with a single test, because all that it allocates counts. The allocator gives no more than
//! what is allowed, so that a file that takes more ends the program; its name is the last one in the output.

use std::alloc::System;
use std::io::Write as _;

use bioimage::{Limits, decode, header_of};
use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What reading a header, or decoding beside what was announced, may take.
const FREE: u64 = 32 << 20;

const LIMITS: Limits = Limits {
    max_decoded_bytes: 1 << 30,
};

#[test]
fn no_file_takes_more_memory_than_its_header_announces() {
    // Threads are started, and what they keep is allocated.
    let honest = tiff(&page(64, 64, 8), &deflated(64 * 64), "");
    assert!(decode(&honest, "a.tif", &LIMITS).is_ok());
    let mut read = Vec::new();
    for (name, file) in honest_files().into_iter().chain(hostile_files()) {
        let _ = writeln!(std::io::stderr(), "{name}: {} bytes", file.len());
        let bytes = file.len() as u64;
        let header = within(2 * bytes + FREE, || header_of(&file, "a.tif"));
        let announced = header.map_or(0, |header| header.peak_bytes);
        let image = within(announced + bytes + FREE, || decode(&file, "a.tif", &LIMITS));
        read.extend(image.is_ok().then_some(name));
    }
    let honest: Vec<_> = honest_files().into_iter().map(|(name, _)| name).collect();
    assert!(read.starts_with(&honest), "only these were read: {read:?}");
}

/// Does the work with no more than so many bytes.
fn within<T>(bytes: u64, work: impl FnOnce() -> T) -> T {
    let limit = ALLOCATOR.allocated() + bytes as usize;
    assert_eq!(ALLOCATOR.set_limit(limit), Ok(()));
    let result = work();
    assert_eq!(ALLOCATOR.set_limit(usize::MAX), Ok(()));
    result
}

type Files = Vec<(&'static str, Vec<u8>)>;

fn honest_files() -> Files {
    let tiles = [(322, 256), (323, 256), (324, 8), (325, 0)];
    vec![
        (
            "plain strip",
            tiff(&page(1500, 1500, 1), &[7; 1500 * 1500], ""),
        ),
        (
            "deflate strip",
            tiff(&page(1500, 1500, 8), &deflated(1500 * 1500), ""),
        ),
        (
            "zstd strip",
            tiff(&page(1500, 1500, 50000), &zstd(0x60, 18), ""),
        ),
        (
            "tile",
            tiff(&with(page(9, 9, 8), &tiles), &deflated(1 << 16), ""),
        ),
        (
            "frames",
            tiff(
                &page(1, 1, 1),
                &[7; 4_000_000],
                "ImageJ=1\nimages=4000000\nslices=4000000\n",
            ),
        ),
    ]
}

fn hostile_files() -> Files {
    let tile = |width, height| [(322, width), (323, height), (324, 8), (325, 0)];
    let small = |compression, tile: &[(u16, u32)], data: &[u8]| {
        tiff(&with(page(16, 16, compression), tile), data, "")
    };
    let ome = |sizes: &str, data: &str| {
        let order = "DimensionOrder=\"XYCZT\"";
        let text = format!("<OME><Image><Pixels {order} {sizes}>{data}</Pixels></Image></OME>");
        tiff(&page(1, 1, 1), &[7], &text)
    };
    vec![
        (
            "wide tile",
            small(8, &tile(1_000_000_000, 1), &deflated(200_000_000)),
        ),
        (
            "tile with room",
            small(8, &tile(4096, 4096), &deflated(1 << 24)),
        ),
        ("JPEG tile", small(7, &tile(30_000, 30_000), &[0xff; 1000])),
        (
            "JPEG 2000 tile",
            small(34712, &tile(8000, 8000), &[0xff; 1000]),
        ),
        (
            "zstd window of 128 MiB",
            small(50000, &tile(64, 64), &zstd(0x88, 1000)),
        ),
        (
            "zstd window of 8 MiB",
            small(50000, &tile(64, 64), &zstd(0x68, 1000)),
        ),
        (
            "LZMA dictionary of 64 MiB",
            small(34925, &tile(64, 64), &xz(28)),
        ),
        (
            "LZMA dictionary of 4 GiB",
            small(34925, &tile(64, 64), &xz(40)),
        ),
        ("directories without entries", empty_directories(1_000_000)),
        (
            "millions of planes",
            ome(
                "SizeC=\"4096\" SizeZ=\"4096\" SizeT=\"1\"",
                "<TiffData IFD=\"0\"/>",
            ),
        ),
        (
            "millions of elements",
            ome(
                "SizeC=\"1\" SizeZ=\"1\" SizeT=\"1\"",
                &"<a b=\"\"/>".repeat(1_600_000),
            ),
        ),
        (
            "millions of attributes",
            ome(
                &(0..1_000_000)
                    .map(|n| format!("a{n}=\"\" "))
                    .collect::<String>(),
                "",
            ),
        ),
        (
            "millions of values",
            tiff(
                &page(1, 1, 1),
                &[7],
                format!("{{\"shape\": [{}1]}}", "[],".repeat(5_000_000)),
            ),
        ),
        (
            "long description",
            tiff(&page(1, 1, 1), &[7], "x".repeat(20 << 20)),
        ),
        (
            "description that is no text",
            tiff(&page(1, 1, 1), &[7], vec![0xe9; 4 << 20]),
        ),
        (
            "absent strips",
            tiff(
                &with(page(15_000, 15_000, 1), &[(278, 1)]),
                &[0; 120_000],
                "",
            ),
        ),
    ]
}

/// Entries of one page: width, height, compression.
fn page(width: u32, height: u32, compression: u32) -> Vec<(u16, u32)> {
    vec![
        (256, width),
        (257, height),
        (258, 8),
        (259, compression),
        (273, 8),
        (279, 0),
    ]
}

fn with(mut entries: Vec<(u16, u32)>, more: &[(u16, u32)]) -> Vec<(u16, u32)> {
    entries.extend_from_slice(more);
    entries
}

/// A file of one page with these entries, whose data begin at 8; counts of bytes are filled in.
fn tiff(entries: &[(u16, u32)], data: &[u8], description: impl AsRef<[u8]>) -> Vec<u8> {
    let description = description.as_ref();
    let mut file = b"II\x2a\0".to_vec();
    file.extend_from_slice(&((8 + data.len() + description.len()) as u32).to_le_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(description);
    file.extend_from_slice(&(entries.len() as u16 + 1).to_le_bytes());
    for &(tag, value) in entries {
        let value = match tag {
            279 | 325 => data.len() as u32,
            _ => value,
        };
        append_entry(&mut file, tag, [4, 1, value]);
    }
    let place = 8 + data.len() as u32;
    append_entry(&mut file, 270, [2, description.len() as u32, place]);
    file.extend_from_slice(&[0; 4]);
    file
}

fn append_entry(file: &mut Vec<u8>, tag: u16, [kind, count, value]: [u32; 3]) {
    file.extend_from_slice(&tag.to_le_bytes());
    file.extend_from_slice(&(kind as u16).to_le_bytes());
    file.extend_from_slice(&count.to_le_bytes());
    file.extend_from_slice(&value.to_le_bytes());
}

fn empty_directories(count: u32) -> Vec<u8> {
    let mut file = tiff(&page(1, 1, 1), &[7], "");
    let link = file.len() - 4;
    for index in 0..count {
        let next = (link as u32) + 4 + 6 * index;
        file.extend_from_slice(&[0, 0]);
        let at = if index == 0 { link } else { file.len() - 6 };
        file[at..at + 4].copy_from_slice(&next.to_le_bytes());
        file.extend_from_slice(&[0; 4]);
    }
    file
}

fn deflated(zeros: usize) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; zeros];
    packer.write_all(&zeros).expect("fits in memory");
    packer.finish().expect("fits in memory")
}

/// So many blocks of 128 KiB zeros, with a window of 2^(10 + descriptor / 8) bytes.
fn zstd(window: u8, blocks: usize) -> Vec<u8> {
    let mut stream = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    for index in 1..=blocks {
        let header = ((1_u32 << 17) << 3) | (1 << 1) | u32::from(index == blocks);
        stream.extend_from_slice(&header.to_le_bytes()[..3]);
        stream.push(0);
    }
    stream
}

/// A stream of xz with a dictionary as large as this code says, of 64 KiB zeros and an end that is missing.
fn xz(dictionary: u8) -> Vec<u8> {
    let checked = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        [bytes, &crc.sum().to_le_bytes()].concat()
    };
    let mut stream = b"\xfd7zXZ\0".to_vec();
    stream.extend(checked(&[0, 1]));
    stream.extend(checked(&[2, 0, 0x21, 1, dictionary, 0, 0, 0]));
    // A chunk as it is, which begins with a new dictionary.
    stream.extend([1, 0xff, 0xff]);
    stream.extend(vec![0; 1 << 16]);
    stream
}
