//! What suppression is told: thresholds, the grid of the model, and the margin.

/// How the heads of a StarDist model become polygons and labels.
///
/// The default has the thresholds that stardist gives to a new model, and a grid of single pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct StarDist {
    /// What the probability of a polygon exceeds, compared in `f32` (default 0.5).
    pub probability_threshold: f64,
    /// The share of the smaller polygon that two of them may have in common (default 0.4).
    pub overlap_threshold: f64,
    /// Pixels of the image for each cell of the heads, down and across (default 1).
    pub grid: [usize; 2],
    /// Cells of the heads that have no polygons: before and behind the rows, before and behind the columns (default 2).
    pub margin: [[usize; 2]; 2],
}

impl Default for StarDist {
    fn default() -> Self {
        Self {
            probability_threshold: 0.5,
            overlap_threshold: 0.4,
            grid: [1, 1],
            margin: [[2, 2], [2, 2]],
        }
    }
}

impl StarDist {
    /// For the published model `2D_versatile_fluo`: fluorescent nuclei.
    #[must_use]
    pub fn versatile_fluo() -> Self {
        Self {
            probability_threshold: 0.479_071_463_157_368,
            overlap_threshold: 0.3,
            grid: [2, 2],
            ..Self::default()
        }
    }

    /// For the published model `2D_versatile_he`: nuclei stained with hematoxylin and eosin.
    #[must_use]
    pub fn versatile_he() -> Self {
        Self {
            probability_threshold: 0.692_478_254_138_208_4,
            ..Self::versatile_fluo()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_models_predict_every_other_pixel() {
        let [fluorescence, stained] = [StarDist::versatile_fluo(), StarDist::versatile_he()];
        assert_eq!((fluorescence.grid, stained.grid), ([2, 2], [2, 2]));
        assert!(fluorescence.probability_threshold < stained.probability_threshold);
        assert_eq!(
            (fluorescence.overlap_threshold, stained.overlap_threshold),
            (0.3, 0.3)
        );
    }
}
