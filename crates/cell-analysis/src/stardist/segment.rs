//! From the heads of a model to polygons and labels.

use ndarray::{Array2, ArrayView2};

use super::candidates::{Candidates, StarHeads};
use super::error::StarDistError;
use super::options::StarDist;
use super::polygons::StarPolygons;
use super::suppression::{Ranking, survivors};

/// The objects of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct StarInstances {
    /// Labels `[row, column]`, 0 for the background; label `n` is the polygon at place `n - 1`.
    pub labels: Array2<u32>,
    /// The polygons, highest score first.
    pub polygons: StarPolygons,
}

impl StarDist {
    /// Labels and polygons of an image of `image` rows and columns, as `predict_instances` of stardist 0.9 makes them of what
    /// its model predicts.
    ///
    /// If the image was padded to a multiple that the model wants, the heads are those of the padded image: the margin is
    /// measured there, and polygons with centers outside the image are dropped. Heads that were cut to the image's size are
    /// fine too.
    ///
    /// # Errors
    ///
    /// [`StarDistError`]: the heads have different shapes, do not cover the image, have fewer than 3 rays, or a distance is
    /// not finite or reaches beyond 2³⁰ pixels.
    pub fn segment(
        &self,
        heads: &StarHeads<'_>,
        image: [usize; 2],
    ) -> Result<StarInstances, StarDistError> {
        let mut candidates = self.candidates(image, heads.probabilities.dim().into())?;
        candidates.add(heads, [0, 0])?;
        let polygons = candidates.suppress()?;
        let labels = polygons.labels(image, f32::NEG_INFINITY);
        Ok(StarInstances { labels, polygons })
    }

    /// No candidates yet, for an image of `image` rows and columns whose heads have `heads` rows and columns when all tiles of
    /// them are there.
    ///
    /// # Errors
    ///
    /// [`StarDistError::NotCovered`]: such heads do not cover the image.
    pub fn candidates(
        &self,
        image: [usize; 2],
        heads: [usize; 2],
    ) -> Result<Candidates, StarDistError> {
        Candidates::new(self, image, heads)
    }

    /// The polygons of heads that stay, as `non_maximum_suppression` of stardist 0.9 finds them: distances are taken as they
    /// are.
    ///
    /// # Errors
    ///
    /// As [`StarDist::segment`].
    pub fn suppress(&self, heads: &StarHeads<'_>) -> Result<StarPolygons, StarDistError> {
        let cells = <[usize; 2]>::from(heads.probabilities.dim());
        let pixels = [0, 1].map(|axis| cells[axis].saturating_mul(self.grid[axis]));
        let mut candidates = Candidates::new(self, pixels, cells)?;
        candidates.add_with_shortest(heads, [0, 0], f32::NEG_INFINITY)?;
        candidates.suppress()
    }
}

/// Which of some polygons stay, given highest score first: centers `[row, column]` in pixels, and distances
/// `[polygon, ray]`. As `non_maximum_suppression_inds` of stardist 0.9.
///
/// # Errors
///
/// [`StarDistError`]: there are fewer than 3 rays, or a distance is not finite or reaches beyond 2³⁰ pixels.
///
/// # Panics
///
/// If there is not one point for each row of distances.
pub fn suppress_ranked(
    points: &[[f32; 2]],
    distances: ArrayView2<'_, f32>,
    overlap_threshold: f64,
) -> Result<Vec<bool>, StarDistError> {
    let (count, rays) = distances.dim();
    assert_eq!(points.len(), count, "a point for each polygon");
    if rays < 3 {
        return Err(StarDistError::TooFewRays { rays });
    }
    let distances = distances.as_standard_layout();
    let values = distances.as_slice().unwrap_or_default();
    let ranking = Ranking {
        centers: points,
        rays,
        distances: |number: usize| &values[number * rays..(number + 1) * rays],
    };
    survivors(&ranking, overlap_threshold as f32)
}
