//! The axes that files name themselves.

use super::{described, file_of, gray};
use crate::{Container, header_of};

/// Six pages of two pixels, one behind the other, with this description.
fn stack(text: &str) -> Vec<u8> {
    described(gray(2, 1, 8, &[7; 12], &[(270, 0)]), text)
}

fn named(file: &[u8]) -> (Vec<usize>, Container) {
    let header = header_of(file, "a.tif").expect("a sound file");
    (header.shape, header.container)
}

fn container(axes: &str) -> Container {
    Container::Named(axes.to_owned())
}

#[test]
fn imagej_names_frames_slices_and_channels() {
    let file = stack("ImageJ=1.5\nimages=6\nframes=3\nchannels=2\n");
    assert_eq!(named(&file), (vec![3, 2, 1, 2], container("TCYX")));
    let file = stack("ImageJ=1.5\nimages=6\nslices=6\n");
    assert_eq!(named(&file), (vec![6, 1, 2], container("ZYX")));
    let file = stack("ImageJ=1.5\nimages=6\nslices=3\nchannels=2\norder=ctz\n");
    assert_eq!(named(&file), (vec![3, 2, 1, 2], container("ZCYX")));
}

#[test]
fn tifffile_names_what_its_user_named() {
    let file = stack("{\"shape\": [3, 2, 1, 2], \"axes\": \"TCYX\", \"truncated\": true}");
    assert_eq!(named(&file), (vec![3, 2, 1, 2], container("TCYX")));
    let file = stack("{\"shape\": [3, 2, 1, 2], \"truncated\": true}");
    assert_eq!(named(&file), (vec![3, 2, 1, 2], Container::Tiff));
    let file = stack("{\"shape\": [3, 2, 1, 2], \"axes\": \"YX\", \"truncated\": true}");
    assert_eq!(named(&file), (vec![3, 2, 1, 2], Container::Tiff));
}

#[test]
fn ome_names_the_axes_of_its_order() {
    let page = |offset| {
        vec![
            (256, 2),
            (257, 1),
            (258, 8),
            (273, offset),
            (279, 2),
            (270, 0),
        ]
    };
    let pages: Vec<_> = (0..6).map(|index| page(8 + 2 * index)).collect();
    let text = "<OME><Image><Pixels DimensionOrder='XYCZT' SizeC='2' SizeZ='3' SizeT='1'>\
                <TiffData/></Pixels></Image></OME>";
    let file = described(file_of(&[7; 12], &pages), text);
    assert_eq!(named(&file), (vec![3, 2, 1, 2], container("ZCYX")));
}

#[test]
fn pages_without_a_description_have_no_names() {
    let page = |offset| vec![(256, 2), (257, 1), (258, 8), (273, offset), (279, 2)];
    let file = file_of(&[7; 4], &[page(8), page(10)]);
    assert_eq!(named(&file), (vec![2, 1, 2], Container::Tiff));
}
