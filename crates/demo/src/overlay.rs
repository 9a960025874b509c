//! The overlay of a result: the image in gray, and an outline in color around each cell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Context as _;
use image::codecs::png::{self, CompressionType, PngEncoder};
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Luma, Rgb, RgbImage};
use ndarray::{Array, Array2, ArrayView, ArrayView2, ArrayView3, Dimension};

use crate::palette;

/// Width of an outline in pixels of the picture.
const OUTLINE: isize = 2;

/// Shares of pixels that may be darker than black and brighter than white.
const DARKEST: f64 = 0.005;
const BRIGHTEST: f64 = 0.002;

/// Lifts what is dim, so that faint cells can be seen beside bright ones.
const GAMMA: f32 = 0.75;

/// The brightest gray, which leaves the colors to stand out.
const WHITE: f32 = 205.0;

/// The overlay (sRGB) of an image and its labels, both `[row, column]`; background is 0.
///
/// Outlines lie inside their cells, 2 pixels wide, and are open where a cell leaves the image. Small images are magnified
/// by a whole number so that the longer side comes close to `side` pixels.
///
/// # Panics
///
/// If the shapes differ.
pub(crate) fn draw(image: ArrayView2<'_, f32>, labels: ArrayView2<'_, u32>, side: f64) -> RgbImage {
    assert_eq!(
        image.dim(),
        labels.dim(),
        "labels belong to an image of their shape"
    );
    outlined(
        stretch(image).view(),
        labels,
        &palette::colors([labels], &[]),
        magnification(image.dim(), side),
    )
}

/// The overlays of the frames of a movie and its labels, both `[frame, row, column]`, and the factor of their magnification.
///
/// As [`draw`], but with the same black and white in all frames, and `colors` for all labels.
///
/// # Panics
///
/// If the shapes differ, or a label has no color.
pub(crate) fn draw_movie(
    movie: ArrayView3<'_, f32>,
    labels: ArrayView3<'_, u32>,
    colors: &BTreeMap<u32, Rgb<u8>>,
    side: f64,
) -> (Vec<RgbImage>, usize) {
    assert_eq!(
        movie.dim(),
        labels.dim(),
        "labels belong to a movie of their shape"
    );
    let factor = magnification((movie.dim().1, movie.dim().2), side);
    let stretched = stretch(movie);
    let frames = stretched.outer_iter().zip(labels.outer_iter());
    (
        frames
            .map(|(frame, labels)| outlined(frame, labels, colors, factor))
            .collect(),
        factor,
    )
}

/// The overlay of labels on values from 0 (black) to 1 (white).
fn outlined(
    gray: ArrayView2<'_, f32>,
    labels: ArrayView2<'_, u32>,
    colors: &BTreeMap<u32, Rgb<u8>>,
    factor: usize,
) -> RgbImage {
    let gray = magnify(gray, factor);
    let labels = magnify_labels(labels, factor);
    let (width, height) = gray.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let (row, column) = (y as usize, x as usize);
        if is_outline(labels.view(), row, column) {
            colors[&labels[[row, column]]]
        } else {
            Rgb([(gray.get_pixel(x, y).0[0] * WHITE).round() as u8; 3])
        }
    })
}

/// Writes the picture as a PNG file, with filters that keep it small, which are not the default of `image`.
pub(crate) fn save(picture: &RgbImage, path: &Path) -> anyhow::Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let file = BufWriter::new(File::create(path).with_context(cannot_write)?);
    let encoder =
        PngEncoder::new_with_quality(file, CompressionType::Default, png::FilterType::Adaptive);
    picture
        .write_with_encoder(encoder)
        .with_context(cannot_write)
}

fn magnification((rows, columns): (usize, usize), side: f64) -> usize {
    let longest = rows.max(columns).max(1) as f64;
    (side / longest).round().max(1.0) as usize
}

/// The image between black and white, by the ranks of its values: 0 to 1.
fn stretch<D: Dimension>(image: ArrayView<'_, f32, D>) -> Array<f32, D> {
    let mut values: Vec<f32> = image
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    values.sort_unstable_by(f32::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return Array::zeros(image.raw_dim());
    };
    let ranked = |share: f64| values[(last as f64 * share).round() as usize];
    let (black, white) = (ranked(DARKEST), ranked(1.0 - BRIGHTEST));
    let range = (white - black).max(f32::MIN_POSITIVE);
    image.mapv(|value| ((value - black) / range).clamp(0.0, 1.0).powf(GAMMA))
}

/// Linear interpolation between the centers of pixels, of values from 0 to 1.
fn magnify(image: ArrayView2<'_, f32>, factor: usize) -> ImageBuffer<Luma<f32>, Vec<f32>> {
    let (rows, columns) = image.dim();
    let small = ImageBuffer::from_fn(columns as u32, rows as u32, |x, y| {
        Luma([image[[y as usize, x as usize]]])
    });
    let (width, height) = ((columns * factor) as u32, (rows * factor) as u32);
    resize(&small, width, height, FilterType::Triangle)
}

/// Each pixel has the label that would weigh most in a linear interpolation, which rounds the steps of slanted edges.
fn magnify_labels(labels: ArrayView2<'_, u32>, factor: usize) -> Array2<u32> {
    let (rows, columns) = labels.dim();
    Array2::from_shape_fn((rows * factor, columns * factor), |(row, column)| {
        let corners = Corners::of((row, column), factor, (rows, columns))
            .0
            .map(|(place, weight)| (labels[place], weight));
        let weight = |label: u32| {
            corners
                .iter()
                .filter(|(other, _)| *other == label)
                .map(|(_, weight)| weight)
                .sum::<f32>()
        };
        let heavier = |a: u32, b: u32| if weight(b) > weight(a) { b } else { a };
        corners
            .iter()
            .map(|(label, _)| *label)
            .reduce(heavier)
            .unwrap_or_default()
    })
}

/// The four pixels around a point of the magnified picture, and their weights, which sum up to 1.
struct Corners([([usize; 2], f32); 4]);

impl Corners {
    fn of((row, column): (usize, usize), factor: usize, (rows, columns): (usize, usize)) -> Self {
        let ([top, bottom], down) = between(row, factor, rows);
        let ([left, right], across) = between(column, factor, columns);
        Self([
            ([top, left], (1.0 - down) * (1.0 - across)),
            ([top, right], (1.0 - down) * across),
            ([bottom, left], down * (1.0 - across)),
            ([bottom, right], down * across),
        ])
    }
}

/// The two pixels on both sides of a place along one axis, and how far it is on the way from the first to the second.
fn between(place: usize, factor: usize, length: usize) -> ([usize; 2], f32) {
    let center = (place as f32 + 0.5) / factor as f32 - 0.5;
    let first = center.floor();
    let pixels = [first, first + 1.0].map(|place| place.clamp(0.0, length as f32 - 1.0) as usize);
    (pixels, center - first)
}

/// Whether a pixel of a cell has another label, or background, within the width of an outline.
fn is_outline(labels: ArrayView2<'_, u32>, row: usize, column: usize) -> bool {
    let label = labels[[row, column]];
    label != 0
        && (-OUTLINE..=OUTLINE).any(|down| {
            (-OUTLINE..=OUTLINE)
                .filter(|across| down * down + across * across <= OUTLINE * OUTLINE)
                .any(|across| {
                    let near = row
                        .checked_add_signed(down)
                        .zip(column.checked_add_signed(across));
                    near.and_then(|near| labels.get(near))
                        .is_some_and(|other| *other != label)
                })
        })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::ImageFormat;
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    fn outline(labels: &Array2<u32>) -> Array2<bool> {
        Array2::from_shape_fn(labels.dim(), |(row, column)| {
            is_outline(labels.view(), row, column)
        })
    }

    #[test]
    fn an_outline_is_two_pixels_wide_and_inside() {
        let square = |place: usize, around: std::ops::Range<usize>| around.contains(&place);
        let labels = Array2::from_shape_fn((12, 12), |(y, x)| {
            3 * u32::from(square(y, 2..10) && square(x, 2..10))
        });
        let inside = Array2::from_shape_fn((12, 12), |(y, x)| square(y, 4..8) && square(x, 4..8));
        assert_eq!(
            outline(&labels),
            Array2::from_shape_fn((12, 12), |place| labels[place] == 3 && !inside[place])
        );
    }

    #[test]
    fn touching_cells_are_parted_by_two_outlines() {
        let labels = Array2::from_shape_fn((1, 12), |(_, column)| if column < 6 { 1 } else { 2 });
        let expected = [
            false, false, false, false, true, true, true, true, false, false, false, false,
        ];
        assert_eq!(outline(&labels).as_slice(), Some(&expected[..]));
    }

    #[test]
    fn a_cell_that_fills_the_image_has_no_outline() {
        assert!(outline(&Array2::from_elem((5, 5), 1)).iter().all(|is| !is));
    }

    #[test]
    fn small_images_are_magnified_and_large_ones_are_not() {
        assert_eq!(magnification((256, 320), 1100.0), 3);
        assert_eq!(magnification((360, 360), 1100.0), 3);
        assert_eq!(magnification((2048, 100), 1100.0), 1);
        assert_eq!(magnification((1, 1), 1100.0), 1100);
    }

    #[test]
    fn contrast_is_stretched_whatever_the_range() {
        let image = Array2::from_shape_fn((10, 100), |(row, column)| {
            3000.0 + (row * 100 + column) as f32
        });
        let gray = stretch(image.view());
        assert_eq!((gray[[0, 0]], gray[[9, 99]]), (0.0, 1.0));
        assert!(gray.iter().zip(gray.iter().skip(1)).all(|(a, b)| a <= b));
        assert!(
            stretch(Array2::from_elem((3, 3), 7.0).view())
                .iter()
                .all(|value| *value == 0.0)
        );
    }

    #[test]
    fn the_picture_survives_its_file() {
        let labels = array![[1, 1, 0], [1, 1, 0]];
        let picture = draw(
            labels.mapv(|label| label as f32).view(),
            labels.view(),
            1100.0,
        );
        let mut file = Cursor::new(Vec::new());
        picture
            .write_to(&mut file, ImageFormat::Png)
            .expect("a picture has a PNG form");
        let read = image::load_from_memory(file.get_ref()).expect("a PNG file");
        assert_eq!(read.into_rgb8(), picture);
    }

    fn labels() -> impl Strategy<Value = Array2<u32>> {
        proptest::collection::vec(0_u32..3, 30)
            .prop_map(|v| Array2::from_shape_vec((5, 6), v).expect("30 pixels"))
    }

    proptest! {
        #[test]
        fn only_cells_have_outlines_and_every_edge_has_one(labels in labels()) {
            let outline = outline(&labels);
            for ((row, column), &label) in labels.indexed_iter() {
                prop_assert!(label != 0 || !outline[[row, column]]);
                let right = labels.get((row, column + 1)).copied().unwrap_or(label);
                prop_assert!(label == 0 || right == label || outline[[row, column]]);
            }
        }

        #[test]
        fn magnified_labels_keep_the_centers_of_pixels(labels in labels()) {
            let magnified = magnify_labels(labels.view(), 3);
            prop_assert_eq!(Array2::from_shape_fn(labels.dim(), |(y, x)| magnified[[3 * y + 1, 3 * x + 1]]), labels);
        }

        #[test]
        fn magnification_by_one_changes_nothing(labels in labels()) {
            prop_assert_eq!(&magnify_labels(labels.view(), 1), &labels);
            let image = labels.mapv(|label| label as f32 / 2.0);
            let pixels = magnify(image.view(), 1).into_raw();
            prop_assert_eq!(pixels, image.into_iter().collect::<Vec<_>>());
        }
    }
}
