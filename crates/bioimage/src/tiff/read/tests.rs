//! What any TIFF must do: come back as written, and never panic however damaged.

use ndarray::ArrayD;
use proptest::prelude::*;

use crate::{Error, Limits, decode, encode_tiff};

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
    let mut file = b"II\x2a\0".to_vec();
    file.extend_from_slice(&(8 + pixels.len() as u32).to_le_bytes());
    file.extend_from_slice(pixels);
    file.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    for (tag, value) in entries {
        file.extend_from_slice(&tag.to_le_bytes());
        file.extend_from_slice(&[4, 0, 1, 0, 0, 0]);
        file.extend_from_slice(&value.to_le_bytes());
    }
    file.extend_from_slice(&[0; 4]);
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
    let mut file = gray(1, 1, 8, &[1, 2, 3], &[]);
    let (at, text) = (file.len(), b"ImageJ=1.5\nframes=3\n\0");
    file.extend_from_slice(text);
    let entry = 8 + 3 + 2 + 12 * 3;
    file[entry..entry + 2].copy_from_slice(&270_u16.to_le_bytes());
    file[entry + 2..entry + 4].copy_from_slice(&2_u16.to_le_bytes());
    file[entry + 4..entry + 8].copy_from_slice(&(text.len() as u32).to_le_bytes());
    file[entry + 8..entry + 12].copy_from_slice(&(at as u32).to_le_bytes());
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
fn directories_in_a_loop_are_refused() {
    let mut file = gray(1, 1, 8, &[0; 4], &[]);
    let link = file.len() - 4;
    file[link] = 12;
    assert!(matches!(read(&file), Err(Error::Corrupt(_))));
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
