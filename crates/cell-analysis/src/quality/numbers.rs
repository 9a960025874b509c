//! The numbers.

use ndarray::{ArrayView2, CowArray};
use serde::{Deserialize, Serialize};

use super::image::ImageQuality;
use crate::plane::as_row_major;
use crate::regions::{Numbering, Run, runs};

/// Cells of less than this many medians of the area are tiny.
const TINY: f64 = 0.2;

/// Cells of more than this many medians of the area are huge.
const HUGE: f64 = 5.0;

/// How good a segmentation seems to be. What cannot be told of an image is left out of its JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quality {
    /// Cells.
    pub cells: usize,
    /// The percentiles 10, 50 and 90 of their areas, in pixels; nearest ranks.
    pub area: [usize; 3],
    /// The share of pixels that are labeled.
    pub cover: f64,
    /// The share of cells that touch the border of the image.
    pub border: f64,
    /// Cells of less than 0.2 times the median of the areas.
    pub tiny: usize,
    /// Cells of more than 5 times the median of the areas.
    pub huge: usize,
    /// The share of pixels that the largest cell has.
    pub largest: f64,
    /// The median of the light in cells less that outside, over the median absolute deviation outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contrast: Option<f64>,
    /// The share of pixels at the largest value of the file's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sat: Option<f64>,
    /// The variance of the Laplacian over that of the light.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub focus: Option<f64>,
}

impl Quality {
    /// The quality of these labels `[row, column]`, 0 for the background, on an image of the same shape.
    ///
    /// Shares and ratios have three significant digits.
    ///
    /// # Panics
    ///
    /// If the image has another shape.
    #[must_use]
    pub fn of(labels: ArrayView2<'_, u32>, image: &ImageQuality) -> Self {
        assert_eq!(image.shape(), labels.dim(), "labels and image of one shape");
        let labels = CowArray::from(labels.as_standard_layout());
        let sizes = Sizes::of(as_row_major(&labels), labels.ncols());
        let mut areas = sizes.areas;
        areas.sort_unstable();
        let rank = |share: f64| {
            let last = areas.len().saturating_sub(1) as f64;
            areas
                .get((share * last).round() as usize)
                .copied()
                .unwrap_or(0)
        };
        let (cells, median, pixels) = (areas.len(), rank(0.5) as f64, labels.len() as f64);
        let beyond =
            |is: &dyn Fn(f64) -> bool| areas.iter().filter(|area| is(**area as f64)).count();
        Self {
            cells,
            area: [rank(0.1), rank(0.5), rank(0.9)],
            cover: share(areas.iter().sum::<usize>() as f64, pixels),
            border: share(sizes.at_border as f64, cells as f64),
            tiny: beyond(&|area| area < TINY * median),
            huge: beyond(&|area| area > HUGE * median),
            largest: share(rank(1.0) as f64, pixels),
            contrast: image.contrast(as_row_major(&labels)).map(rounded),
            sat: image.saturated().map(rounded),
            focus: image.focus().map(rounded),
        }
    }

    /// The numbers as one line of JSON, at most 300 bytes.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Areas of all labels, and how many of them touch the border.
struct Sizes {
    areas: Vec<usize>,
    at_border: usize,
}

impl Sizes {
    fn of(plane: &[u32], columns: usize) -> Self {
        let runs = runs(plane, columns);
        let numbering = Numbering::of(&runs);
        let last_row = (plane.len() / columns.max(1)).saturating_sub(1);
        let mut areas = vec![0; numbering.labels.len()];
        let mut at_border = vec![false; areas.len()];
        for Run {
            row,
            columns: run,
            label,
        } in &runs
        {
            let cell = numbering.place(*label);
            areas[cell] += run.len();
            at_border[cell] |=
                *row == 0 || *row == last_row || run.start == 0 || run.end == columns;
        }
        let at_border = at_border.into_iter().filter(|touches| *touches).count();
        Self { areas, at_border }
    }
}

pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        rounded(part / whole)
    } else {
        0.0
    }
}

/// With three significant digits.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
