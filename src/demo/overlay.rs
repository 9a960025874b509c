//! The picture of a result: the image in gray, and an outline in colour around each cell. Pure.

use std::collections::BTreeMap;

use ndarray::{Array, Array2, Array3, ArrayView, ArrayView2, ArrayView3, Axis, Dimension, Zip};

use super::palette::{self, Rgb};

/// Width of an outline in pixels of the picture.
const OUTLINE: isize = 2;

/// Shares of pixels that may be darker than black and brighter than white.
const DARKEST: f64 = 0.005;
const BRIGHTEST: f64 = 0.002;

/// Lifts what is dim, so that faint cells can be seen beside bright ones.
const GAMMA: f32 = 0.75;

/// The brightest gray, which leaves the colours to stand out.
const WHITE: f32 = 205.0;

/// The picture `[row, column, colour]` (sRGB) of an image and its labels, both `[row, column]`; background is 0.
///
/// Outlines lie inside their cells, 2 pixels wide, and are open where a cell leaves the image. Small images are magnified
/// by a whole number so that the longer side comes close to `side` pixels.
///
/// # Panics
///
/// If the shapes differ.
pub(super) fn draw(
    image: ArrayView2<'_, f32>,
    labels: ArrayView2<'_, u32>,
    side: f64,
) -> Array3<u8> {
    assert_eq!(
        image.dim(),
        labels.dim(),
        "labels belong to an image of their shape"
    );
    outlined(
        stretch(image).view(),
        labels,
        &palette::colours([labels], &[]),
        magnification(image.dim(), side),
    )
}

/// The pictures of the frames of a movie and its labels, both `[frame, row, column]`, and by which number they are magnified.
///
/// As [`draw`], but with the same black and white in all frames, and `colours` for all labels.
///
/// # Panics
///
/// If the shapes differ, or a label has no colour.
pub(super) fn draw_movie(
    movie: ArrayView3<'_, f32>,
    labels: ArrayView3<'_, u32>,
    colours: &BTreeMap<u32, Rgb>,
    side: f64,
) -> (Vec<Array3<u8>>, usize) {
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
            .map(|(frame, labels)| outlined(frame, labels, colours, factor))
            .collect(),
        factor,
    )
}

/// The picture of grays and labels.
fn outlined(
    gray: ArrayView2<'_, f32>,
    labels: ArrayView2<'_, u32>,
    colours: &BTreeMap<u32, Rgb>,
    factor: usize,
) -> Array3<u8> {
    let gray = magnify(gray, factor);
    let labels = magnify_labels(labels, factor);
    let (rows, columns) = gray.dim();
    let mut picture = Array3::zeros((rows, columns, 3));
    Zip::indexed(picture.lanes_mut(Axis(2))).par_for_each(|(row, column), mut pixel| {
        let shade = gray[[row, column]].round() as u8;
        let colour = if is_outline(labels.view(), row, column) {
            colours[&labels[[row, column]]]
        } else {
            [shade; 3]
        };
        pixel
            .iter_mut()
            .zip(colour)
            .for_each(|(to, from)| *to = from);
    });
    picture
}

/// A picture `[row, column, colour]` as a PNG file.
pub(super) fn encode_png(picture: &Array3<u8>) -> Result<Vec<u8>, png::EncodingError> {
    let (rows, columns, _) = picture.dim();
    let mut file = Vec::new();
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut file, side(columns), side(rows));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.iter().copied().collect::<Vec<_>>())?;
    writer.finish()?;
    Ok(file)
}

fn magnification((rows, columns): (usize, usize), side: f64) -> usize {
    let longest = rows.max(columns).max(1) as f64;
    (side / longest).round().max(1.0) as usize
}

/// The image between black and white, by the ranks of its values: 0 to [`WHITE`].
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
    image.mapv(|value| ((value - black) / range).clamp(0.0, 1.0).powf(GAMMA) * WHITE)
}

/// Linear interpolation between the centres of pixels.
fn magnify(image: ArrayView2<'_, f32>, factor: usize) -> Array2<f32> {
    let (rows, columns) = image.dim();
    Array2::from_shape_fn((rows * factor, columns * factor), |(row, column)| {
        Corners::of((row, column), factor, (rows, columns))
            .0
            .iter()
            .map(|(place, weight)| image[*place] * weight)
            .sum()
    })
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
    let centre = (place as f32 + 0.5) / factor as f32 - 0.5;
    let first = centre.floor();
    let clamped = |offset: f32| (first + offset).clamp(0.0, length as f32 - 1.0) as usize;
    ([clamped(0.0), clamped(1.0)], centre - first)
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
        assert_eq!((gray[[0, 0]], gray[[9, 99]]), (0.0, WHITE));
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
        let file = encode_png(&picture).expect("a picture has a PNG form");
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .expect("a PNG header");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!(
            [info.height as usize, info.width as usize, 3],
            picture.shape()
        );
        assert!(picture.iter().eq(&pixels));
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
        fn magnified_labels_keep_the_centres_of_pixels(labels in labels()) {
            let magnified = magnify_labels(labels.view(), 3);
            prop_assert_eq!(Array2::from_shape_fn(labels.dim(), |(y, x)| magnified[[3 * y + 1, 3 * x + 1]]), labels);
        }

        #[test]
        fn magnification_by_one_changes_nothing(labels in labels()) {
            prop_assert_eq!(&magnify_labels(labels.view(), 1), &labels);
            let image = labels.mapv(|label| label as f32);
            prop_assert_eq!(magnify(image.view(), 1), image);
        }
    }
}
