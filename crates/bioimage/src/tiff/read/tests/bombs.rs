//! Small files that ask for much memory or time; `tests/memory.rs` counts what such files take. What would take minutes
//! hangs here.

use super::{change, described, file_of, gray, read};
use crate::{Error, Limits, decode, header_of};

/// More than anything here may take.
const LARGE: Limits = Limits {
    max_decoded_bytes: 1 << 40,
};

fn refused(file: &[u8]) -> String {
    match decode(file, "a.tif", &LARGE) {
        Err(error) => error.to_string(),
        Ok(image) => panic!("read as {:?}", image.shape()),
    }
}

#[test]
fn tiles_far_larger_than_the_image_are_refused() {
    let far_larger =
        "image is corrupt or truncated: the strips or tiles are far larger than the image";
    for compression in [5, 7, 8, 32773, 34712, 34925, 50000] {
        for (width, height) in [(1_000_000_000, 1), (8000, 8000), (30_000, 30_000)] {
            let tile = [(322, width), (323, height), (324, 8), (325, 40)];
            let mut file = gray(16, 16, 8, &[0; 1 << 19], &tile);
            change(&mut file, 259, 4, 1, compression);
            let reason = refused(&file);
            // What is below the image of a tile that can be cut off there costs nothing.
            let is_cut = (8..=30_000).contains(&width) && !matches!(compression, 7 | 34712 | 50000);
            assert!(is_cut || reason == far_larger, "{compression}: {reason}");
        }
    }
}

#[test]
fn tiles_of_usual_sizes_are_read_however_small_the_image() {
    for side in [16, 256, 1024] {
        let tile = [(322, side), (323, side), (324, 8), (325, side * side)];
        let file = gray(1, 1, 8, &vec![7; (side * side) as usize], &tile);
        assert_eq!(read(&file).expect("a tile of a usual size").sum(), 7.0);
    }
}

#[test]
fn more_directories_than_the_file_has_room_for_are_refused() {
    let mut file = b"II\x2a\0\x08\0\0\0".to_vec();
    for index in 1..100_u32 {
        file.extend_from_slice(&[0, 0]);
        file.extend_from_slice(&(8 + 6 * index).to_le_bytes());
    }
    file.extend_from_slice(&[0; 6]);
    // The first has no entries and is none; with one that has, the others are too many.
    assert!(header_of(&file, "a.tif").is_err());
    let page = || vec![(256, 1), (257, 1), (258, 8), (273, 8), (279, 1)];
    let many: Vec<_> = (0..70_000).map(|_| page()).collect();
    let reason = refused(&file_of(&[0; 8], &many));
    assert!(
        reason.contains("more than 65536 image directories"),
        "{reason}"
    );
}

#[test]
fn frames_are_counted_without_a_page_for_each() {
    let count = 3_000_000;
    let file = described(
        gray(1, 1, 8, &vec![1; count], &[(270, 0)]),
        &format!("ImageJ=1.53\nimages={count}\nslices={count}\n"),
    );
    let header = header_of(&file, "a.tif").expect("sound");
    assert_eq!(header.shape, [count, 1, 1]);
    assert_eq!(header.peak_bytes, 4 * count as u64);
}

/// One page whose child directories all are the same long one, or overlap one another.
fn with_children(children: u32, step: u32) -> Vec<u8> {
    let mut file = gray(1, 1, 8, &[7; 1 << 16], &[(330, 0)]);
    let child = file.len() as u32;
    // Wherever one begins, it has 257 entries: width and height in turns.
    let entries = [
        [1, 1, 0, 1, 4, 0, 1, 0, 0, 0, 1, 0],
        [0, 0, 1, 1, 4, 0, 1, 0, 0, 0, 1, 0],
    ];
    file.extend(entries.concat().repeat(6000));
    let list = file.len() as u32;
    for index in 0..children {
        file.extend_from_slice(&(child + index * step).to_le_bytes());
    }
    change(&mut file, 330, 4, children, list);
    file
}

#[test]
fn child_directories_that_overlap_are_refused() {
    let reason = refused(&with_children(5_000, 24));
    assert!(reason.contains("directories"), "{reason}");
    assert_eq!(
        read(&with_children(5_000, 0)).expect("one child").sum(),
        7.0
    );
}

#[test]
fn pages_may_not_share_lists_to_make_work() {
    let data = [8_u8; 1 << 17];
    let page = vec![
        (256, 1),
        (257, 1),
        (258, 8),
        (273, 8),
        (277, 65_535),
        (279, 65_535),
    ];
    let mut file = file_of(&data, &vec![page; 3000]);
    let mut at = super::long_at(&file, 4) as usize;
    while at != 0 {
        let entry = at + 2 + 12 * 2;
        file[entry + 4..entry + 8].copy_from_slice(&65_535_u32.to_le_bytes());
        file[entry + 2] = 1;
        file[entry + 8..entry + 12].copy_from_slice(&8_u32.to_le_bytes());
        at = super::long_at(&file, at + 2 + 12 * 6) as usize;
    }
    let reason = refused(&file);
    assert!(reason.contains("directories overlap"), "{reason}");
}

#[test]
fn long_descriptions_are_refused_and_odd_ones_cost_nothing() {
    let page = || gray(1, 1, 8, &[7], &[(270, 0)]);
    let long = format!("<OME>{}</OME>", "<a/>".repeat(5_000_000));
    assert!(refused(&described(page(), &long)).contains("a description of more than 16 MiB"));
    let attributes: String = (0..200_000).map(|index| format!(" a{index}=''")).collect();
    let nested = "<a xmlns:b='c'>".repeat(100_000) + &"</a>".repeat(100_000);
    for text in [
        format!("<OME><a{attributes}/></OME>"),
        format!("<OME>{nested}</OME>"),
    ] {
        assert_eq!(
            read(&described(page(), &text))
                .expect("no OME, one page")
                .sum(),
            7.0
        );
    }
}

#[test]
fn many_pages_alike_are_found_in_time_that_grows_with_their_number() {
    let page = vec![(256, 1), (257, 1), (258, 8), (273, 8), (279, 1)];
    let file = file_of(&[1; 60_000], &vec![page; 60_000]);
    assert_eq!(
        header_of(&file, "a.tif").expect("sound").shape,
        [60_000, 1, 1]
    );
    assert!(matches!(read(&file), Err(Error::Corrupt(_)) | Ok(_)));
}
