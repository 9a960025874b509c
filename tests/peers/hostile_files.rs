//! Small files that ask for much memory, and honest ones that need some: what a program with a budget must survive.

use bioimage::trk::write_trk;
use ndarray::Array4;

/// Name and content of a file.
pub(crate) type File = (&'static str, Vec<u8>);

/// A picture of 8000 x 8000 blank pixels, and one of 2000 x 2000, as JPEG 2000 packs them.
const JPEG_2000: [&[u8]; 2] = [
    include_bytes!("../fixtures/hostile/blank-8000.j2k"),
    include_bytes!("../fixtures/hostile/blank-2000.j2k"),
];

/// Images and movies, for any job but archives.
pub(crate) fn images() -> Vec<File> {
    let mut files = tiles();
    files.extend(strips());
    files.extend(directories());
    files.extend(descriptions());
    files.extend(pictures());
    files
}

fn tiles() -> Vec<File> {
    let wide = deflated(200_000_000);
    let roomy = deflated(5000 * 5000);
    let jpeg = jpeg(8000, 8000);
    vec![
        (
            "wide-tile.tif",
            tiled([16, 16], [1_000_000_000, 1], 8, &wide),
        ),
        (
            "wide-tiles.tif",
            tiled([16, 16], [200_000_000, 1], 8, &wide),
        ),
        (
            "roomy-tile.tif",
            tiled([2501, 2501], [5000, 5000], 8, &roomy),
        ),
        ("jpeg-tile.tif", tiled([16, 16], [8000, 8000], 7, &jpeg)),
        (
            "jpeg-tile-half.tif",
            tiled([4001, 4001], [8000, 8000], 7, &jpeg),
        ),
        (
            "jpeg2000-tile.tif",
            tiled([16, 16], [8000, 8000], 34712, JPEG_2000[0]),
        ),
        (
            "jpeg2000.tif",
            tiled([2000, 2000], [2000, 2000], 34712, JPEG_2000[1]),
        ),
        (
            "zstd-window.tif",
            tiled([64, 64], [64, 64], 50000, &zstd(0x88, 1000)),
        ),
        (
            "lzma-dictionary.tif",
            tiled([64, 64], [64, 64], 34925, &xz_of_4_gib()),
        ),
        (
            "tiny-tiles.tif",
            tiled([60_000, 60_000], [1, 1], 1, &[0; 8000]),
        ),
    ]
}

fn strips() -> Vec<File> {
    let side = 4000;
    let blank = deflated(side * side);
    let page =
        |compression, more: &[(u16, u32)]| with(page(side as u32, side as u32, compression), more);
    vec![
        ("blank.tif", tiff(&page(8, &[]), &blank, "")),
        (
            "blank-large.tif",
            tiff(
                &with(self::page(23_000, 23_000, 8), &[]),
                &deflated(23_000 * 23_000),
                "",
            ),
        ),
        (
            "absent-strips.tif",
            tiff(
                &with(self::page(15_000, 15_000, 1), &[(278, 1)]),
                &[0; 120_000],
                "",
            ),
        ),
        ("samples.tif", tiff(&page(8, &[(277, 65_535)]), &blank, "")),
        (
            "palette.tif",
            tiff(&page(8, &[(262, 3), (320, 8)]), &blank, ""),
        ),
        (
            "long-palette.tif",
            counted(&page(8, &[(262, 3), (320, 8)]), &blank, 320, u32::MAX),
        ),
        (
            "strip-list.tif",
            counted(&page(1, &[(278, 1)]), &[0; 100], 273, 4_000_000_000),
        ),
    ]
}

fn directories() -> Vec<File> {
    let many: Vec<_> = (0..60_000).map(|_| page(1, 1, 1)).collect();
    let movie: Vec<_> = (0..12).map(|_| page(1000, 1000, 8)).collect();
    vec![
        ("directories.tif", empty_directories(2_000_000)),
        ("pages.tif", pages(&many, &[7])),
        ("movie.tif", pages(&movie, &deflated(1_000_000))),
        ("children.tif", children()),
    ]
}

fn descriptions() -> Vec<File> {
    let described = |text: String| tiff(&page(1, 1, 1), &[7], text);
    let ome = |sizes: &str, planes: &str| {
        described(format!(
            "<OME><Image><Pixels DimensionOrder=\"XYCZT\" {sizes}>{planes}</Pixels></Image></OME>"
        ))
    };
    let planes = "SizeC=\"4096\" SizeZ=\"4096\" SizeT=\"1\"";
    let one = "SizeC=\"1\" SizeZ=\"1\" SizeT=\"1\"";
    let frames = 6_000_000;
    let imagej = format!("ImageJ=1.53\nimages={frames}\nslices={frames}\n");
    vec![
        (
            "planes.tif",
            ome(planes, "<TiffData IFD=\"0\" PlaneCount=\"1\"/>"),
        ),
        ("elements.tif", ome(one, &"<a b=\"\"/>".repeat(1_600_000))),
        (
            "attributes.tif",
            ome(
                &(0..1_000_000)
                    .map(|n| format!("a{n}=\"\" "))
                    .collect::<String>(),
                "",
            ),
        ),
        (
            "values.tif",
            described(format!("{{\"shape\": [{}1]}}", "[],".repeat(5_000_000))),
        ),
        ("description.tif", described("x".repeat(20 << 20))),
        ("frames.tif", tiff(&page(1, 1, 1), &vec![7; frames], imagej)),
    ]
}

fn pictures() -> Vec<File> {
    let canvas = [
        &[0xff; 4][..],
        &[0x80, 0, 0],
        &[0; 6],
        b",",
        &[0; 4],
        &[0xff; 4],
        &[0, 2, 2, 0x4c, 1, 0, b';'],
    ];
    let bmp = [
        &54_u32.to_le_bytes()[..],
        &40_u32.to_le_bytes(),
        &i32::MAX.to_le_bytes(),
        &i32::MIN.to_le_bytes(),
        &[1, 0, 24, 0],
        &[0; 24],
    ];
    vec![
        ("lie.png", png(2_000_000_000, 2_000_000_000, 0, &[])),
        ("blank.png", png(4000, 4000, 0, &deflated(4001 * 4000))),
        ("palette.png", png(4000, 4000, 3, &deflated(4001 * 4000))),
        (
            "large.png",
            png(23_000, 23_000, 0, &deflated(23_001 * 23_000)),
        ),
        ("blank.jpg", jpeg(4000, 4000)),
        ("large.jpg", jpeg(65_500, 65_500)),
        ("lie.jpg", jpeg(65_500, 65_500)[..400].to_vec()),
        ("lie.gif", [b"GIF89a", &canvas.concat()[..]].concat()),
        ("lie.bmp", [b"BM", &[0; 8][..], &bmp.concat()].concat()),
    ]
}

/// Track files: blank ones, which unpack to a thousand times their size, and one with cells.
pub(crate) fn track_files() -> Vec<File> {
    let track = |side: usize, frames: usize, cell: i64| {
        let raw = Array4::from_shape_fn((frames, side, side, 1), |(t, row, column, _)| {
            if cell > 0 {
                (t * 7919 + row * 104_729 + column * 31) as f64 % 251.0
            } else {
                0.0
            }
        });
        // Cells of 4 x 4 pixels, each with a number of its own.
        let labels = Array4::from_shape_fn((frames, side, side, 1), |(_, row, column, _)| {
            let is_cell = row % 8 < 4 && column % 8 < 4;
            let number = (row / 8 * (side / 8) + column / 8 + 1) as i64;
            if is_cell { number * cell } else { 0 }
        });
        write_trk("{}", &raw.view().into_dyn(), &labels.view().into_dyn()).expect("fits in memory")
    };
    vec![
        ("blank.trk", track(512, 10, 0)),
        ("large.trk", track(2000, 10, 0)),
        ("cells.trk", track(400, 6, 1)),
    ]
}

/// Archives: long lists, entries that overlap, archives in archives, names alike.
pub(crate) fn archives() -> Vec<File> {
    let blank = deflated_raw(10_000_000);
    let overlapping: Vec<_> = (0..5000).map(|n| format!("{n:06}.tif")).collect();
    let alike = vec!["a.tif".to_owned(); 5000];
    vec![
        (
            "list.zip",
            zip((0..230_000).map(|n| format!("n{n:06}")), &[], 0),
        ),
        (
            "shorter-list.zip",
            zip((0..180_000).map(|n| format!("n{n:06}")), &[], 0),
        ),
        (
            "overlap.zip",
            zip(overlapping.into_iter(), &blank, 10_000_000),
        ),
        ("alike.zip", zip(alike.into_iter(), &[], 0)),
        (
            "nested.zip",
            super::results::zipped([("a.zip".to_owned(), vec![0; 30 << 20])].into_iter()),
        ),
        (
            "images.zip",
            super::results::zipped((0..4).map(|n| (format!("{n}.tif"), noise(12 << 20)))),
        ),
    ]
}

fn noise(length: usize) -> Vec<u8> {
    super::objects::noise_of(3, length)
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
    entries.sort_by_key(|&(tag, _)| tag);
    entries
}

fn tiled(image: [u32; 2], tile: [u32; 2], compression: u32, data: &[u8]) -> Vec<u8> {
    let places = [(322, tile[0]), (323, tile[1]), (324, 8), (325, 0)];
    tiff(
        &with(page(image[0], image[1], compression), &places),
        data,
        "",
    )
}

/// A file of one page with these entries, whose data begin at 8; counts of bytes are filled in.
fn tiff(entries: &[(u16, u32)], data: &[u8], description: impl AsRef<[u8]>) -> Vec<u8> {
    let description = description.as_ref();
    let mut file = b"II\x2a\0".to_vec();
    file.extend_from_slice(&((8 + data.len() + description.len()) as u32).to_le_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(description);
    let mut entries: Vec<_> = entries
        .iter()
        .map(|&(tag, value)| match tag {
            279 | 325 => (tag, [4, 1, data.len() as u32]),
            _ => (tag, [4, 1, value]),
        })
        .collect();
    let place = 8 + data.len() as u32;
    entries.push((270, [2, description.len() as u32, place]));
    entries.sort_by_key(|&(tag, _)| tag);
    directory(&mut file, &entries);
    file.extend_from_slice(&[0; 4]);
    file
}

/// The same, of which an entry has so many values.
fn counted(entries: &[(u16, u32)], data: &[u8], tag: u16, count: u32) -> Vec<u8> {
    let mut file = tiff(entries, data, "");
    let begin = 8 + data.len();
    let entry = (begin + 2..file.len()).step_by(12);
    let at = { entry }.find(|&at| file[at..at + 2] == tag.to_le_bytes());
    let at = at.expect("the page has it");
    file[at + 4..at + 8].copy_from_slice(&count.to_le_bytes());
    file
}

fn directory(file: &mut Vec<u8>, entries: &[(u16, [u32; 3])]) {
    file.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    for &(tag, [kind, count, value]) in entries {
        file.extend_from_slice(&tag.to_le_bytes());
        file.extend_from_slice(&(kind as u16).to_le_bytes());
        file.extend_from_slice(&count.to_le_bytes());
        file.extend_from_slice(&value.to_le_bytes());
    }
}

/// Pages that all have the same data.
fn pages(pages: &[Vec<(u16, u32)>], data: &[u8]) -> Vec<u8> {
    let mut file = b"II\x2a\0".to_vec();
    file.extend_from_slice(&((8 + data.len()) as u32).to_le_bytes());
    file.extend_from_slice(data);
    for (index, page) in pages.iter().enumerate() {
        let value = |tag, value| if tag == 279 { data.len() as u32 } else { value };
        let entries = page.iter().map(|&(tag, it)| (tag, [4, 1, value(tag, it)]));
        directory(&mut file, &entries.collect::<Vec<_>>());
        let next = if index + 1 < pages.len() {
            file.len() as u32 + 4
        } else {
            0
        };
        file.extend_from_slice(&next.to_le_bytes());
    }
    file
}

fn empty_directories(count: usize) -> Vec<u8> {
    let mut file = tiff(&page(1, 1, 1), &[7], "");
    let link = file.len() - 4;
    for index in 0..count {
        let next = (link + 4 + 6 * index) as u32;
        file.extend_from_slice(&[0, 0]);
        let at = if index == 0 { link } else { file.len() - 6 };
        file[at..at + 4].copy_from_slice(&next.to_le_bytes());
        file.extend_from_slice(&[0; 4]);
    }
    file
}

/// A page whose 60,000 child directories are all the same long one.
fn children() -> Vec<u8> {
    let mut data = vec![0; 8];
    data.extend(60_000_u16.to_le_bytes());
    data.extend([1, 1, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0].repeat(60_000));
    let list = data.len() as u32 + 8;
    data.extend(16_u32.to_le_bytes().repeat(60_000));
    counted(&with(page(1, 1, 1), &[(330, list)]), &data, 330, 60_000)
}

fn deflated(zeros: usize) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    write_zeros(&mut packer, zeros);
    packer.finish().expect("fits in memory")
}

fn deflated_raw(zeros: usize) -> Vec<u8> {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    write_zeros(&mut packer, zeros);
    packer.finish().expect("fits in memory")
}

fn write_zeros(packer: &mut impl std::io::Write, mut zeros: usize) {
    let chunk = [0; 1 << 16];
    while zeros > 0 {
        let step = zeros.min(chunk.len());
        packer.write_all(&chunk[..step]).expect("fits in memory");
        zeros -= step;
    }
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

/// A stream of xz whose dictionary is said to have 4 GiB.
fn xz_of_4_gib() -> Vec<u8> {
    let checked = |bytes: &[u8]| [bytes, &crc(bytes).to_le_bytes()].concat();
    let mut stream = b"\xfd7zXZ\0".to_vec();
    stream.extend(checked(&[0, 1]));
    stream.extend(checked(&[2, 0, 0x21, 1, 40, 0, 0, 0]));
    // One chunk as it is: 4096 bytes.
    stream.extend([1, 0x0f, 0xff]);
    stream.extend([0; 4096]);
    stream.extend([0; 64]);
    stream
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Gray zeros with codes of one bit: two bits for a block of 64 pixels.
fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let segment = |marker: u8, body: &[u8]| {
        let length = (body.len() as u16 + 2).to_be_bytes();
        [&[0xff, marker][..], &length, body].concat()
    };
    let codes = |kind: u8| segment(0xc4, &[&[kind, 1][..], &[0; 15], &[0]].concat());
    let blocks = usize::from(width.div_ceil(8)) * usize::from(height.div_ceil(8));
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    [
        b"\xff\xd8".to_vec(),
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(0xc0, &[&[8][..], &size, &[1, 1, 0x11, 0]].concat()),
        codes(0),
        codes(0x10),
        segment(0xda, &[1, 1, 0, 0, 0x3f, 0]),
        vec![0; (blocks * 2).div_ceil(8)],
        b"\xff\xd9".to_vec(),
    ]
    .concat()
}

fn png(width: u32, height: u32, color: u8, packed: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8], body: &[u8]| {
        let named = [kind, body].concat();
        let (length, sum) = ((body.len() as u32).to_be_bytes(), crc(&named).to_be_bytes());
        [&length[..], &named, &sum].concat()
    };
    let head = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &[8, color, 0, 0, 0],
    ]
    .concat();
    let palette = if color == 3 {
        chunk(b"PLTE", &[1; 768])
    } else {
        Vec::new()
    };
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &head),
        palette,
        chunk(b"IDAT", packed),
        chunk(b"IEND", b""),
    ]
    .concat()
}

/// A list of entries with these names, all of which are the same packed bytes.
fn zip(names: impl Iterator<Item = String>, packed: &[u8], unpacked: u32) -> Vec<u8> {
    let method = if packed.is_empty() { 0 } else { 8 };
    let sizes = [packed.len() as u32, unpacked]
        .map(u32::to_le_bytes)
        .concat();
    let mut sum = flate2::Crc::new();
    sum.update(&vec![0; unpacked as usize]);
    let sum = sum.sum().to_le_bytes();
    let common = [&[20, 0, 0, 0, method, 0, 0, 0, 0, 0][..], &sum, &sizes].concat();
    let mut file = [b"PK\x03\x04", &common[..], &[5, 0, 0, 0], b"a.tif", packed].concat();
    let (at, mut entries) = (file.len() as u64, 0_u64);
    for name in names {
        file.extend(b"PK\x01\x02\x14\0");
        file.extend(&common);
        file.extend((name.len() as u16).to_le_bytes());
        file.extend([0; 16]);
        file.extend(name.as_bytes());
        entries += 1;
    }
    let bytes = file.len() as u64 - at;
    let records = file.len() as u64;
    file.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
    for number in [entries, entries, bytes, at] {
        file.extend(number.to_le_bytes());
    }
    file.extend(b"PK\x06\x07\0\0\0\0");
    file.extend(records.to_le_bytes());
    file.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0");
    file.extend([0xff; 12]);
    file.extend([0; 2]);
    file
}
