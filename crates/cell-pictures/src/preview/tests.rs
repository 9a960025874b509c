use bioimage::Limits;
use ndarray::{Array3, array};
use proptest::prelude::*;

use super::*;
use crate::picture::tests::decode;

fn thumbnail(image: &Array3<f32>) -> Option<Thumbnail> {
    let channels: Vec<_> = image.axis_iter(Axis(2)).collect();
    Thumbnail::new(&channels)
}

fn noise(shape: (usize, usize, usize)) -> Array3<f32> {
    Array3::from_shape_fn(shape, |(row, column, channel)| {
        let place = (row * 7919 + column * 104_729 + channel) as u64;
        let mixed = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32
    })
}

fn disks((rows, columns): (usize, usize)) -> Array2<u32> {
    Array2::from_shape_fn((rows, columns), |(row, column)| {
        let near = (row % 25).abs_diff(12) + (column % 25).abs_diff(12) < 9;
        if near {
            (row / 25 * 100 + column / 25 + 1) as u32
        } else {
            0
        }
    })
}

#[test]
fn noise_of_any_kind_fits() {
    for channels in 1..=4 {
        for shape in [(400, 400), (384, 384), (2000, 30), (700, 1100)] {
            let image = noise((shape.0, shape.1, channels));
            let thumbnail = thumbnail(&image).expect("there are pixels");
            for file in [
                thumbnail.preview(),
                thumbnail.with_outlines(disks(shape).view()),
                thumbnail.with_spots(&[[3.0, 4.0]]),
            ] {
                let ((rows, columns), _) = decode(&file);
                assert!(file.len() <= PREVIEW_BYTES, "{} bytes", file.len());
                assert!(rows.max(columns) <= PREVIEW_SIDE && rows.min(columns) >= 1);
                let ratio = shape.0 as f64 / shape.1 as f64 * columns as f64 / rows as f64;
                assert!(
                    (0.8..1.25).contains(&ratio),
                    "{shape:?}: {rows} x {columns}"
                );
            }
        }
    }
}

#[test]
fn a_real_image_keeps_its_size_and_shows_its_cells() {
    let folder = "../../tests/fixtures/nuclei/dsb2018_777f7c42";
    let read = |suffix: &str| {
        let name = format!("{folder}{suffix}");
        let file = std::fs::read(&name).expect("a fixture");
        bioimage::decode(&file, &name, &Limits::default()).expect("an image")
    };
    let image = read(".png").into_dimensionality().expect("three axes");
    let image: Array3<f32> = image;
    let gray = image.index_axis(Axis(2), 0);
    let labels = read("_labels.tif")
        .mapv(|label| label as u32)
        .into_dimensionality()
        .expect("two axes");
    let thumbnail = Thumbnail::new(&[gray]).expect("there are pixels");
    let plain = thumbnail.preview();
    let outlined = thumbnail.with_outlines(labels.view());
    assert_eq!(
        outlined,
        thumbnail.with_outlines(labels.view()),
        "the same each time"
    );
    let ((dim, plain), (_, outlined)) = (decode(&plain), decode(&outlined));
    assert_eq!(dim, (360, 360));
    let lines = outlines(labels.view());
    let mut changed = 0;
    for ((place, line), (before, after)) in lines.indexed_iter().zip(plain.iter().zip(&outlined)) {
        let is_colored = after[0] != after[1] || after[1] != after[2];
        assert_eq!(is_colored, *line != 0, "{place:?}: {before:?}, {after:?}");
        changed += usize::from(before != after);
    }
    assert!(changed > 1000, "{changed}");
}

#[test]
fn odd_images_have_previews() {
    assert!(thumbnail(&Array3::zeros((0, 5, 1))).is_none());
    assert!(thumbnail(&Array3::zeros((5, 5, 0))).is_none());
    for value in [0.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN] {
        let flat = Array3::from_elem((3, 900, 1), value);
        let thumbnail = thumbnail(&flat).expect("there are pixels");
        assert_eq!(decode(&thumbnail.preview()).0, (1, 384));
    }
    let one = thumbnail(&Array3::zeros((1, 1, 1))).expect("a pixel");
    assert_eq!(decode(&one.with_outlines(array![[8]].view())).0, (1, 1));
}

proptest! {
    #[test]
    fn every_outline_passes_through_its_pixel_of_the_preview(
        rows in 1..900_usize, columns in 1..60_usize, row in 0..900_usize, column in 0..60_usize, turn in any::<bool>(),
    ) {
        let mut labels = Array2::zeros((rows, columns));
        let place = [row % rows, column % columns];
        labels[place] = 5;
        let labels = if turn { labels.reversed_axes() } else { labels };
        let lines = outlines(labels.view());
        let small = first_of_each(&lines, small_shape(labels.dim(), 100));
        prop_assert_eq!(small.iter().any(|line| *line != 0), lines.iter().any(|line| *line != 0));
        for ((row, column), line) in lines.indexed_iter().filter(|(_, line)| **line != 0) {
            let (height, width) = small.dim();
            let at = [row * height / labels.nrows(), column * width / labels.ncols()];
            prop_assert_eq!(small[at], *line);
        }
    }

    #[test]
    fn means_lie_between_their_pixels_and_cover_all(length in 1..2000_usize, small in 1..400_usize) {
        let small = small.min(length);
        let parts: Vec<_> = covered(length, small).collect();
        prop_assert!(parts.iter().all(|part| !part.is_empty()));
        prop_assert_eq!((parts[0].start, parts[small - 1].end), (0, length));
        prop_assert!(parts.windows(2).all(|pair| pair[1].start <= pair[0].end && pair[1].start > pair[0].start));
    }
}
