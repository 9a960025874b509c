//! Stacks of microscopes, told apart by their tags; `docs/image-formats.md` lists which were tried.

use super::{change, file_of, gray, read, values};
use crate::{Container, header_of};

/// Entries of a gray page of two pixels.
fn page(offset: u32, more: &[(u16, u32)]) -> Vec<(u16, u32)> {
    let page = [(256, 2), (257, 1), (258, 8), (273, offset), (279, 2)];
    [&page[..], more].concat()
}

/// So many gray pages of the pixels 0, 1, 2, …; the first has these entries besides, and `data` lie at 64.
fn stack(pages: u32, more: &[(u16, u32)], data: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..56).collect();
    bytes.extend_from_slice(data);
    let pages: Vec<_> = (0..pages)
        .map(|index| page(8 + 2 * index, if index == 0 { more } else { &[] }))
        .collect();
    file_of(&bytes, &pages)
}

fn seen(file: &[u8]) -> (Vec<usize>, Container) {
    let header = header_of(file, "a.tif").expect("a sound file");
    assert_eq!(read(file).expect("a sound file").shape(), header.shape);
    (header.shape, header.container)
}

fn named(shape: &[usize], axes: &str) -> (Vec<usize>, Container) {
    (shape.to_vec(), Container::Named(axes.to_owned()))
}

fn refused(file: &[u8]) -> String {
    read(file).expect_err("it is refused").to_string()
}

/// A first page of which this entry is a text or bytes.
fn with_bytes(pages: u32, tag: u16, bytes: &[u8]) -> Vec<u8> {
    let mut file = stack(pages, &[(tag, 0)], bytes);
    // The entries of the first page only.
    change(&mut file, tag, 7, bytes.len() as u32, 64);
    file
}

fn metamorph(compression: u32) -> Vec<u8> {
    let mut file = gray(2, 1, 8, &[1, 2, 3, 4, 5, 6], &[(33628, 0), (33629, 0)]);
    change(&mut file, 259, 4, 1, compression);
    change(&mut file, 279, 4, 1, 2);
    let place = file.len() as u32;
    file.extend([0; 72]);
    change(&mut file, 33629, 5, 3, place);
    file
}

#[test]
fn planes_of_metamorph_follow_one_another_behind_one_page() {
    let file = metamorph(1);
    assert_eq!(seen(&file), named(&[3, 1, 2], "IYX"));
    assert_eq!(values(&file), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert!(refused(&metamorph(5)).contains("packed planes behind one page"));
}

fn fluoview(pages: u32) -> Vec<u8> {
    let mut head = vec![0; 284];
    for (name, length) in [("X", 2_u32), ("Y", 1), ("Z", 3), ("Ch", 2), ("Time", 1)] {
        let mut dimension = name.as_bytes().to_vec();
        dimension.resize(16, 0);
        dimension.extend(length.to_le_bytes());
        dimension.resize(100, 0);
        head.extend(dimension);
    }
    head.resize(284 + 1000, 0);
    with_bytes(pages, 34362, &head)
}

#[test]
fn pages_of_fluoview_lie_along_its_dimensions() {
    assert_eq!(seen(&fluoview(6)), named(&[2, 3, 1, 2], "CZYX"));
    assert!(refused(&fluoview(5)).contains("a stack of 6 pages in a file of 5"));
}

/// Pages of `ScanImage`, which tells behind the head of the file what they are.
fn scanimage(pages: u32, text: &str) -> Vec<u8> {
    let mut data = vec![0; 8];
    for number in [117_637_889, 3, text.len() as u32, 0] {
        data.extend(number.to_le_bytes());
    }
    data.extend_from_slice(text.as_bytes());
    let (software, pixels) = (data.len() as u32 + 8, data.len() as u32 + 16);
    data.extend(b"SI.2022\0");
    data.extend(0..2 * pages as u8);
    let pages: Vec<_> = (0..pages)
        .map(|index| {
            page(
                pixels + 2 * index,
                if index == 0 { &[(305, 0)] } else { &[] },
            )
        })
        .collect();
    let mut file = file_of(&data, &pages);
    change(&mut file, 305, 2, 8, software);
    file
}

#[test]
fn pages_of_scanimage_are_slices_frames_and_channels() {
    let text = |channels, frames| {
        format!(
            "SI.VERSION_MAJOR = 2022\nSI.hChannels.channelSave = {channels}\nSI.hStackManager.framesPerSlice = {frames}\n"
        )
    };
    let shape = |pages, text: &str| seen(&scanimage(pages, text));
    assert_eq!(
        shape(12, &text("[1;2]", "3")),
        named(&[2, 3, 2, 1, 2], "ZTCYX")
    );
    assert_eq!(shape(6, &text("[1 3]", "1")), named(&[3, 2, 1, 2], "ZCYX"));
    assert_eq!(
        shape(6, &text("[1;2]", "Inf")),
        named(&[3, 2, 1, 2], "TCYX")
    );
    assert_eq!(shape(4, &text("1", "4")), named(&[4, 1, 2], "TYX"));
    assert_eq!(
        shape(4, "SI.VERSION_MAJOR = 5\n"),
        (vec![4, 1, 2], Container::Tiff)
    );
    assert!(
        refused(&scanimage(7, &text("[1;2]", "3"))).contains("a stack of 6 pages in a file of 7")
    );
    assert!(refused(&scanimage(7, &text("[1;2]", "0"))).contains("a stack of"));
}

#[test]
fn pages_of_which_nobody_says_what_they_are_have_no_names_unless_they_have_channels() {
    assert_eq!(seen(&stack(3, &[], &[])), (vec![3, 1, 2], Container::Tiff));
    let color = |planes, index: u32| {
        let entries = page(8 + 8 * index, &[(277, 2), (284, planes)]);
        let mut entries: Vec<_> = entries.into_iter().filter(|&(tag, _)| tag != 279).collect();
        if planes == 1 {
            entries.push((279, 4));
        }
        entries
    };
    let pixels: Vec<u8> = (0..32).collect();
    let chunky = file_of(&pixels, &[color(1, 0), color(1, 1)]);
    assert_eq!(seen(&chunky), named(&[2, 1, 2, 2], "IYXS"));
    let one = file_of(&pixels, &[color(1, 0)]);
    assert_eq!(seen(&one), named(&[1, 2, 2], "YXS"));
    let names = header_of(&file_of(&pixels, &[color(2, 0), color(2, 1)]), "a.tif");
    let names = names.expect("a sound header");
    assert_eq!((names.shape, names.container), named(&[2, 2, 1, 2], "ISYX"));
}

#[test]
fn pages_of_akoya_are_channels() {
    let file = with_bytes(3, 305, b"PerkinElmer-QPI\0");
    assert_eq!(seen(&file), named(&[3, 1, 2], "CYX"));
}

#[test]
fn files_whose_first_page_is_not_the_image_are_refused() {
    let events = with_bytes(2, 65001, b"<metadata></metadata>");
    assert!(refused(&events).contains("electron events (EER)"));
    assert_eq!(
        seen(&with_bytes(1, 65001, b"<metadata>")).0,
        [1, 2],
        "the sum alone"
    );
    let mut slide = stack(2, &[(270, 0), (700, 1)], b"Label Image");
    change(&mut slide, 270, 2, 11, 64);
    assert!(refused(&slide).contains("slide scans of Ventana (BIF)"));
    let mut scan = stack(
        2,
        &[(270, 0), (305, 0), (700, 1)],
        b"level=0 mag=40\0Ventana",
    );
    change(&mut scan, 270, 2, 14, 64);
    change(&mut scan, 305, 2, 7, 64 + 15);
    assert_eq!(seen(&scan).0, [2, 1, 2]);
    for kind in [2, 128] {
        assert!(refused(&stack(1, &[(33445, kind)], &[])).contains("gel scans (MD)"));
    }
    assert_eq!(seen(&stack(1, &[(33445, 1)], &[])).0, [1, 2]);
}
