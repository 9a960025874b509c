//! Labels at all resolutions, and tiles of their outlines and areas.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis};

use crate::palette::{Palette, color_of};
use crate::picture::Picture;
use crate::pyramid::{blocks, fits};
use crate::window::Window;

/// The dark side of an outline.
const DARK: [u8; 4] = [0, 0, 0, 200];

/// What is drawn of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A line in the color of each cell, with a dark one below and on its right, so that it is seen on any image.
    Outline,
    /// All of each cell.
    Fill,
}

/// Labels at one resolution.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelLevel {
    areas: Array2<u32>,
    /// The label of the outline that passes through a pixel, or 0. Those of the labels as they are follow from the areas, and
    /// are not kept.
    outlines: Option<Array2<u32>>,
}

impl LabelLevel {
    /// Rows and columns.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.areas.dim()
    }

    /// The label at each pixel.
    #[must_use]
    pub fn areas(&self) -> ArrayView2<'_, u32> {
        self.areas.view()
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let outlines = self.outlines.as_ref().map_or(0, Array2::len);
        (self.areas.len() + outlines) * size_of::<u32>()
    }

    fn halved(&self) -> Self {
        let lines = match &self.outlines {
            Some(lines) => Cow::Borrowed(lines),
            None => Cow::Owned(outlines(self.areas.view())),
        };
        Self {
            areas: blocks(self.areas.view(), most_frequent),
            outlines: Some(blocks(lines.view(), first_line)),
        }
    }

    fn areas_of(&self, rows: Range<usize>, columns: Range<usize>) -> ArrayView2<'_, u32> {
        let rows = self.areas.slice_axis(Axis(0), rows.into());
        rows.slice_axis_move(Axis(1), columns.into())
    }

    /// Outlines of at least a window, and where the window is in them.
    fn outlines_of(&self, window: &Window) -> (Cow<'_, Array2<u32>>, Window) {
        if let Some(lines) = &self.outlines {
            return (Cow::Borrowed(lines), window.clone());
        }
        // A pixel depends on its neighbors below and on the right, and its dark side on those above and on the left.
        let (height, width) = self.dim();
        let around = |range: &Range<usize>, length: usize| {
            let start = range.start.saturating_sub(1);
            (start..(range.end + 1).min(length), range.start - start)
        };
        let (rows, top) = around(&window.rows, height);
        let (columns, left) = around(&window.columns, width);
        let lines = outlines(self.areas_of(rows, columns));
        let within = Window {
            rows: top..top + window.height(),
            columns: left..left + window.width(),
        };
        (Cow::Owned(lines), within)
    }
}

/// The labels `[row, column]`, 0 for the background, at all resolutions: as they are, then halved until the longer side has at
/// most `tile` pixels.
///
/// Outlines pass through pixels whose right or lower neighbor has another label, and at coarser levels through every pixel in
/// which one did: none is lost. Areas have the most frequent label.
#[must_use]
pub fn label_levels(labels: ArrayView2<'_, u32>, tile: usize) -> Vec<LabelLevel> {
    let mut levels = vec![LabelLevel {
        areas: labels.to_owned(),
        outlines: None,
    }];
    while let Some(last) = levels.last()
        && !fits(last.dim(), tile)
    {
        let next = last.halved();
        levels.push(next);
    }
    levels
}

/// For each pixel whose right or lower neighbor has another label, its label, or that of the neighbor if it has none; else 0.
pub(crate) fn outlines(labels: ArrayView2<'_, u32>) -> Array2<u32> {
    let (rows, columns) = labels.dim();
    let labels = labels.as_standard_layout();
    let plane = labels.as_slice().unwrap_or_default();
    let mut outlines = vec![0; plane.len()];
    let lines = outlines
        .chunks_exact_mut(columns.max(1))
        .zip(plane.chunks_exact(columns.max(1)));
    for (row, (out, here)) in lines.enumerate() {
        // The last row and column have no such neighbor.
        let below = plane
            .get((row + 1) * columns..(row + 2) * columns)
            .unwrap_or(here);
        let right = here.iter().skip(1).chain(here.last());
        for (((out, &here), &below), &right) in out.iter_mut().zip(here).zip(below).zip(right) {
            if (here != below) | (here != right) {
                let other = if right == here { below } else { right };
                *out = if here == 0 { other } else { here };
            }
        }
    }
    Array2::from_shape_vec((rows, columns), outlines).expect("one value for each pixel")
}

fn first_line(block: &[u32]) -> u32 {
    block.iter().copied().find(|label| *label != 0).unwrap_or(0)
}

/// The most frequent label; of several a cell rather than the background, and the first of cells.
fn most_frequent(block: &[u32]) -> u32 {
    let count = |label: u32| block.iter().filter(|other| **other == label).count();
    let weight = |label: u32| 2 * count(label) + usize::from(label != 0);
    let heavier = |a: u32, b: u32| if weight(b) > weight(a) { b } else { a };
    block.iter().copied().reduce(heavier).unwrap_or(0)
}

/// What a window of outlines shows at each pixel: a label, or the dark side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    None,
    Dark,
    Of(u32),
}

/// The lines in a part of a row of outlines: dark below an outline and on its right.
pub(crate) fn lines_of_row(
    outlines: &Array2<u32>,
    row: usize,
    columns: Range<usize>,
) -> impl Iterator<Item = Line> {
    let line = |row: usize| {
        let width = outlines.ncols();
        let plane = outlines.as_slice().unwrap_or_default();
        &plane[row * width..(row + 1) * width]
    };
    let here = line(row);
    // The first row has none above: its own outlines are lines anyway.
    let above = &line(row.saturating_sub(1))[columns.clone()];
    let mut left = columns
        .start
        .checked_sub(1)
        .map_or(0, |column| here[column]);
    here[columns]
        .iter()
        .zip(above)
        .map(move |(&label, &above)| {
            let line = match label {
                0 if above != 0 || left != 0 => Line::Dark,
                0 => Line::None,
                label => Line::Of(label),
            };
            left = label;
            line
        })
}

/// A window of labels, transparent where there are none.
///
/// # Panics
///
/// If the window is not within the level.
#[must_use]
pub fn render_labels(
    level: &LabelLevel,
    layer: Layer,
    palette: Palette,
    window: &Window,
) -> Picture {
    let colors = palette.colors();
    let entry = |label: u32| 2 + color_of(label, colors.len()) as u8;
    let of_area = |&label: &u32| if label == 0 { 0 } else { entry(label) };
    let of_line = |line| match line {
        Line::None => 0,
        Line::Dark => 1,
        Line::Of(label) => entry(label),
    };
    let mut pixels = Vec::with_capacity(window.height() * window.width());
    match layer {
        Layer::Fill => {
            let areas = level.areas_of(window.rows.clone(), window.columns.clone());
            pixels.extend(areas.iter().map(of_area));
        }
        Layer::Outline => {
            let (outlines, within) = level.outlines_of(window);
            for row in within.rows.clone() {
                let lines = lines_of_row(&outlines, row, within.columns.clone());
                pixels.extend(lines.map(of_line));
            }
        }
    }
    let shape = (window.height(), window.width());
    let pixels = Array2::from_shape_vec(shape, pixels).expect("one value for each pixel");
    let opaque = colors.iter().map(|[r, g, b]| [*r, *g, *b, u8::MAX]);
    Picture::Indexed {
        pixels,
        palette: [[0; 4], DARK].into_iter().chain(opaque).collect(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Axis, array, concatenate};
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Array2<u32>> {
        let label = prop_oneof![3 => Just(0), 1 => 1..5_u32, 1 => Just(4_000_000_000)];
        let values = proptest::collection::vec(label, 30 * 30);
        (1..30_usize, 1..30_usize, 1..5_usize, values).prop_map(|(rows, columns, patch, values)| {
            Array2::from_shape_fn((rows, columns), |(row, column)| {
                values[row / patch * 30 + column / patch]
            })
        })
    }

    fn pixels(picture: Picture) -> Array2<u8> {
        match picture {
            Picture::Indexed { pixels, .. } => pixels,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_outline_has_the_color_of_its_cell_and_a_dark_side() {
        let labels = array![
            [0, 0, 0, 0, 0],
            [0, 7, 7, 7, 0],
            [0, 7, 7, 7, 0],
            [0, 7, 7, 7, 0],
            [0, 0, 0, 0, 0]
        ];
        let level = &label_levels(labels.view(), 100)[0];
        let found = pixels(render_labels(
            level,
            Layer::Outline,
            Palette::Single,
            &Window::whole((5, 5)),
        ));
        let expected = array![
            [0, 2, 2, 2, 1],
            [2, 1, 1, 2, 1],
            [2, 1, 0, 2, 1],
            [2, 2, 2, 2, 1],
            [1, 1, 1, 1, 0]
        ];
        assert_eq!(found, expected);
        let filled = pixels(render_labels(
            level,
            Layer::Fill,
            Palette::Single,
            &Window::whole((5, 5)),
        ));
        assert_eq!(filled, labels.mapv(|label| if label == 0 { 0 } else { 2 }));
    }

    #[test]
    fn areas_prefer_cells_where_half_of_a_pixel_is_one() {
        assert_eq!(most_frequent(&[0, 0, 3, 3]), 3);
        assert_eq!(most_frequent(&[0, 0, 0, 3]), 0);
        assert_eq!(most_frequent(&[0, 3, 4, 0]), 0);
        assert_eq!(most_frequent(&[4, 3, 4, 3]), 4);
    }

    proptest! {
        #[test]
        fn no_outline_is_lost_at_any_level(labels in labels()) {
            let levels = label_levels(labels.view(), 1);
            let lines = |level: &LabelLevel| level.outlines_of(&Window::whole(level.dim())).0.into_owned();
            let levels: Vec<_> = levels.iter().map(lines).collect();
            for ((row, column), label) in labels.indexed_iter() {
                let differs = |place: (usize, usize)| labels.get(place).is_some_and(|other| other != label);
                let is_edge = differs((row + 1, column)) || differs((row, column + 1));
                prop_assert_eq!(levels[0][[row, column]] != 0, is_edge);
                for (depth, level) in levels.iter().enumerate().filter(|_| is_edge) {
                    let line = level[[row >> depth, column >> depth]];
                    prop_assert!(line != 0, "level {depth} at {row}, {column}");
                    prop_assert!(labels.iter().any(|label| *label == line));
                }
            }
            // Nor does one appear from nothing.
            for (depth, level) in levels.iter().enumerate() {
                for ((row, column), line) in level.indexed_iter().filter(|(_, line)| **line != 0) {
                    let is_below = |place: &(usize, usize)| (place.0 >> depth, place.1 >> depth) == (row, column);
                    prop_assert!(levels[0].indexed_iter().any(|(place, label)| is_below(&place) && label == line));
                }
            }
        }

        #[test]
        fn tiles_joined_are_the_whole(labels in labels(), side in 1..12_usize, palette in 0..3_usize, fill in any::<bool>()) {
            let (layer, palette) = (if fill { Layer::Fill } else { Layer::Outline }, Palette::ALL[palette]);
            for level in label_levels(labels.view(), 4) {
                let draw = |window: &Window| pixels(render_labels(&level, layer, palette, window));
                let mut rows = Vec::new();
                for y in 0.. {
                    let tiles: Vec<_> = (0..).map_while(|x| Window::tile(level.dim(), side, x, y)).map(|window| draw(&window)).collect();
                    if tiles.is_empty() {
                        break;
                    }
                    let views: Vec<_> = tiles.iter().map(|tile| tile.view()).collect();
                    rows.push(concatenate(Axis(1), &views).expect("tiles of one height"));
                }
                let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
                let joined = concatenate(Axis(0), &views).expect("rows of one width");
                prop_assert_eq!(joined, draw(&Window::whole(level.dim())));
            }
        }
    }
}
