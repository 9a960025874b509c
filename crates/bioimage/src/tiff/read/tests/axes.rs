//! The axes that files name themselves.

use super::{change, described, file_of, gray};
use crate::{Container, header_of, pixel_size};

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

/// A page with this description and resolution, in pixels for each of some unit.
fn resolved(text: &str, [pixels, units]: [u32; 2]) -> Vec<u8> {
    let entries = [(270, 0), (282, 0), (283, 0)];
    let mut file = described(gray(2, 1, 8, &[7; 2], &entries), text);
    let at = file.len() as u32;
    change(&mut file, 282, 5, 1, at);
    change(&mut file, 283, 5, 1, at + 8);
    for number in [pixels, units, 2 * pixels, units] {
        file.extend_from_slice(&number.to_le_bytes());
    }
    file
}

#[test]
fn a_pixel_is_as_large_as_imagej_or_ome_says() {
    let size = |text: &str, resolution| pixel_size(&resolved(text, resolution), "a.tif");
    let imagej = "ImageJ=1.5\nunit=micron\n";
    assert_eq!(size(imagej, [4, 1]), Some([0.125, 0.25]));
    assert_eq!(
        size("ImageJ=1.5\nunit=\\u00B5m\n", [4, 1]),
        Some([0.125, 0.25])
    );
    assert_eq!(size("ImageJ=1.5\nunit=nm\n", [1, 200]), Some([0.1, 0.2]));
    let ome = |pixels: &str| format!("<OME><Image><Pixels {pixels}/></Image></OME>");
    let both = ome("PhysicalSizeX='0.5' PhysicalSizeY='250' PhysicalSizeYUnit='nm'");
    assert_eq!(size(&both, [72, 1]), Some([0.25, 0.5]));
    for unknown in [
        "ImageJ=1.5\nunit=inch\n",
        "ImageJ=1.5\n",
        "a photograph",
        &ome("PhysicalSizeX='0.5'"),
        &ome("PhysicalSizeX='0.5' PhysicalSizeY='x'"),
        &ome("PhysicalSizeX='0.5' PhysicalSizeY='-1'"),
        &ome("PhysicalSizeX='1' PhysicalSizeY='1' PhysicalSizeXUnit='pixel'"),
        "<OME><Pixels",
    ] {
        assert_eq!(size(unknown, [72, 1]), None, "{unknown}");
    }
    for none in [[0, 1], [1, 0], [0, 0]] {
        assert_eq!(size(imagej, none), None, "{none:?}");
    }
    assert_eq!(pixel_size(b"\x89PNG", "a.png"), None);
}
