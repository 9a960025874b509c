//! Hostile files: small ones that stand for a lot of memory or work. Each has to fail at once and for good, and to harm no
//! other job of its consumer.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::peers::results::zipped;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bomb {
    /// 16 x 16 pixels in a JPEG 2000 tile of 8000 x 8000.
    Jpeg2000,
    /// Two million frames of one pixel, as ImageJ would describe them.
    ImageJ,
    /// An archive with an image that unpacks to a thousand times its size.
    Zip,
    /// Two movies of zeros, packed a thousand to one.
    Track,
}

pub(crate) const ALL: [Bomb; 4] = [Bomb::Jpeg2000, Bomb::ImageJ, Bomb::Zip, Bomb::Track];

/// The most that consumers of this run may make of a file, in bytes: less than any bomb would take.
pub(crate) const MAX_DECODED: &str = "32Mi";

impl Bomb {
    /// Where it is.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Jpeg2000 => "uploads/jpeg2000.tif",
            Self::ImageJ => "uploads/imagej.tif",
            Self::Zip => "uploads/bomb.zip",
            Self::Track => "uploads/bomb.trk",
        }
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Jpeg2000 => jpeg2000_tile(),
            Self::ImageJ => {
                const FRAMES: usize = 2_000_000;
                let text = format!("ImageJ=1.53\nimages={FRAMES}\nslices={FRAMES}\n");
                tiff(&page(1, 1), &vec![0; FRAMES], &text)
            }
            Self::Zip => {
                let image = vec![7; 1000];
                let bomb = vec![0; 50 << 20];
                zipped([("a.tif".to_owned(), image), ("b.tif".to_owned(), bomb)])
            }
            Self::Track => track_file(),
        }
    }
}

/// The beginning of a file.
pub(crate) fn broken_tiff() -> Vec<u8> {
    b"II*\0broken".to_vec()
}

pub(crate) fn jpeg2000_tile() -> Vec<u8> {
    const SIDE: u32 = 8000;
    let mut entries = page(16, 16);
    entries.retain(|(tag, _)| ![259, 273, 279].contains(tag));
    entries.extend([(259, 34712), (322, SIDE), (323, SIDE), (324, 8), (325, 0)]);
    tiff(&entries, &empty_jpeg2000(SIDE), "")
}

/// A picture whose packets say that they hold nothing: all zeros.
fn empty_jpeg2000(side: u32) -> Vec<u8> {
    const LEVELS: u8 = 5;
    let side = side.to_be_bytes();
    let mut stream = vec![0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0];
    for number in [side, side, [0; 4], [0; 4], side, side, [0; 4], [0; 4]] {
        stream.extend_from_slice(&number);
    }
    stream.extend_from_slice(&[0, 1, 7, 1, 1]);
    stream.extend_from_slice(&[0xff, 0x52, 0, 12, 0, 0, 0, 1, 0, LEVELS, 4, 4, 0, 1]);
    stream.extend_from_slice(&[0xff, 0x5c, 0, 4 + 3 * LEVELS, 0x40, 0x40]);
    stream.extend((0..LEVELS).flat_map(|_| [0x48, 0x48, 0x50]));
    let packets = [0; LEVELS as usize + 1];
    let length = 12 + 2 + packets.len() as u8;
    stream.extend_from_slice(&[0xff, 0x90, 0, 10, 0, 0, 0, 0, 0, length, 0, 1, 0xff, 0x93]);
    stream.extend_from_slice(&packets);
    stream.extend_from_slice(&[0xff, 0xd9]);
    stream
}

/// Entries of one page of gray bytes, whose data begin at 8.
fn page(width: u32, height: u32) -> Vec<(u16, u32)> {
    let counts = [(258, 8), (259, 1), (262, 1), (277, 1), (273, 8), (279, 0)];
    let mut entries = vec![(256, width), (257, height)];
    entries.extend(counts);
    entries
}

/// A file of one page with these entries; counts of bytes are filled in.
fn tiff(entries: &[(u16, u32)], data: &[u8], description: &str) -> Vec<u8> {
    let (length, text) = (data.len() as u32, description.len() as u32 + 1);
    let mut directory: Vec<(u16, [u32; 3])> = entries
        .iter()
        .map(|&(tag, value)| match tag {
            279 | 325 => (tag, [4, 1, length]),
            _ => (tag, [4, 1, value]),
        })
        .collect();
    if text > 4 {
        directory.push((270, [2, text, 8 + length]));
    }
    directory.sort_unstable();
    let mut file = b"II*\0".to_vec();
    let place = (8 + length + text).next_multiple_of(2);
    file.extend_from_slice(&place.to_le_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(description.as_bytes());
    file.resize(place as usize, 0);
    file.extend_from_slice(&(directory.len() as u16).to_le_bytes());
    for (tag, [kind, count, value]) in directory {
        file.extend_from_slice(&tag.to_le_bytes());
        file.extend_from_slice(&(kind as u16).to_le_bytes());
        file.extend_from_slice(&count.to_le_bytes());
        file.extend_from_slice(&value.to_le_bytes());
    }
    file.extend_from_slice(&[0; 4]);
    file
}

/// `raw.npy` and `tracked.npy` of 120 MB each, packed to a thousandth.
fn track_file() -> Vec<u8> {
    const FRAMES: usize = 60;
    const SIDE: usize = 500;
    let packer = GzEncoder::new(Vec::new(), Compression::fast());
    let mut archive = tar::Builder::new(packer);
    for (name, kind) in [("raw.npy", "<f8"), ("tracked.npy", "<i8")] {
        let text = format!(
            "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({FRAMES}, {SIDE}, {SIDE}, 1), }}"
        );
        let mut array = b"\x93NUMPY\x01\0".to_vec();
        array.extend_from_slice(&118_u16.to_le_bytes());
        writeln!(array, "{text:<117}").expect("it fits in memory");
        array.resize(array.len() + FRAMES * SIDE * SIDE * 8, 0);
        let mut header = tar::Header::new_ustar();
        header.set_size(array.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, &array[..])
            .expect("it fits in memory");
    }
    let packer = archive.into_inner().expect("it fits in memory");
    packer.finish().expect("it fits in memory")
}
