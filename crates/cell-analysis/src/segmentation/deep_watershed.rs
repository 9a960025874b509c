//! From two model heads to a label image: "deep watershed", as `DeepCell`'s models use it
//! (Greenwald et al., "Whole-cell segmentation of tissue images with human-level performance",
//! Nature Biotechnology 2022).
//!
//! Border: the order of the steps and their parameters; each step is a neighboring module.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Zip};
use rayon::prelude::*;
use thiserror::Error;

use super::gaussian::gaussian_filter;
use super::label::{Connectivity, component_runs, relabel_sequential};
use super::morphology::dilation_square;
use super::peaks::{LocalMaxima, h_maxima, peak_local_max};
use super::region::{erode_edges, fill_holes, remove_small_objects};
use super::watershed::watershed_from_runs;

/// Why heads cannot be segmented.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum DeepWatershedError {
    /// The heads show images of different sizes.
    #[error("maxima head has shape {maxima:?}, interior head {interior:?}")]
    ShapeMismatch {
        /// Shape of the maxima head.
        maxima: [usize; 3],
        /// Shape of the interior head.
        interior: [usize; 3],
    },
    /// A head holds a value that is not a number.
    #[error("{head} head holds a value that is not a number")]
    NotANumber {
        /// `maxima` or `interior`.
        head: &'static str,
    },
    /// The maxima threshold cannot be the height of an h-maximum: it is not positive in `f32`.
    #[error("maxima threshold {threshold} is not positive")]
    MaximaThreshold {
        /// The threshold.
        threshold: f64,
    },
}

/// How markers are found in the maxima head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaximaAlgorithm {
    /// [`h_maxima`] of height `maxima_threshold` over disks of `radius`.
    HMaxima,
    /// [`peak_local_max`] above `maxima_threshold` at least `radius` apart.
    PeakLocalMax,
}

/// How wide a border of the image has no peaks; [`MaximaAlgorithm::PeakLocalMax`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExcludeBorder {
    /// Peaks lie anywhere.
    Nowhere,
    /// Not within `radius` pixels of a side.
    Radius,
    /// Not within that many pixels of a side.
    Pixels(usize),
}

/// Parameters of the deep watershed: markers from the maxima head grow over the interior head.
///
/// The default is that of `deep_watershed` in `DeepCell`'s toolbox.
///
/// ```
/// # use cell_analysis::segmentation::DeepWatershed;
/// # use ndarray::array;
/// let maxima = array![[[0.0, 0.9, 0.0, 0.0, 0.8, 0.0_f32]]];
/// let interior = array![[[0.5, 1.0, 0.4, 0.5, 1.0, 0.0_f32]]];
/// let options = DeepWatershed { radius: 1, interior_smooth: 0.0, ..DeepWatershed::default() };
/// let labels = options.segment(maxima, interior)?;
/// assert_eq!(labels, array![[[1, 1, 1, 2, 2, 0]]]);
/// # Ok::<(), cell_analysis::segmentation::DeepWatershedError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DeepWatershed {
    /// Reach of a maximum in pixels (default 10).
    pub radius: usize,
    /// Height of a maximum over its surroundings, or its least value (default 0.1).
    pub maxima_threshold: f64,
    /// Value of the interior head that the foreground exceeds (default 0.01).
    pub interior_threshold: f64,
    /// Standard deviation in pixels of the smoothing of the maxima head (default 0).
    pub maxima_smooth: f64,
    /// Standard deviation in pixels of the smoothing of the interior head (default 1).
    pub interior_smooth: f64,
    /// Objects of fewer pixels are dropped (default 0).
    pub small_objects_threshold: usize,
    /// Holes of fewer pixels are filled (default 0).
    pub fill_holes_threshold: usize,
    /// How often the edge of every object is cleared (default 0).
    pub label_erosion: usize,
    /// Half the side, in pixels, of the square by which the interior grows (default none).
    pub pixel_expansion: Option<usize>,
    /// How markers are found (default h-maxima).
    pub maxima_algorithm: MaximaAlgorithm,
    /// How wide a border has no peaks (default: peaks lie anywhere).
    pub exclude_border: ExcludeBorder,
}

impl Default for DeepWatershed {
    fn default() -> Self {
        Self {
            radius: 10,
            maxima_threshold: 0.1,
            interior_threshold: 0.01,
            maxima_smooth: 0.0,
            interior_smooth: 1.0,
            small_objects_threshold: 0,
            fill_holes_threshold: 0,
            label_erosion: 0,
            pixel_expansion: None,
            maxima_algorithm: MaximaAlgorithm::HMaxima,
            exclude_border: ExcludeBorder::Nowhere,
        }
    }
}

impl DeepWatershed {
    /// Parameters for the nuclear model.
    #[must_use]
    pub fn nuclear() -> Self {
        Self::default()
    }

    /// Parameters for the cytoplasm model.
    #[must_use]
    pub fn cytoplasm() -> Self {
        Self::default()
    }

    /// Parameters for the whole-cell heads of Mesmer.
    #[must_use]
    pub fn mesmer_whole_cell() -> Self {
        Self {
            maxima_threshold: 0.075,
            ..Self::mesmer_nuclear()
        }
    }

    /// Parameters for the nuclear heads of Mesmer.
    #[must_use]
    pub fn mesmer_nuclear() -> Self {
        Self {
            radius: 2,
            interior_threshold: 0.2,
            interior_smooth: 2.0,
            small_objects_threshold: 15,
            fill_holes_threshold: 15,
            ..Self::default()
        }
    }

    /// Label images `[batch, row, column]` from the two heads of the same shape.
    ///
    /// Labels count from 1 in every batch item, 0 is background. Markers grow over the smoothed
    /// interior, brightest pixels first, where it exceeds the threshold (compared in `f32`); a
    /// stretch of interior without a marker stays background. The heads are taken by value since
    /// each is freed as soon as it has been read: at its peak this needs three planes of 32 bits.
    ///
    /// # Errors
    /// [`DeepWatershedError`]: the shapes differ, a head holds a NaN, or the height of the
    /// h-maxima is not positive.
    pub fn segment(
        &self,
        maxima: Array3<f32>,
        interior: Array3<f32>,
    ) -> Result<Array3<u32>, DeepWatershedError> {
        self.check(&maxima.view(), &interior.view())?;
        if maxima.dim().0 == 1 {
            let [maxima, interior] =
                [maxima, interior].map(|head| head.index_axis_move(Axis(0), 0));
            return Ok(self.segment_plane(maxima, interior).insert_axis(Axis(0)));
        }
        let mut labels = Array3::zeros(maxima.dim());
        Zip::from(labels.outer_iter_mut())
            .and(maxima.outer_iter())
            .and(interior.outer_iter())
            .into_par_iter()
            .for_each(|(mut labels, maxima, interior)| {
                labels.assign(&self.segment_plane(maxima.to_owned(), interior.to_owned()));
            });
        Ok(labels)
    }

    fn check(
        &self,
        maxima: &ArrayView3<'_, f32>,
        interior: &ArrayView3<'_, f32>,
    ) -> Result<(), DeepWatershedError> {
        if maxima.dim() != interior.dim() {
            let (maxima, interior) = (maxima.dim().into(), interior.dim().into());
            return Err(DeepWatershedError::ShapeMismatch { maxima, interior });
        }
        for (head, values) in [("maxima", maxima), ("interior", interior)] {
            if values.axis_iter(Axis(1)).into_par_iter().any(has_nan) {
                return Err(DeepWatershedError::NotANumber { head });
            }
        }
        let threshold = self.maxima_threshold;
        let is_height = threshold as f32 > 0.0;
        if self.maxima_algorithm == MaximaAlgorithm::HMaxima && !is_height {
            return Err(DeepWatershedError::MaximaThreshold { threshold });
        }
        Ok(())
    }

    fn segment_plane(&self, maxima: Array2<f32>, interior: Array2<f32>) -> Array2<u32> {
        // Planes are large: each is dropped as soon as the next step no longer needs it.
        let maxima = smoothed(maxima, self.maxima_smooth);
        let peaks = self.maxima(maxima.view());
        drop(maxima);
        let columns = peaks.ncols();
        let (peaks, _) = peaks.into_raw_vec_and_offset();
        let markers = component_runs(&peaks, columns, Connectivity::Eight);
        drop(peaks);
        let mut interior = smoothed(interior, self.interior_smooth);
        if let Some(radius) = self.pixel_expansion {
            interior = dilation_square(interior.view(), radius);
        }
        // Water rises from the lowest pixel, so the brightest interior has to be the deepest.
        let threshold = self.interior_threshold as f32;
        let inside = Zip::from(&interior).par_map_collect(|&value| value > threshold);
        let mut heights = interior;
        heights.par_mapv_inplace(|value| -value);
        let mut labels = watershed_from_runs(heights.view(), markers, inside.view());
        drop((heights, inside));
        // In this order: erosion makes objects small, and only what remains has holes to fill.
        erode_edges(&mut labels, self.label_erosion);
        if self.small_objects_threshold > 0 {
            remove_small_objects(&mut labels, self.small_objects_threshold);
        }
        if self.fill_holes_threshold > 0 {
            fill_holes(&mut labels, self.fill_holes_threshold);
        }
        relabel_sequential(labels)
    }

    fn maxima(&self, image: ArrayView2<'_, f32>) -> Array2<bool> {
        if self.maxima_algorithm == MaximaAlgorithm::HMaxima {
            return h_maxima(image, self.maxima_threshold, self.radius);
        }
        let border = match self.exclude_border {
            ExcludeBorder::Nowhere => 0,
            ExcludeBorder::Radius => self.radius,
            ExcludeBorder::Pixels(pixels) => pixels,
        };
        let (min_distance, threshold) = (self.radius, self.maxima_threshold);
        let peaks = peak_local_max(
            image,
            &LocalMaxima {
                min_distance,
                threshold,
                border,
            },
        );
        let mut mask = Array2::default(image.dim());
        peaks.into_iter().for_each(|peak| mask[peak] = true);
        mask
    }
}

fn smoothed(image: Array2<f32>, sigma: f64) -> Array2<f32> {
    if sigma > 0.0 {
        gaussian_filter(image.view(), sigma)
    } else {
        image
    }
}

/// Whether a row of all batch items has a NaN. Without a way out within a row, this takes several values at a time.
fn has_nan(row: ArrayView2<'_, f32>) -> bool {
    row.iter()
        .fold(false, |found, value| found | value.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two bumps per item.
    fn heads() -> (Array3<f32>, Array3<f32>) {
        let bump = |row: usize, column: usize, at: (f32, f32), radius: f32| {
            (1.0 - (row as f32 - at.0).hypot(column as f32 - at.1) / radius).max(0.0)
        };
        let head = |radius| {
            Array3::from_shape_fn((2, 40, 60), |(_, row, column)| {
                bump(row, column, (18.0, 15.0), radius)
                    + 0.9 * bump(row, column, (20.0, 42.0), radius)
            })
        };
        (head(8.0), head(12.0))
    }

    #[test]
    fn every_batch_item_counts_from_one() {
        let (maxima, interior) = heads();
        let labels = DeepWatershed::nuclear()
            .segment(maxima.clone(), interior.clone())
            .unwrap();
        for item in labels.outer_iter() {
            assert_eq!((item[[18, 15]], item[[20, 42]], item[[0, 0]]), (1, 2, 0));
        }
    }

    #[test]
    fn both_ways_to_find_markers_see_two_bumps() {
        let (maxima, interior) = heads();
        let options = DeepWatershed {
            maxima_algorithm: MaximaAlgorithm::PeakLocalMax,
            ..DeepWatershed::nuclear()
        };
        let peaks = options.segment(maxima.clone(), interior.clone()).unwrap();
        assert_eq!(
            peaks,
            DeepWatershed::nuclear()
                .segment(maxima.clone(), interior.clone())
                .unwrap()
        );
    }

    #[test]
    fn peaks_near_the_border_can_be_excluded() {
        let (maxima, interior) = heads();
        let options = DeepWatershed {
            maxima_algorithm: MaximaAlgorithm::PeakLocalMax,
            exclude_border: ExcludeBorder::Pixels(16),
            ..DeepWatershed::nuclear()
        };
        let labels = options.segment(maxima.clone(), interior.clone()).unwrap();
        assert_eq!((labels[[0, 18, 15]], labels[[0, 20, 42]]), (0, 1));
    }

    #[test]
    fn heads_with_nan_are_refused() {
        let (maxima, interior) = heads();
        let mut broken = interior.clone();
        broken[[1, 2, 3]] = f32::NAN;
        let refused = DeepWatershed::nuclear().segment(maxima.clone(), broken.clone());
        assert_eq!(
            refused,
            Err(DeepWatershedError::NotANumber { head: "interior" })
        );
        let refused = DeepWatershed::nuclear().segment(broken, interior);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "maxima head holds a value that is not a number"
        );
    }

    #[test]
    fn heads_of_different_sizes_and_flat_maxima_are_refused() {
        let (maxima, interior) = heads();
        let (_, half) = interior.view().split_at(Axis(0), 1);
        let refused = DeepWatershed::nuclear()
            .segment(maxima.clone(), half.to_owned())
            .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "maxima head has shape [2, 40, 60], interior head [1, 40, 60]"
        );
        let flat = DeepWatershed {
            maxima_threshold: 0.0,
            ..DeepWatershed::nuclear()
        };
        let refused = flat.segment(maxima.clone(), interior.clone()).unwrap_err();
        assert_eq!(
            refused,
            DeepWatershedError::MaximaThreshold { threshold: 0.0 }
        );
    }
}
