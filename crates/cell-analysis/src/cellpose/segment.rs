//! From the heads of a network to a label image.
//!
//! Border: the order of the steps and their parameters; each step is a neighboring module.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis, Zip};
use rayon::prelude::*;
use thiserror::Error;

use super::check::remove_bad_flow_masks;
use super::clean::fill_holes_and_remove_small_masks;
use super::follow::{BATCH, Field};
use super::peaks::Landing;
use crate::segmentation::resize_labels;

/// Why heads cannot be segmented, or an image cannot be cut into tiles.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CellposeError {
    /// There are not three heads.
    #[error("heads have shape {shape:?}, not [3, row, column]")]
    Heads {
        /// Their shape.
        shape: [usize; 3],
    },
    /// A head holds a value that is not a number.
    #[error("{head} head holds a value that is not a number")]
    NotANumber {
        /// `flow` or `cell probability`.
        head: &'static str,
    },
    /// There are too many pixels to count them with 32 bits.
    #[error("an image of {size:?} pixels is too large")]
    TooLarge {
        /// Rows and columns.
        size: [usize; 2],
    },
    /// Nothing would be left of the image at the network's scale, or there was nothing.
    #[error(
        "an image of {size:?} pixels has none left where cells of {diameter} pixels become {target}"
    )]
    NoPixels {
        /// Rows and columns.
        size: [usize; 2],
        /// Diameter of cells in the image.
        diameter: f64,
        /// Diameter for the network.
        target: f64,
    },
    /// A diameter is not a positive number.
    #[error("a cell has a diameter of {diameter} pixels")]
    Diameter {
        /// The diameter.
        diameter: f64,
    },
}

/// Parameters of Cellpose's dynamics: flows lead pixels to the middle of their cells.
///
/// The default is that of Cellpose.
///
/// ```
/// # use cell_analysis::cellpose::Cellpose;
/// # use ndarray::Array3;
/// // A round cell: flows of length 5 lead to its middle, and the probability is positive inside.
/// let heads = Array3::from_shape_fn((3, 40, 40), |(head, row, column)| {
///     let (down, across) = (row as f32 - 20.0, column as f32 - 20.0);
///     let distance = down.hypot(across).max(1e-3);
///     [-5.0 * down / distance, -5.0 * across / distance, 9.0 - distance][head]
/// });
/// let labels = Cellpose::default().segment(heads.view())?;
/// assert_eq!(labels.iter().max(), Some(&1));
/// # Ok::<(), cell_analysis::cellpose::CellposeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Cellpose {
    /// Cell probability, a logit, that pixels of cells exceed (default 0).
    pub cellprob_threshold: f64,
    /// Largest error of a cell's flows, see [`flow_errors`](super::flow_errors); 0 or less checks nothing (default 0.4).
    pub flow_threshold: f64,
    /// Cells of fewer pixels are dropped; 0 keeps all (default 15).
    pub min_size: usize,
    /// Cells of more than this share of the image are dropped (default 0.4).
    pub max_size_fraction: f64,
    /// How many steps pixels follow the flows (default 200); see [`NetworkTiles::steps`](super::NetworkTiles::steps).
    pub steps: u32,
}

impl Default for Cellpose {
    fn default() -> Self {
        Self {
            cellprob_threshold: 0.0,
            flow_threshold: 0.4,
            min_size: 15,
            max_size_fraction: 0.4,
            steps: 200,
        }
    }
}

impl Cellpose {
    /// The label image `[row, column]` from the heads `[3, row, column]` of a network: flow down, flow to the right, cell
    /// probability.
    ///
    /// Pixels whose probability exceeds the threshold (compared in `f32`) follow the flows, a fifth of them per step
    /// ([`follow_flows`](super::follow_flows)); where many end is a cell
    /// ([`masks_of_positions`](super::masks_of_positions)), which is dropped if its flows would be others
    /// ([`remove_bad_flow_masks`]); holes are filled and small cells dropped ([`fill_holes_and_remove_small_masks`]).
    /// Labels count from 1, 0 is background; where a cell has swallowed another one whole and `min_size` is 0, a number
    /// is missing. As `resize_and_compute_masks` of Cellpose 4.2.
    ///
    /// # Errors
    /// [`CellposeError`]: there are not three heads, a head holds a NaN, or there are too many pixels.
    pub fn segment(&self, heads: ArrayView3<'_, f32>) -> Result<Array2<u32>, CellposeError> {
        let labels = self.find(heads)?;
        Ok(fill_holes_and_remove_small_masks(labels, self.min_size))
    }

    /// [`Cellpose::segment`] with a label image of `size` rows and columns, the size of the image where heads have
    /// another: before holes are filled, every pixel takes the label of the nearest pixel of the heads, as
    /// [`resize_labels`] of one channel.
    ///
    /// # Errors
    /// As [`Cellpose::segment`].
    pub fn segment_resized(
        &self,
        heads: ArrayView3<'_, f32>,
        size: [usize; 2],
    ) -> Result<Array2<u32>, CellposeError> {
        let mut labels = self.find(heads)?;
        if <[usize; 2]>::from(labels.dim()) != size {
            if labels.is_empty() || size.contains(&0) {
                return Ok(Array2::zeros(size));
            }
            let one = labels.insert_axis(Axis(0)).insert_axis(Axis(3));
            let resized = resize_labels(one.view(), size);
            labels = resized
                .index_axis_move(Axis(3), 0)
                .index_axis_move(Axis(0), 0);
        }
        Ok(fill_holes_and_remove_small_masks(labels, self.min_size))
    }

    /// Labels whose holes are not filled.
    fn find(&self, heads: ArrayView3<'_, f32>) -> Result<Array2<u32>, CellposeError> {
        check(&heads)?;
        let (flows, cellprob) = heads.split_at(Axis(0), 2);
        let cellprob = cellprob.index_axis_move(Axis(0), 0);
        let threshold = self.cellprob_threshold as f32;
        let inside = Zip::from(&cellprob).par_map_collect(|&cellprob| cellprob > threshold);
        let labels = self.label(flows, inside.view())?;
        if self.flow_threshold > 0.0 {
            return Ok(remove_bad_flow_masks(labels, flows, self.flow_threshold));
        }
        Ok(labels)
    }

    /// Labels of the pixels inside cells by where the flows lead them.
    fn label(
        &self,
        flows: ArrayView3<'_, f32>,
        inside: ArrayView2<'_, bool>,
    ) -> Result<Array2<u32>, CellposeError> {
        let size: [usize; 2] = inside.dim().into();
        let too_large = CellposeError::TooLarge { size };
        let landing = Landing::new(size).ok_or(too_large.clone())?;
        let field = Field::new(size, |[row, column]| {
            let weight = f32::from(u8::from(inside[[row, column]]));
            [0, 1].map(|axis| flows[[axis, row, column]] * weight / 5.0)
        });
        let field = field.ok_or(too_large)?;
        let pixels = (0_u32..).zip(&inside).filter(|&(_, &inside)| inside);
        let mut pixels: Vec<u32> = pixels.map(|(pixel, _)| pixel).collect();
        // Every pixel is replaced by the place where it ends: there may be very many.
        pixels.par_chunks_mut(BATCH).for_each(|pixels| {
            let mut points = [[0.0; 2]; BATCH];
            for (point, &pixel) in points.iter_mut().zip(&*pixels) {
                let pixel = pixel as usize;
                *point = [pixel / size[1], pixel % size[1]].map(|index| index as f32);
            }
            field.follow(&mut points[..pixels.len()], self.steps);
            for (pixel, point) in pixels.iter_mut().zip(points) {
                *pixel = landing.place(point.map(truncated));
            }
        });
        drop(field);
        Ok(landing.label(pixels, inside.iter().copied(), self.max_size_fraction))
    }
}

/// Towards zero; what is not a number becomes the least integer, as in torch.
fn truncated(position: f32) -> i32 {
    if position.is_nan() {
        i32::MIN
    } else {
        position as i32
    }
}

fn check(heads: &ArrayView3<'_, f32>) -> Result<(), CellposeError> {
    let shape: [usize; 3] = heads.dim().into();
    if shape[0] != 3 {
        return Err(CellposeError::Heads { shape });
    }
    let (flows, cellprob) = heads.split_at(Axis(0), 2);
    for (head, planes) in [("flow", flows), ("cell probability", cellprob)] {
        let has_nan = |row: ArrayView2<'_, f32>| row.iter().any(|value| value.is_nan());
        if planes.axis_iter(Axis(1)).into_par_iter().any(has_nan) {
            return Err(CellposeError::NotANumber { head });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use proptest::prelude::*;

    use super::*;
    use crate::cellpose::{follow_flows, masks_of_positions};

    /// Heads of round cells, `[row, column, radius]`: exact flows, and a probability that falls with the distance.
    fn heads(size: [usize; 2], cells: &[[f32; 3]]) -> Array3<f32> {
        let mut heads = Array3::zeros((3, size[0], size[1]));
        heads.index_axis_mut(Axis(0), 2).fill(-6.0);
        for ((row, column), _) in Array2::<u8>::zeros(size).indexed_iter() {
            for [top, left, radius] in cells {
                let (down, across) = (top - row as f32, left - column as f32);
                let distance = down.hypot(across);
                let probability = radius - distance;
                if probability > heads[[2, row, column]] {
                    heads[[0, row, column]] = 5.0 * down / distance.max(1e-3);
                    heads[[1, row, column]] = 5.0 * across / distance.max(1e-3);
                    heads[[2, row, column]] = probability;
                }
            }
        }
        heads
    }

    const CELLS: [[f32; 3]; 3] = [[15.0, 12.0, 8.0], [15.0, 30.0, 9.0], [38.0, 20.0, 10.0]];

    #[test]
    fn touching_cells_are_told_apart_by_their_flows() {
        let heads = heads([50, 44], &CELLS);
        let labels = Cellpose::default().segment(heads.view()).unwrap();
        assert_eq!(labels.iter().max(), Some(&3));
        for [row, column, radius] in CELLS {
            let label = labels[[row as usize, column as usize]];
            let size = labels.iter().filter(|&&other| other == label).count() as f32;
            let expected = std::f32::consts::PI * radius * radius;
            assert!(
                (0.85..1.15).contains(&(size / expected)),
                "{size} pixels, not {expected}"
            );
        }
    }

    #[test]
    fn the_steps_are_those_that_can_be_called_alone() {
        let heads = heads([50, 44], &CELLS);
        let options = Cellpose {
            cellprob_threshold: -1.5,
            steps: 30,
            ..Cellpose::default()
        };
        let inside = heads.index_axis(Axis(0), 2).mapv(|value| value > -1.5);
        let (flows, _) = heads.view().split_at(Axis(0), 2);
        let weights = inside.mapv(|inside| f32::from(u8::from(inside)));
        let scaled = &flows * &weights / 5.0;
        let ends = follow_flows(scaled.view(), inside.view(), 30).mapv(truncated);
        let labels = masks_of_positions(ends.view(), inside.view(), 0.4);
        let labels = remove_bad_flow_masks(labels, flows, 0.4);
        let labels = fill_holes_and_remove_small_masks(labels, 15);
        assert_eq!(options.segment(heads.view()).unwrap(), labels);
        assert!(labels.iter().any(|&label| label > 0));
    }

    #[test]
    fn thresholds_drop_cells() {
        let mut heads = heads([50, 44], &CELLS);
        let count = |options: Cellpose, heads: &Array3<f32>| {
            options.segment(heads.view()).unwrap().iter().max().copied()
        };
        let large = Cellpose {
            min_size: 240,
            ..Cellpose::default()
        };
        assert_eq!(count(large, &heads), Some(2));
        let small = Cellpose {
            max_size_fraction: 0.1,
            ..Cellpose::default()
        };
        assert_eq!(count(small, &heads), Some(1));
        let sure = Cellpose {
            cellprob_threshold: 9.5,
            min_size: 0,
            ..Cellpose::default()
        };
        assert_eq!(count(sure, &heads), Some(0));
        heads
            .slice_axis_mut(Axis(0), (..2).into())
            .mapv_inplace(|flow| 3.0 * flow);
        assert_eq!(count(Cellpose::default(), &heads), Some(0));
        let unchecked = Cellpose {
            flow_threshold: 0.0,
            ..Cellpose::default()
        };
        assert_ne!(count(unchecked, &heads), Some(0));
    }

    #[test]
    fn labels_are_resized_before_holes_are_filled() {
        let heads = heads([50, 44], &CELLS);
        let labels = Cellpose::default()
            .segment_resized(heads.view(), [100, 66])
            .unwrap();
        assert_eq!((labels.dim(), labels.iter().max()), ((100, 66), Some(&3)));
        let same = Cellpose::default()
            .segment_resized(heads.view(), [50, 44])
            .unwrap();
        assert_eq!(same, Cellpose::default().segment(heads.view()).unwrap());
        let nothing = Cellpose::default()
            .segment_resized(heads.view(), [0, 44])
            .unwrap();
        assert_eq!(nothing.dim(), (0, 44));
        let from_nothing =
            Cellpose::default().segment_resized(Array3::zeros((3, 0, 4)).view(), [2, 2]);
        assert_eq!(from_nothing, Ok(Array2::zeros((2, 2))));
    }

    #[test]
    fn heads_that_make_no_sense_are_errors() {
        let segment = |heads: &Array3<f32>| Cellpose::default().segment(heads.view());
        let two = segment(&Array3::zeros((2, 5, 4)));
        assert_eq!(two, Err(CellposeError::Heads { shape: [2, 5, 4] }));
        for (plane, head) in [(0, "flow"), (1, "flow"), (2, "cell probability")] {
            let mut heads = Array3::zeros((3, 5, 4));
            heads[[plane, 4, 1]] = f32::NAN;
            assert_eq!(segment(&heads), Err(CellposeError::NotANumber { head }));
        }
        let one = Array3::zeros((1, 1, 1));
        let flows = one.broadcast((2, 1 << 20, 1 << 20)).unwrap();
        let inside = Array2::from_elem((1, 1), true);
        let inside = inside.broadcast((1 << 20, 1 << 20)).unwrap();
        let too_large = Cellpose::default().label(flows, inside);
        let size = [1 << 20, 1 << 20];
        assert_eq!(too_large, Err(CellposeError::TooLarge { size }));
    }

    proptest! {
        #[test]
        fn any_numbers_are_taken(
            rows in 0..9_usize, columns in 0..9_usize, steps in 0..50_u32,
            values in proptest::collection::vec(prop_oneof![
                Just(0.0_f32), Just(1.0), Just(-7.5), Just(f32::MAX), Just(f32::INFINITY), Just(f32::NEG_INFINITY),
            ], 3 * 9 * 9),
        ) {
            let heads = Array3::from_shape_fn((3, rows, columns), |(head, row, column)| {
                values[(head * 9 + row) * 9 + column]
            });
            let options = Cellpose { min_size: 0, max_size_fraction: 1.0, steps, ..Cellpose::default() };
            prop_assert_eq!(options.segment(heads.view()).unwrap().dim(), (rows, columns));
        }
    }
}
