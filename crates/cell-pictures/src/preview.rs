//! Previews: small pictures of a result, for lists.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis};
use png::Filter;

use crate::labels::{Line, lines_of_row, outlines};
use crate::palette::{Palette, color_of};
use crate::picture::Picture;
use crate::spots::{self, SpotLayer};
use crate::statistics::shown_range;
use crate::window::Window;

/// The longer side of a preview has at most so many pixels.
pub const PREVIEW_SIDE: usize = 384;

/// A preview has at most so many bytes.
pub const PREVIEW_BYTES: usize = 60_000;

/// What a picture may take by an estimate, which knows nothing of outlines.
const ESTIMATE: f64 = 0.92 * PREVIEW_BYTES as f64;

/// Colors that outlines are drawn in, of those of the palette.
const OUTLINES: usize = 24;

/// The longer side, and steps of brightness for one, two and three channels: what is tried, until the file is small enough. The
/// last fits whatever the image is.
const ATTEMPTS: [(usize, [usize; 3]); 6] = [
    (PREVIEW_SIDE, [128, 15, 6]),
    (PREVIEW_SIDE, [64, 11, 5]),
    (PREVIEW_SIDE, [32, 8, 4]),
    (288, [48, 9, 5]),
    (288, [24, 6, 4]),
    (192, [64, 12, 6]),
];

/// What bright pixels of one, two and three channels look like.
const COLORS: [&[[u8; 3]]; 3] = [
    &[[255, 255, 255]],
    // Nuclei and membranes.
    &[[70, 110, 255], [60, 220, 80]],
    &[[255, 0, 0], [0, 255, 0], [0, 0, 255]],
];

/// A small picture of an image, which waits for what is found in it.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    shape: (usize, usize),
    /// The first channels, at most three, from 0 (black) to 1 (bright).
    channels: Vec<Array2<f32>>,
}

/// What is drawn on a preview.
enum Found<'f> {
    Nothing,
    Outlines(&'f Array2<u32>),
    Spots(&'f SpotLayer),
}

impl Thumbnail {
    /// The small picture of the channels `[row, column]` of an image: one in gray, two in blue and green, more as red, green and
    /// blue, each between its darkest and brightest values; channels that are all the same are one. Nothing if there are no
    /// pixels.
    ///
    /// # Panics
    ///
    /// If the channels differ in shape.
    #[must_use]
    pub fn new(channels: &[ArrayView2<'_, f32>]) -> Option<Self> {
        let shown = distinct(&channels[..channels.len().min(COLORS.len())]);
        let shape = shown.first().filter(|first| !first.is_empty())?.dim();
        assert!(
            shown.iter().all(|channel| channel.dim() == shape),
            "channels of one image"
        );
        let small = shown
            .iter()
            .map(|channel| stretched(shrunken(channel.view(), small_shape(shape, PREVIEW_SIDE))));
        Some(Self {
            shape,
            channels: small.collect(),
        })
    }

    /// Rows and columns of the image.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// The preview as a PNG file.
    #[must_use]
    pub fn preview(&self) -> Vec<u8> {
        self.smallest(&Found::Nothing)
    }

    /// The preview with an outline around each label of the image, `[row, column]`, as a PNG file.
    ///
    /// # Panics
    ///
    /// If the labels have another shape than the image.
    #[must_use]
    pub fn with_outlines(&self, labels: ArrayView2<'_, u32>) -> Vec<u8> {
        assert_eq!(labels.dim(), self.shape, "labels and image of one shape");
        self.smallest(&Found::Outlines(&outlines(labels)))
    }

    /// The preview with a disk at each spot, given in rows and columns of the image, as a PNG file.
    #[must_use]
    pub fn with_spots(&self, positions: &[[f64; 2]]) -> Vec<u8> {
        self.smallest(&Found::Spots(&SpotLayer::new(positions)))
    }

    /// The best picture that is small enough.
    fn smallest(&self, found: &Found<'_>) -> Vec<u8> {
        let (last, better) = ATTEMPTS.split_last().expect("there are attempts");
        for (side, steps) in better {
            let steps = steps[self.channels.len() - 1];
            let pixels = self.stepped(*side, steps);
            // Looking costs less than packing what turns out to be too large.
            if estimated_bytes(&pixels) > ESTIMATE {
                continue;
            }
            let file = self.draw(found, pixels, steps).encoded(Filter::Sub);
            if file.len() <= PREVIEW_BYTES {
                return file;
            }
        }
        let (side, steps) = last;
        let steps = steps[self.channels.len() - 1];
        let picture = self.draw(found, self.stepped(*side, steps), steps);
        picture.encoded(Filter::Sub)
    }

    /// The picture in so many steps of brightness for each channel, which are the digits of its pixels.
    fn stepped(&self, side: usize, steps: usize) -> Array2<u8> {
        let shape = small_shape(self.shape, side);
        let mut pixels = Array2::<u8>::zeros(shape);
        let most = (steps - 1) as f32;
        for channel in &self.channels {
            let channel = shrunken(channel.view(), shape);
            pixels.zip_mut_with(&channel, |pixel, &value| {
                // Rounds: values are 0 to 1.
                *pixel = *pixel * steps as u8 + (value * most + 0.5) as u8;
            });
        }
        pixels
    }

    fn draw(&self, found: &Found<'_>, mut pixels: Array2<u8>, steps: usize) -> Picture {
        let mut palette = shades(steps, COLORS[self.channels.len() - 1]);
        match found {
            Found::Nothing => {}
            Found::Outlines(outlines) => draw_outlines(&mut pixels, &mut palette, outlines),
            Found::Spots(spots) => {
                let scale = pixels.nrows() as f64 / self.shape.0 as f64;
                draw_spots(&mut pixels, &mut palette, spots, scale);
            }
        }
        Picture::Indexed { pixels, palette }
    }
}

/// The channels, or one of them if all are the same: gray pictures are often stored as colors.
fn distinct<'c, 'p>(channels: &'c [ArrayView2<'p, f32>]) -> &'c [ArrayView2<'p, f32>] {
    match channels {
        [first, others @ ..] if others.iter().all(|other| other == first) => &channels[..1],
        _ => channels,
    }
}

/// Rows and columns at most `side`, with about the same ratio.
fn small_shape((rows, columns): (usize, usize), side: usize) -> (usize, usize) {
    let scale = (side as f64 / rows.max(columns) as f64).min(1.0);
    let small = |length: usize| ((length as f64 * scale).round() as usize).max(1);
    (small(rows), small(columns))
}

/// For each of `small` pixels along an axis, those of `length` that it covers at least in part.
fn covered(length: usize, small: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..small).map(move |at| at * length / small..((at + 1) * length).div_ceil(small))
}

/// Means of the pixels that each pixel of the small picture covers.
fn shrunken(channel: ArrayView2<'_, f32>, small: (usize, usize)) -> Array2<f32> {
    let (rows, columns) = channel.dim();
    if (rows, columns) == small {
        return channel.to_owned();
    }
    let mut means = Vec::with_capacity(small.0 * small.1);
    let mut sums = vec![0.0_f32; columns];
    for lines in covered(rows, small.0) {
        sums.fill(0.0);
        for row in lines.clone() {
            let line = channel.index_axis(Axis(0), row);
            let pairs = sums.iter_mut();
            match line.as_slice() {
                // Several pixels at a time.
                Some(line) => pairs.zip(line).for_each(|(sum, value)| *sum += value),
                None => pairs.zip(line).for_each(|(sum, value)| *sum += value),
            }
        }
        means.extend(covered(columns, small.1).map(|part| {
            let pixels = (part.len() * lines.len()) as f32;
            sums[part].iter().sum::<f32>() / pixels
        }));
    }
    Array2::from_shape_vec(small, means).expect("one value for each pixel")
}

/// The channel between its darkest (0) and brightest (1) values; what is no number is 0.
fn stretched(mut channel: Array2<f32>) -> Array2<f32> {
    let (low, high) = shown_range(channel.view(), 1 << 14).unwrap_or_default();
    let range = (high - low).max(f32::MIN_POSITIVE);
    channel.mapv_inplace(|value| {
        let share = (value - low) / range;
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    });
    channel
}

/// The colors of all combinations of steps of channels, the first channel's being the highest digit.
fn shades(steps: usize, colors: &[[u8; 3]]) -> Vec<[u8; 4]> {
    let count = steps.pow(colors.len() as u32);
    let shade = |at: usize| {
        let mut sum = [0.0_f64; 3];
        for (digit, color) in colors.iter().rev().enumerate() {
            let step = at / steps.pow(digit as u32) % steps;
            let bright = step as f64 / (steps - 1) as f64;
            sum.iter_mut()
                .zip(color)
                .for_each(|(sum, &part)| *sum += bright * f64::from(part));
        }
        let [r, g, b] = sum.map(|part| part.min(255.0).round() as u8);
        [r, g, b, u8::MAX]
    };
    (0..count).map(shade).collect()
}

/// Outlines in the colors of their cells, with a dark side, none of them lost.
fn draw_outlines(pixels: &mut Array2<u8>, palette: &mut Vec<[u8; 4]>, outlines: &Array2<u32>) {
    let first = palette.len();
    let colors = &Palette::Bright.colors()[..OUTLINES];
    palette.push([0, 0, 0, u8::MAX]);
    palette.extend(colors.iter().map(|[r, g, b]| [*r, *g, *b, u8::MAX]));
    let small = first_of_each(outlines, pixels.dim());
    for (row, mut pixels) in pixels.outer_iter_mut().enumerate() {
        let lines = lines_of_row(&small, row, 0..small.ncols());
        for (pixel, line) in pixels.iter_mut().zip(lines) {
            match line {
                Line::None => {}
                Line::Dark => *pixel = first as u8,
                Line::Of(label) => *pixel = (first + 1 + color_of(label, OUTLINES)) as u8,
            }
        }
    }
}

/// The first outline in the pixels that become one; each pixel is in exactly one of them.
fn first_of_each(outlines: &Array2<u32>, small: (usize, usize)) -> Array2<u32> {
    let (rows, columns) = outlines.dim();
    if (rows, columns) == small {
        return outlines.clone();
    }
    let columns: Vec<usize> = (0..columns)
        .map(|column| column * small.1 / columns)
        .collect();
    let mut first = Array2::zeros(small);
    for (row, line) in outlines.outer_iter().enumerate() {
        let mut into = first.row_mut(row * small.0 / rows);
        for (column, &label) in columns.iter().zip(line).filter(|(_, label)| **label != 0) {
            let pixel = &mut into[*column];
            *pixel = if *pixel == 0 { label } else { *pixel };
        }
    }
    first
}

fn draw_spots(pixels: &mut Array2<u8>, palette: &mut Vec<[u8; 4]>, layer: &SpotLayer, scale: f64) {
    let first = palette.len() as u8;
    palette.extend([[0, 0, 0, u8::MAX], [255, 60, 220, u8::MAX]]);
    let mut marks = Array2::zeros(pixels.dim());
    spots::draw(&mut marks, layer, scale, &Window::whole(pixels.dim()));
    pixels.zip_mut_with(&marks, |pixel, &mark| {
        if mark > 0 {
            *pixel = first + mark - 1;
        }
    });
}

/// Bytes that pixels take about, by the entropy of the steps between neighbors.
fn estimated_bytes(pixels: &Array2<u8>) -> f64 {
    let mut counts = [0_u32; 256];
    for row in pixels.rows() {
        let mut last = 0_u8;
        for &pixel in row {
            counts[usize::from(pixel.wrapping_sub(last))] += 1;
            last = pixel;
        }
    }
    let all = pixels.len() as f64;
    let used = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|&count| f64::from(count));
    used.map(|count| count * (all / count).log2()).sum::<f64>() / 8.0
}

#[cfg(test)]
mod tests;
