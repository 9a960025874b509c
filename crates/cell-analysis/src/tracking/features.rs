//! What a model sees of a cell: centroid, morphology and appearance.
//!
//! Border: one frame at a time; whole movies are `movie`'s business.

use std::fmt::{self, Display};
use std::str::FromStr;

use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, Axis};

use super::cells::{Cell, LabelError};
use crate::segmentation::resize_image;

/// How the crop of a cell is cut out of its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CropMode {
    /// The bounding box, whatever is in it, resized.
    #[default]
    Resize,
    /// A square around the centroid, zeros beyond the frame.
    Fixed,
}

impl FromStr for CropMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "resize" => Ok(Self::Resize),
            "fixed" => Ok(Self::Fixed),
            _ => Err("crop_mode must be either resize or fixed"),
        }
    }
}

impl Display for CropMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resize => "resize",
            Self::Fixed => "fixed",
        })
    }
}

/// How the appearance of a cell is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropOptions {
    /// Rows and columns of a crop, in pixels (default 32).
    pub side: usize,
    /// How the crop is cut out (default: the bounding box, resized).
    pub crop: CropMode,
    /// Whether a fixed crop is masked and scaled to mean 0 and standard deviation 1; resized ones never are (default: yes).
    pub norm: bool,
}

impl Default for CropOptions {
    fn default() -> Self {
        Self {
            side: 32,
            crop: CropMode::Resize,
            norm: true,
        }
    }
}

impl CropOptions {
    /// Checks that crops can be made with these options; meant for the start of a program.
    ///
    /// # Errors
    ///
    /// A message that says what is wrong: a side of zero, or an odd one for [`CropMode::Fixed`].
    pub fn check(&self) -> Result<(), &'static str> {
        match (self.side, self.crop) {
            (0, _) => Err("the side of an appearance must be at least 1"),
            (side, CropMode::Fixed) if side % 2 == 1 => {
                Err("the side of an appearance must be even for crop mode `fixed`")
            }
            _ => Ok(()),
        }
    }

    /// By how much centroids are moved: a fixed crop counts from the margin that it puts around the frame.
    fn margin(&self) -> usize {
        if self.crop == CropMode::Fixed {
            self.side
        } else {
            0
        }
    }
}

/// Features of the cells of a frame, in the order of the cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// `[cell, 2]`: mean row and column; both larger by the side of an appearance for [`CropMode::Fixed`].
    pub centroids: Array2<f32>,
    /// `[cell, 3]`: area in pixels, perimeter, eccentricity.
    pub morphologies: Array2<f32>,
    /// `[cell, row, column]`.
    pub appearances: Array3<f32>,
}

impl Features {
    /// Number of cells.
    #[must_use]
    pub fn len(&self) -> usize {
        self.centroids.nrows()
    }

    /// Whether the frame has no cells.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The features of the cells of a frame, from its pixels `[row, column]` and its labels of the same shape, numbered by
/// [`number_cells`](super::number_cells).
///
/// # Errors
///
/// [`LabelError::NoBackground`] if cells cover the whole frame.
///
/// # Panics
///
/// If the shapes differ, or [`CropOptions::check`] would fail.
pub fn frame_features(
    raw: ArrayView2<'_, f32>,
    numbered: ArrayView2<'_, i32>,
    cells: &[Cell],
    appearance: &CropOptions,
) -> Result<Features, LabelError> {
    assert_eq!(raw.dim(), numbered.dim(), "pixels and labels of a frame");
    assert_eq!(appearance.check(), Ok(()), "the size of an appearance");
    if cells.iter().map(|cell| cell.area).sum::<usize>() == numbered.len() {
        return Err(LabelError::NoBackground);
    }
    let margin = appearance.margin() as f64;
    let mut features = Features {
        centroids: Array2::from_shape_fn((cells.len(), 2), |(cell, axis)| {
            (cells[cell].centroid[axis] + margin) as f32
        }),
        morphologies: Array2::from_shape_fn((cells.len(), 3), |(cell, which)| match which {
            0 => cells[cell].area as f32,
            1 => cells[cell].perimeter as f32,
            _ => cells[cell].eccentricity as f32,
        }),
        appearances: Array3::zeros((cells.len(), appearance.side, appearance.side)),
    };
    // Crops are written where they belong in the result, and stay zero where nothing is shown.
    for ((cell, picture), number) in cells
        .iter()
        .zip(features.appearances.outer_iter_mut())
        .zip(1..)
    {
        match (appearance.crop, appearance.norm) {
            (CropMode::Resize, _) => resized(raw, cell, picture),
            (CropMode::Fixed, false) => cut(raw, cell, picture, |_| true),
            (CropMode::Fixed, true) => {
                normalized(raw, cell, picture, |place| numbered[place] == number)
            }
        }
    }
    Ok(features)
}

/// The bounding box, resized bilinearly without smoothing.
///
/// A box of a single row is treated as a column, as deepcell-tracking does: its crop is transposed.
fn resized(raw: ArrayView2<'_, f32>, cell: &Cell, mut picture: ArrayViewMut2<'_, f32>) {
    let rows = raw.slice_axis_move(Axis(0), cell.rows.clone().into());
    let mut window = rows.slice_axis_move(Axis(1), cell.columns.clone().into());
    if window.nrows() == 1 {
        window = window.reversed_axes();
    }
    if window.dim() == picture.dim() {
        return picture.assign(&window);
    }
    let side = picture.nrows();
    let resized = resize_image(window.insert_axis(Axis(0)).insert_axis(Axis(3)), [side; 2]);
    picture
        .iter_mut()
        .zip(&resized)
        .for_each(|(to, &from)| *to = from);
}

/// The square around the centroid; only pixels inside the frame that `is_shown` accepts are copied.
fn cut(
    raw: ArrayView2<'_, f32>,
    cell: &Cell,
    mut picture: ArrayViewMut2<'_, f32>,
    is_shown: impl Fn([usize; 2]) -> bool,
) {
    let half = picture.nrows() / 2;
    let [top, left] = cell.centroid.map(|mean| mean as usize);
    for ((row, column), value) in picture.indexed_iter_mut() {
        let place = (top + row)
            .checked_sub(half)
            .zip((left + column).checked_sub(half));
        let pixel = place.and_then(|place| raw.get(place).map(|pixel| (place, pixel)));
        if let Some(((row, column), &pixel)) = pixel
            && is_shown([row, column])
        {
            *value = pixel;
        }
    }
}

/// The square around the centroid with the cell's own pixels only, those that are not zero at mean 0 and deviation 1.
fn normalized(
    raw: ArrayView2<'_, f32>,
    cell: &Cell,
    mut picture: ArrayViewMut2<'_, f32>,
    is_cell: impl Fn([usize; 2]) -> bool,
) {
    const EPSILON: f64 = 1e-4;
    cut(raw, cell, picture.view_mut(), is_cell);
    let count = lit(picture.view()).count() as f64;
    let mean = lit(picture.view()).sum::<f64>() / count;
    let squares = lit(picture.view()).map(|value| (value - mean).powi(2));
    let deviation = (squares.sum::<f64>() / count).sqrt();
    for value in picture.iter_mut().filter(|value| **value != 0.0) {
        *value = ((f64::from(*value) - mean) / (deviation + EPSILON)) as f32;
    }
}

/// The values that are not zero, row by row.
fn lit(picture: ArrayView2<'_, f32>) -> impl Iterator<Item = f64> {
    picture
        .into_iter()
        .filter(|value| **value != 0.0)
        .map(|&value| f64::from(value))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::tracking::number_cells;

    fn features(raw: &Array2<f32>, mut labels: Array2<i32>, appearance: CropOptions) -> Features {
        let cells = number_cells(labels.view_mut()).expect("no label is negative");
        frame_features(raw.view(), labels.view(), &cells, &appearance).expect("there is background")
    }

    #[test]
    fn a_box_of_one_row_comes_out_as_a_column() {
        let raw = array![[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]];
        let appearance = CropOptions {
            side: 2,
            ..CropOptions::default()
        };
        let row = features(&raw, array![[4, 4, 0], [0, 0, 0]], appearance);
        assert_eq!(row.appearances, array![[[1.0, 1.0], [3.0, 3.0]]]);
    }

    #[test]
    fn a_fixed_crop_has_zeros_beyond_the_frame_and_counts_from_its_margin() {
        let raw = array![[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]];
        let appearance = CropOptions {
            side: 2,
            crop: CropMode::Fixed,
            norm: false,
        };
        let corner = features(&raw, array![[1, 0, 0], [0, 0, 2]], appearance);
        assert_eq!(
            corner.appearances,
            array![[[0.0, 0.0], [0.0, 1.0]], [[2.0, 5.0], [4.0, 6.0]]]
        );
        assert_eq!(corner.centroids, array![[2.0, 2.0], [3.0, 4.0]]);
    }

    #[test]
    fn a_dark_cell_stays_dark_when_normalized() {
        let appearance = CropOptions {
            side: 2,
            crop: CropMode::Fixed,
            norm: true,
        };
        let dark = features(
            &Array2::zeros((3, 3)),
            array![[0, 0, 0], [0, 1, 0], [0, 0, 0]],
            appearance,
        );
        assert_eq!(dark.appearances, Array3::<f32>::zeros((1, 2, 2)));
    }

    #[test]
    fn odd_fixed_crops_and_unknown_modes_are_refused() {
        assert!(
            CropOptions {
                side: 15,
                crop: CropMode::Fixed,
                norm: true
            }
            .check()
            .is_err()
        );
        assert!(
            CropOptions {
                side: 15,
                crop: CropMode::Resize,
                norm: true
            }
            .check()
            .is_ok()
        );
        assert_eq!(
            "pad".parse::<CropMode>(),
            Err("crop_mode must be either resize or fixed")
        );
        for crop in [CropMode::Resize, CropMode::Fixed] {
            assert_eq!(crop.to_string().parse(), Ok(crop));
        }
    }
}
