//! Regions of a label image, measured in two passes over it.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, CowArray};
use rayon::prelude::*;

use super::hull::convex_area;
use super::moments::Moments;
use super::numbering::Numbering;
use super::perimeter::perimeters;
use super::runs::{Run, runs};
use crate::plane::as_row_major;

/// A region: all pixels of one label, connected or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its label.
    pub label: u32,
    /// Pixels.
    pub area: usize,
    /// Mean row and column of its pixels.
    pub centroid: [f64; 2],
    /// Rows of its bounding box.
    pub rows: Range<usize>,
    /// Columns of its bounding box.
    pub columns: Range<usize>,
    /// Length of its outline in pixels, as scikit-image's `perimeter` with four neighbors; 0 for one or two pixels.
    pub perimeter: f64,
    /// Of the ellipse with the same second moments, 0 (a disk) to 1 (a line).
    pub eccentricity: f64,
    /// Pixels of its convex hull; the hull is that of the middles of its pixels' edges.
    pub convex_area: u64,
    /// Whether a pixel lies on the border of the image.
    pub touches_border: bool,
}

impl Region {
    /// The share of the convex hull that it fills, above 0 to 1.
    #[must_use]
    pub fn solidity(&self) -> f64 {
        self.area as f64 / self.convex_area as f64
    }
}

/// Regions with the light in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Regions {
    /// The regions, by ascending labels.
    pub regions: Vec<Region>,
    /// `[region, channel]`: sums of the values of the channels.
    pub integrated: Array2<f64>,
}

impl Regions {
    /// The mean of a channel's values in a region.
    ///
    /// # Panics
    ///
    /// If there is no such region or channel.
    #[must_use]
    pub fn mean_intensity(&self, region: usize, channel: usize) -> f64 {
        self.integrated[[region, channel]] / self.regions[region].area as f64
    }
}

/// The regions of a label image `[row, column]`, 0 for the background, and the light of each channel, `[row, column]`, in them.
///
/// Values are those of scikit-image's `regionprops`; the perimeter is that of each region alone. Sums are exact but for
/// intensities, which are added row by row in `f64`; a value that is not finite makes the sum so.
///
/// ```
/// use cell_analysis::regions::measure_regions;
/// use ndarray::array;
///
/// let labels = array![[0, 7, 7], [0, 7, 7], [2, 0, 0]];
/// let light = array![[9.0, 1.0, 2.0], [9.0, 3.0, 4.0], [5.0, 9.0, 9.0]];
/// let found = measure_regions(labels.view(), &[light.view()]);
/// assert_eq!(found.regions[1].label, 7);
/// assert_eq!(found.regions[1].centroid, [0.5, 1.5]);
/// assert_eq!(found.mean_intensity(1, 0), 2.5);
/// ```
///
/// # Panics
///
/// If a channel has another shape than the labels.
#[must_use]
pub fn measure_regions(labels: ArrayView2<'_, u32>, channels: &[ArrayView2<'_, f32>]) -> Regions {
    let [rows, columns] = [labels.nrows(), labels.ncols()];
    let same_shape = channels.iter().all(|channel| channel.dim() == labels.dim());
    assert!(same_shape, "labels and channels of one image");
    let labels = CowArray::from(labels.as_standard_layout());
    let plane = as_row_major(&labels);
    let runs = runs(plane, columns);
    let numbering = Numbering::of(&runs);
    let count = numbering.labels.len();
    let (perimeters, (runs, ends)) = rayon::join(
        || perimeters(plane, columns, count, |label| numbering.place(label)),
        || numbering.sort(runs),
    );
    let runs_of =
        |region: usize| &runs[region.checked_sub(1).map_or(0, |last| ends[last])..ends[region]];
    let regions = perimeters.into_par_iter().enumerate();
    let regions: Vec<Region> = regions
        .map(|(region, perimeter)| measured(runs_of(region), perimeter, [rows, columns]))
        .collect();
    Regions {
        regions,
        integrated: integrated(channels, count, runs_of),
    }
}

/// The region of these runs, of which there is at least one.
fn measured(runs: &[Run<u32>], perimeter: f64, [height, width]: [usize; 2]) -> Region {
    let mut moments = Moments::default();
    runs.iter().for_each(|run| moments.add(run));
    let (rows, columns) = (moments.rows(), moments.columns());
    Region {
        label: runs[0].label,
        area: moments.area(),
        centroid: moments.centroid(),
        perimeter,
        eccentricity: moments.eccentricity(),
        convex_area: convex_area(runs),
        touches_border: rows.start == 0
            || columns.start == 0
            || rows.end == height
            || columns.end == width,
        rows,
        columns,
    }
}

/// Sums of the values of each channel in each region.
fn integrated<'r>(
    channels: &[ArrayView2<'_, f32>],
    count: usize,
    runs_of: impl Fn(usize) -> &'r [Run<u32>] + Sync,
) -> Array2<f64> {
    let mut sums = Array2::zeros((count, channels.len()));
    for (channel, mut sums) in channels.iter().zip(sums.columns_mut()) {
        let values = CowArray::from(channel.as_standard_layout());
        let (values, columns) = (as_row_major(&values), channel.ncols());
        let of_run = |run: &Run<u32>| {
            let line = run.row * columns;
            let values = &values[line + run.columns.start..line + run.columns.end];
            values.iter().map(|&value| f64::from(value)).sum::<f64>()
        };
        let found: Vec<f64> = (0..count)
            .into_par_iter()
            .map(|region| runs_of(region).iter().map(of_run).sum())
            .collect();
        sums.iter_mut()
            .zip(found)
            .for_each(|(sum, found)| *sum = found);
    }
    sums
}
