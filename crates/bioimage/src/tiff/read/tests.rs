//! What any TIFF must do: come back as written, and never panic however damaged.

mod axes;
mod bombs;
mod vendors;
mod wrong_numbers;

use ndarray::ArrayD;
use proptest::prelude::*;

use crate::{Container, Error, Limits, decode, encode_tiff, header_of};

const SMALL: Limits = Limits {
    max_decoded_bytes: 1 << 20,
};

/// A TIFF of one uncompressed gray page: sizes, bits a sample, then the pixels; `more` entries come behind.
fn gray(width: u32, height: u32, bits: u32, pixels: &[u8], more: &[(u16, u32)]) -> Vec<u8> {
    let mut entries = vec![
        (256, width),
        (257, height),
        (258, bits),
        (259, 1),
        (273, 8),
        (279, pixels.len() as u32),
    ];
    entries.extend_from_slice(more);
    file_of(pixels, &[entries])
}

/// A TIFF of these bytes from offset 8 on, and then these pages, all entries single numbers of 32 bits.
fn file_of(data: &[u8], pages: &[Vec<(u16, u32)>]) -> Vec<u8> {
    let mut file = b"II\x2a\0".to_vec();
    file.extend_from_slice(&(8 + data.len() as u32).to_le_bytes());
    file.extend_from_slice(data);
    for (index, entries) in pages.iter().enumerate() {
        file.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        for (tag, value) in entries {
            file.extend_from_slice(&tag.to_le_bytes());
            file.extend_from_slice(&[4, 0, 1, 0, 0, 0]);
            file.extend_from_slice(&value.to_le_bytes());
        }
        let next = if index + 1 < pages.len() {
            file.len() as u32 + 4
        } else {
            0
        };
        file.extend_from_slice(&next.to_le_bytes());
    }
    file
}

/// The entry of this tag in the only page of a file gets another type, count and value.
fn change(file: &mut [u8], tag: u16, kind: u16, count: u32, value: u32) {
    let directory = long_at(file, 4) as usize;
    let entries = usize::from(u16::from_le_bytes([file[directory], file[directory + 1]]));
    let at = (0..entries)
        .map(|index| directory + 2 + 12 * index)
        .find(|&at| file[at..at + 2] == tag.to_le_bytes())
        .expect("the tag is there");
    file[at + 2..at + 4].copy_from_slice(&kind.to_le_bytes());
    file[at + 4..at + 8].copy_from_slice(&count.to_le_bytes());
    file[at + 8..at + 12].copy_from_slice(&value.to_le_bytes());
}

fn long_at(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|byte| file[at + byte]))
}

/// The same page with this description; it must have an entry for it.
fn described(mut file: Vec<u8>, text: &str) -> Vec<u8> {
    let at = file.len() as u32;
    change(&mut file, 270, 2, text.len() as u32, at);
    file.extend_from_slice(text.as_bytes());
    file
}

fn read(file: &[u8]) -> Result<ArrayD<f32>, Error> {
    decode(file, "a.tif", &SMALL)
}

fn values(file: &[u8]) -> Vec<f32> {
    read(file)
        .expect("a sound file")
        .into_raw_vec_and_offset()
        .0
}

#[test]
fn packed_samples_are_read_high_bit_first_with_padded_rows() {
    assert_eq!(
        values(&gray(3, 2, 1, &[0b1010_0000, 0b0100_0000], &[])),
        [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    );
    assert_eq!(
        values(&gray(2, 1, 12, &[0xab, 0xcd, 0xef], &[])),
        [2748.0, 3567.0]
    );
}

#[test]
fn white_is_zero_and_palettes_are_not_applied() {
    let pixels = [0, 7, 255, 1];
    for photometric in [0, 1, 3] {
        assert_eq!(
            values(&gray(2, 2, 8, &pixels, &[(262, photometric)])),
            [0.0, 7.0, 255.0, 1.0]
        );
    }
}

#[test]
fn differences_are_summed_along_rows() {
    assert_eq!(
        values(&gray(3, 1, 8, &[250, 5, 3], &[(317, 2)])),
        [250.0, 255.0, 2.0]
    );
}

#[test]
fn frames_of_imagej_follow_without_directories() {
    let file = described(
        gray(1, 1, 8, &[1, 2, 3], &[(270, 0)]),
        "ImageJ=1.5\nframes=3\n",
    );
    let image = read(&file).expect("three frames");
    assert_eq!(
        (image.shape(), image.iter().sum::<f32>()),
        ([3, 1, 1].as_slice(), 6.0)
    );
}

#[test]
fn a_header_that_claims_more_than_the_limit_is_refused() {
    let file = gray(1 << 16, 1 << 16, 8, &[0; 4], &[]);
    assert!(matches!(read(&file), Err(Error::TooLarge { .. })));
}

#[test]
fn a_header_that_claims_more_than_the_file_holds_is_refused() {
    for compression in [1, 5, 8, 32773] {
        let mut file = gray(512, 256, 8, &[0; 4], &[]);
        file[8 + 4 + 2 + 12 * 3 + 8] = (compression & 0xff) as u8;
        file[8 + 4 + 2 + 12 * 3 + 9] = (compression >> 8) as u8;
        assert!(
            matches!(read(&file), Err(Error::Corrupt(_))),
            "compression {compression}"
        );
    }
}

#[test]
fn tiles_may_not_be_larger_than_the_limit() {
    let file = gray(
        1,
        1,
        8,
        &[0; 4],
        &[(322, u32::MAX), (323, 1), (324, 8), (325, 4)],
    );
    assert!(matches!(read(&file), Err(Error::TooLarge { .. })));
}

#[test]
fn a_child_of_the_directory_it_belongs_to_is_read_once() {
    let file = gray(1, 1, 8, &[9; 4], &[(330, 12)]);
    assert_eq!(values(&file), [9.0]);
}

#[test]
fn content_decides_unless_the_name_says_tiff() {
    let file = gray(2, 1, 8, &[1, 2], &[]);
    assert_eq!(
        decode(&file, "a.dat", &SMALL).expect("a TIFF").shape(),
        [1, 2, 1]
    );
    assert!(matches!(
        decode(b"\x89PNG", "a.TIFF", &SMALL),
        Err(Error::NotAnImage(_))
    ));
    assert!(matches!(
        decode(b"", "a.png", &SMALL),
        Err(Error::NotAnImage(_))
    ));
}

#[test]
fn all_pages_are_read_whatever_the_file_is_called() {
    let page = |offset| vec![(256, 2), (257, 1), (258, 8), (273, offset), (279, 2)];
    let file = file_of(&[1, 2, 3, 4, 5, 6], &[page(8), page(10), page(12)]);
    let expected = read(&file).expect("three pages");
    assert_eq!(expected.shape(), [3, 1, 2]);
    for name in [
        "a.qptiff", "a.btf", "a.tf8", "a.lsm", "a.svs", "a.tif.1", "a",
    ] {
        assert_eq!(decode(&file, name, &SMALL).expect("three pages"), expected);
        let header = header_of(&file, name).expect("three pages");
        assert_eq!(
            (header.shape.as_slice(), header.container),
            ([3, 1, 2].as_slice(), Container::Tiff)
        );
    }
    let first = decode(&file_of(&[1, 2], &[page(8)]), "a.png", &SMALL).expect("one page");
    assert_eq!(first.shape(), [1, 2, 1]);
}

/// A JPEG stream without any mark of Adobe: 8 x 8 pixels of one print color.
const PRINT_COLOR: &[u8] = &[
    0xff, 0xd8, 0xff, 0xdb, 0x00, 0x43, 0x00, 0x03, 0x02, 0x02, 0x03, 0x02, 0x02, 0x03, 0x03, 0x03,
    0x03, 0x04, 0x03, 0x03, 0x04, 0x05, 0x08, 0x05, 0x05, 0x04, 0x04, 0x05, 0x0a, 0x07, 0x07, 0x06,
    0x08, 0x0c, 0x0a, 0x0c, 0x0c, 0x0b, 0x0a, 0x0b, 0x0b, 0x0d, 0x0e, 0x12, 0x10, 0x0d, 0x0e, 0x11,
    0x0e, 0x0b, 0x0b, 0x10, 0x16, 0x10, 0x11, 0x13, 0x14, 0x15, 0x15, 0x15, 0x0c, 0x0f, 0x17, 0x18,
    0x16, 0x14, 0x18, 0x12, 0x14, 0x15, 0x14, 0xff, 0xc0, 0x00, 0x14, 0x08, 0x00, 0x08, 0x00, 0x08,
    0x04, 0x43, 0x11, 0x00, 0x4d, 0x11, 0x00, 0x59, 0x11, 0x00, 0x4b, 0x11, 0x00, 0xff, 0xc4, 0x00,
    0x16, 0x00, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x08, 0x07, 0x09, 0xff, 0xc4, 0x00, 0x14, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xda, 0x00, 0x0e, 0x04,
    0x43, 0x00, 0x4d, 0x00, 0x59, 0x00, 0x4b, 0x00, 0x00, 0x3f, 0x00, 0xcd, 0x44, 0xa8, 0xc0, 0x05,
    0x1f, 0xff, 0xd9,
];

#[test]
fn print_colors_of_jpeg_inside_tiff_are_as_stored() {
    let mut file = gray(8, 8, 8, PRINT_COLOR, &[(262, 5), (277, 4)]);
    change(&mut file, 259, 4, 1, 7);
    let image = read(&file).expect("four channels");
    assert_eq!(image.shape(), [8, 8, 4]);
    let pixel = [16.0, 96.0, 200.0, 40.0];
    assert!(
        image
            .iter()
            .zip(pixel.iter().cycle())
            .all(|(seen, stored)| seen == stored)
    );
    // Of a page of one channel, nothing is decoded.
    change(&mut file, 277, 4, 1, 1);
    assert!(matches!(read(&file), Err(Error::Corrupt(_))));
}

#[test]
fn compressed_samples_of_other_than_8_bits_are_refused_in_clear_words() {
    for (compression, name) in [(7, "JPEG"), (34712, "JPEG 2000")] {
        let mut file = gray(2, 1, 12, &[0; 40], &[]);
        change(&mut file, 259, 4, 1, compression);
        let error = read(&file).expect_err("12 bits").to_string();
        assert_eq!(
            error,
            format!(
                "image uses an unsupported feature: {name} compression of samples that are not 8 bits"
            )
        );
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        shape in prop::collection::vec(1_usize..6, 1..6),
        seed in any::<u32>(),
    ) {
        let count = shape.iter().product::<usize>() as u32;
        let values: Vec<f32> = (0..count).map(|index| f32::from_bits((seed ^ (index * 77)) & 0x7f7f_ffff)).collect();
        let array = ArrayD::from_shape_vec(shape, values).expect("count matches");
        prop_assert_eq!(&read(&encode_tiff(array.view())).expect("just written"), &array);
        let turned = array.reversed_axes();
        prop_assert_eq!(read(&encode_tiff(turned.view())).expect("just written"), turned);
    }

    #[test]
    fn integers_are_read_back(shape in prop::collection::vec(1_usize..5, 2..5), seed in any::<u16>()) {
        let array = ArrayD::from_shape_fn(shape, |index| seed.wrapping_mul(index[0] as u16 + 3));
        prop_assert_eq!(read(&encode_tiff(array.view())).expect("just written"), array.mapv(f32::from));
    }

    #[test]
    fn damaged_files_do_not_panic(
        shape in prop::collection::vec(1_usize..5, 2..5),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut file = encode_tiff(ArrayD::<f32>::zeros(shape).view());
        let length = file.len();
        flips.into_iter().for_each(|(at, byte)| file[at.index(length)] = byte);
        let _ = read(&file);
        let _ = decode(&file, "a.dat", &SMALL);
        file.truncate(end.index(length));
        let _ = read(&file);
    }

    #[test]
    fn any_tags_at_all_do_not_panic(
        sizes in (0_u32..9, 0_u32..9, 0_u32..70),
        tags in prop::collection::vec((prop::sample::select(vec![
            259_u16, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 339, 32997, 32998,
        ]), prop_oneof![0_u32..12, any::<u32>()]), 0..6),
        pixels in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let _ = read(&gray(sizes.0, sizes.1, sizes.2, &pixels, &tags));
    }
}
