//! Functions that older models were trained with, as the libraries of their time computed them:
//! `DeepCell`'s toolbox 0.2 to 0.8 over scikit-image 0.16, as in Kiosk consumers 0.3 to 0.8.
//!
//! Border: what has not changed since is in [`crate::segmentation`]; which model wants which
//! function, and on which channel, is the caller's business.

use ndarray::{Array, Array2, Array3, ArrayView2, ArrayView3, Axis, Dimension};

use crate::plane::{as_row_major, from_values};
use crate::segmentation::{
    Connectivity, DeepWatershedError, LocalMaxima, erode_edges, label, peak_local_max,
    relabel_sequential, remove_small_objects, square_maximum, standardize, watershed,
};

/// Shifts and scales all values of an array together to mean 0 and standard deviation 1, as
/// consumers 0.3 to 0.6 did.
///
/// Population deviation without an epsilon: an array of one value becomes NaN. Mean and deviation
/// in `f64`, the rest in `f32`; the result is in standard layout.
#[must_use]
pub fn normalize_whole<D: Dimension>(image: Array<f32, D>) -> Array<f32, D> {
    let mut image = image.as_standard_layout().into_owned();
    if let Some(values) = image.as_slice_mut() {
        standardize(values, 0.0);
    }
    image
}

/// The deep watershed of `DeepCell`'s toolbox 0.2 to 0.8, in consumers since 0.5: nothing is
/// smoothed, of equal peaks all stay, and edges are always eroded once.
#[derive(Clone, Debug, PartialEq)]
pub struct LegacyDeepWatershed {
    /// Half the side, in pixels, of the square in which a peak is the maximum (default 10).
    pub min_distance: usize,
    /// Value of the maxima head that a peak exceeds (default 0.1).
    pub detection_threshold: f64,
    /// Value of the interior head that the foreground exceeds (default 0.01).
    pub distance_threshold: f64,
    /// Whether peaks keep `min_distance` from the image's sides (default: no).
    pub exclude_border: bool,
    /// Objects of fewer pixels are dropped (default 0).
    pub small_objects_threshold: usize,
}

impl Default for LegacyDeepWatershed {
    fn default() -> Self {
        Self {
            min_distance: 10,
            detection_threshold: 0.1,
            distance_threshold: 0.01,
            exclude_border: false,
            small_objects_threshold: 0,
        }
    }
}

impl LegacyDeepWatershed {
    /// Label images `[batch, row, column]` from the two heads of the same shape; labels count
    /// from 1 in every batch item, 0 is background.
    ///
    /// # Errors
    /// [`DeepWatershedError`]: the shapes differ or a head holds a NaN.
    pub fn segment(
        &self,
        maxima: ArrayView3<'_, f32>,
        interior: ArrayView3<'_, f32>,
    ) -> Result<Array3<u32>, DeepWatershedError> {
        if maxima.dim() != interior.dim() {
            let (maxima, interior) = (maxima.dim().into(), interior.dim().into());
            return Err(DeepWatershedError::ShapeMismatch { maxima, interior });
        }
        for (head, values) in [("maxima", &maxima), ("interior", &interior)] {
            if values.iter().any(|value| value.is_nan()) {
                return Err(DeepWatershedError::NotANumber { head });
            }
        }
        let mut labels = Array3::zeros(maxima.dim());
        let heads = maxima.outer_iter().zip(interior.outer_iter());
        for (mut labels, (maxima, interior)) in labels.outer_iter_mut().zip(heads) {
            labels.assign(&self.segment_plane(maxima, interior));
        }
        Ok(labels)
    }

    fn segment_plane(
        &self,
        maxima: ArrayView2<'_, f32>,
        interior: ArrayView2<'_, f32>,
    ) -> Array2<u32> {
        let mut peaks = peaks_016(maxima, self.min_distance, self.detection_threshold);
        if self.exclude_border {
            clear_border(&mut peaks, self.min_distance);
        }
        let markers = label(peaks.view(), Connectivity::Eight);
        let threshold = self.distance_threshold as f32;
        let inside = interior.mapv(|value| value > threshold);
        let heights = interior.mapv(|value| -value);
        let mut labels = watershed(heights.view(), markers.view(), inside.view());
        erode_edges(&mut labels, 1);
        remove_small_objects(&mut labels, self.small_objects_threshold);
        relabel_sequential(labels)
    }
}

/// Labels `[row, column]` of the 4-connected components of what exceeds `threshold` (in `f32`) in
/// a plane `[row, column]`.
///
/// Components of fewer than `min_size` pixels are dropped, the others keep their numbers.
#[must_use]
pub fn pixelwise(interior: ArrayView2<'_, f32>, threshold: f64, min_size: usize) -> Array2<u32> {
    let threshold = threshold as f32;
    let mut labels = label(
        interior.mapv(|value| value > threshold).view(),
        Connectivity::Four,
    );
    remove_small_objects(&mut labels, min_size);
    labels
}

/// The libraries whose results a legacy function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// scikit-image 0.16, consumers 0.3 to 0.8.
    SkImage016,
    /// scikit-image 0.21, the last Python consumers.
    SkImage021,
}

/// Watershed over the scores of pixel classes, of which the first is background and the last the
/// middle of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassWatershed {
    /// Half the side, in pixels, of the square in which a peak is the maximum (default 10).
    pub min_distance: usize,
    /// Value of the last class that a peak exceeds (default 0.05).
    pub threshold: f64,
    /// Objects of fewer pixels are dropped (default 50).
    pub min_size: usize,
    /// Which library finds the peaks; the newer one also keeps them apart.
    pub era: Era,
}

impl ClassWatershed {
    /// The parameters that consumers used.
    #[must_use]
    pub fn new(era: Era) -> Self {
        Self {
            min_distance: 10,
            threshold: 0.05,
            min_size: 50,
            era,
        }
    }

    /// Labels `[row, column]`, not renumbered, from class scores `[row, column, class]`.
    ///
    /// A pixel's level is its best class (the first among equals), 0 is background. Markers are
    /// peaks of the last class inside the foreground's bounding box.
    #[must_use]
    pub fn segment(&self, scores: ArrayView3<'_, f32>) -> Array2<u32> {
        let (rows, columns, classes) = scores.dim();
        let levels = scores.map_axis(Axis(2), |scores| best_class(scores.iter()));
        let inside = levels.mapv(|level| level > 0);
        // As scikit-image does it: peaks are looked for in the foreground's box, whose edge counts as that of the plane.
        let Some([top, bottom, left, right]) = bounding_box(inside.view()) else {
            return Array2::zeros((rows, columns));
        };
        let outside = if self.era == Era::SkImage016 {
            0.0
        } else {
            f32::MIN
        };
        let window = Array2::from_shape_fn((bottom - top, right - left), |(row, column)| {
            let pixel = [top + row, left + column];
            if inside[pixel] {
                scores[[pixel[0], pixel[1], classes - 1]]
            } else {
                outside
            }
        });
        let mut peaks = Array2::default((rows, columns));
        for [row, column] in self.peaks(window.view()) {
            peaks[[top + row, left + column]] = true;
        }
        let markers = label(peaks.view(), Connectivity::Four);
        let heights = levels.mapv(|level| -(level as f32));
        let mut labels = watershed(heights.view(), markers.view(), inside.view());
        remove_small_objects(&mut labels, self.min_size);
        labels
    }

    fn peaks(&self, window: ArrayView2<'_, f32>) -> Vec<[usize; 2]> {
        let (min_distance, threshold) = (self.min_distance, self.threshold);
        if self.era == Era::SkImage021 {
            return peak_local_max(
                window,
                &LocalMaxima {
                    min_distance,
                    threshold,
                    border: 0,
                },
            );
        }
        let peaks = peaks_016(window, min_distance, threshold);
        let peaks = peaks.indexed_iter().filter(|(_, is_peak)| **is_peak);
        peaks.map(|((row, column), _)| [row, column]).collect()
    }
}

/// Labels `[row, column]` from edge and interior scores, the first two channels of
/// `[row, column, channel]`: what is interior and not edge grows and shrinks in turns.
///
/// As the `mibi` post-processing of consumers 0.3 to 0.6; both thresholds are 0.25.
#[must_use]
pub fn mibi(scores: ArrayView3<'_, f32>) -> Array2<u32> {
    const THRESHOLD: f32 = 0.25;
    const MIN_SIZE: usize = 50;
    let edge = scores
        .index_axis(Axis(2), 0)
        .mapv(|value| value >= THRESHOLD);
    let inner = scores
        .index_axis(Axis(2), 1)
        .mapv(|value| value >= THRESHOLD);
    let seeds = Array2::from_shape_fn(inner.dim(), |pixel| inner[pixel] && !edge[pixel]);
    let mut seeds = label(seeds.view(), Connectivity::Four);
    remove_small_objects(&mut seeds, MIN_SIZE);
    let mut labels = label(seeds.mapv(|seed| seed > 0).view(), Connectivity::Eight);
    let everywhere = Array2::from_elem(inner.dim(), true);
    // Each round gains a pixel within the interior; the last two close gaps of a pixel and take the outline back.
    for _ in 0..8 {
        grow(&mut labels, &inner, 2);
        shrink(&mut labels, 1);
    }
    grow(&mut labels, &inner, 2);
    for _ in 0..2 {
        grow(&mut labels, &everywhere, 1);
        shrink(&mut labels, 2);
    }
    labels
}

/// Pixels that equal the maximum of the square around them, zeros outside the plane, and
/// exceed `threshold`; none in a plane of one value.
fn peaks_016(image: ArrayView2<'_, f32>, distance: usize, threshold: f64) -> Array2<bool> {
    let image = image.as_standard_layout();
    let (rows, columns) = image.dim();
    let image = as_row_major(&image);
    let threshold = threshold as f32;
    let varies = image.iter().any(|value| *value != image[0]);
    let maxima = square_maximum(image, [rows, columns], distance);
    let is_peak = |(index, (&value, &maximum)): (usize, (&f32, &f32))| {
        let (row, column) = (index / columns, index % columns);
        let inside =
            row.min(column) >= distance && row + distance < rows && column + distance < columns;
        let maximum = if inside { maximum } else { maximum.max(0.0) };
        varies && value == maximum && value > threshold
    };
    let peaks = image.iter().zip(&maxima).enumerate().map(is_peak);
    from_values([rows, columns], peaks.collect())
}

fn clear_border(mask: &mut Array2<bool>, width: usize) {
    let (rows, columns) = mask.dim();
    for ((row, column), pixel) in mask.indexed_iter_mut() {
        *pixel &= row.min(column) >= width && row + width < rows && column + width < columns;
    }
}

fn best_class<'a>(scores: impl Iterator<Item = &'a f32>) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &score) in scores.enumerate() {
        if score > best.1 {
            best = (class, score);
        }
    }
    best.0
}

/// First and end row, first and end column of what is `true`.
fn bounding_box(mask: ArrayView2<'_, bool>) -> Option<[usize; 4]> {
    let inside = mask.indexed_iter().filter(|(_, inside)| **inside);
    inside.fold(None, |extent, ((row, column), _)| {
        let [top, bottom, left, right] = extent.unwrap_or([row, row + 1, column, column + 1]);
        Some([
            top,
            bottom.max(row + 1),
            left.min(column),
            right.max(column + 1),
        ])
    })
}

/// Lets background pixels of `mask` take the largest label beside them, `times` times.
fn grow(labels: &mut Array2<u32>, mask: &Array2<bool>, times: usize) {
    for _ in 0..times {
        let before = labels.clone();
        for ((row, column), label) in labels.indexed_iter_mut() {
            if *label == 0 && mask[[row, column]] {
                *label = cross(&before, [row, column]).into_iter().max().unwrap_or(0);
            }
        }
    }
}

/// Clears labeled pixels beside a smaller label, `times` times.
fn shrink(labels: &mut Array2<u32>, times: usize) {
    for _ in 0..times {
        let before = labels.clone();
        for ((row, column), label) in labels.indexed_iter_mut() {
            if cross(&before, [row, column]).into_iter().min() != Some(*label) {
                *label = 0;
            }
        }
    }
}

/// A pixel and those above, left, right and below; the border repeats the edge pixel.
fn cross(labels: &Array2<u32>, [row, column]: [usize; 2]) -> [u32; 5] {
    let (rows, columns) = labels.dim();
    [
        labels[[row, column]],
        labels[[row.saturating_sub(1), column]],
        labels[[row, column.saturating_sub(1)]],
        labels[[row, (column + 1).min(columns - 1)]],
        labels[[(row + 1).min(rows - 1), column]],
    ]
}
