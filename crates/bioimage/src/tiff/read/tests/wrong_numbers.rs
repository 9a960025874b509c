//! Files with one wrong number, read as tifffile, Pillow and libtiff read them, if no page can be missing.

use super::{change, described, file_of, gray, read, values};
use crate::Error;

/// The file with another link behind its last directory.
fn with_last_link(mut file: Vec<u8>, link: u32) -> Vec<u8> {
    let at = file.len() - 4;
    file[at..].copy_from_slice(&link.to_le_bytes());
    file
}

#[test]
fn a_lone_page_is_read_wherever_its_link_leads() {
    let file = gray(3, 1, 8, &[1, 2, 3], &[]);
    let own = super::long_at(&file, 4);
    for link in [own, u32::MAX, 0x7fff_fff0, file.len() as u32, 8, 4, 1] {
        assert_eq!(values(&with_last_link(file.clone(), link)), [1.0, 2.0, 3.0]);
    }
}

#[test]
fn of_several_pages_none_may_be_missing() {
    let page = |offset| vec![(256, 1), (257, 1), (258, 8), (273, offset), (279, 1)];
    let file = file_of(&[1, 2], &[page(8), page(9)]);
    for link in [10, u32::MAX, file.len() as u32] {
        let refused = read(&with_last_link(file.clone(), link));
        assert!(
            matches!(refused, Err(Error::Corrupt(_))),
            "{link}: {refused:?}"
        );
    }
}

#[test]
fn a_lone_page_that_should_be_several_is_refused() {
    let mut file = gray(20, 20, 8, &[1; 400], &[(270, 0)]);
    let link = file.len() - 4;
    file[link..].copy_from_slice(&u32::MAX.to_le_bytes());
    for text in [
        "ImageJ=1.5\nimages=30\nframes=30\n",
        "{\"shape\": [30, 20, 20]}",
        "<OME><Image><Pixels DimensionOrder='XYCZT' SizeC='1' SizeZ='1' SizeT='30'><TiffData/></Pixels></Image></OME>",
    ] {
        let refused = read(&described(file.clone(), text));
        assert!(refused.is_err(), "{text}: {refused:?}");
    }
}

#[test]
fn plain_pixels_are_read_whatever_their_count_of_bytes_says() {
    for count in [0, 1, 3, 5, 6, 7, u32::MAX] {
        let mut file = gray(3, 2, 8, &[1, 2, 3, 4, 5, 6], &[]);
        change(&mut file, 279, 4, 1, count);
        assert_eq!(values(&file), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "{count}");
    }
}

#[test]
fn plain_tiles_may_end_with_the_image() {
    let tile = [(322, 2), (323, 16), (324, 8), (325, 0)];
    let mut file = gray(2, 2, 8, &[1, 2, 3, 4], &tile);
    for count in [0, 1, 4] {
        change(&mut file, 325, 4, 1, count);
        assert_eq!(values(&file), [1.0, 2.0, 3.0, 4.0], "{count}");
    }
}

#[test]
fn of_several_strips_those_without_bytes_are_absent_unless_all_are() {
    let lists = |counts: [u8; 2]| {
        let mut file = gray(
            2,
            2,
            8,
            &[1, 2, 3, 4, 8, 0, 10, 0, counts[0], counts[1]],
            &[(278, 1)],
        );
        change(&mut file, 273, 3, 2, 0x000a_0008);
        change(&mut file, 279, 1, 2, u32::from(u16::from_le_bytes(counts)));
        values(&file)
    };
    assert_eq!(lists([2, 0]), [1.0, 2.0, 0.0, 0.0]);
    assert_eq!(lists([0, 0]), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(lists([1, 1]), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn plain_pixels_that_are_not_there_are_missed() {
    let mut file = gray(3, 2, 8, &[1, 2, 3, 4, 5, 6], &[]);
    let end = file.len() as u32;
    for offset in [end, end - 5, u32::MAX] {
        change(&mut file, 273, 4, 1, offset);
        assert!(matches!(read(&file), Err(Error::Corrupt(_))), "{offset}");
    }
}

#[test]
fn packed_pixels_are_read_if_what_is_there_suffices() {
    // Three bytes as they are.
    for count in [4, 0, 1 << 30] {
        let mut file = gray(3, 1, 8, &[2, 7, 8, 9], &[]);
        change(&mut file, 259, 4, 1, 32773);
        change(&mut file, 279, 4, 1, count);
        assert_eq!(values(&file), [7.0, 8.0, 9.0], "{count}");
    }
    let mut file = gray(3, 1, 8, &[2, 7, 8, 9], &[]);
    change(&mut file, 259, 4, 1, 32773);
    change(&mut file, 279, 4, 1, 3);
    assert!(matches!(read(&file), Err(Error::Corrupt(_))));
}
