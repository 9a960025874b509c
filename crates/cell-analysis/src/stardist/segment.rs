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
    /// not finite or reaches beyond 2²⁹ pixels.
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
/// [`StarDistError`]: there are fewer than 3 rays, or a distance is not finite or reaches beyond 2²⁹ pixels.
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

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis};

    use super::*;

    /// Two discs: centers and radii in pixels, `grid` pixels a cell.
    fn heads(cells: [usize; 2], grid: usize) -> (Array2<f32>, Array3<f32>) {
        let discs = [([12.0, 14.0], 7.0), ([21.0, 30.0], 9.0)];
        let at = |row: usize, column: usize| [row * grid, column * grid].map(|at| at as f32);
        let nearest = |row: usize, column: usize| {
            let point = at(row, column);
            let depth =
                |([y, x], radius): ([f32; 2], f32)| radius - (point[0] - y).hypot(point[1] - x);
            discs.map(|disc| (depth(disc), disc.1))
        };
        let probabilities = Array2::from_shape_fn(cells, |(row, column)| {
            let depths = nearest(row, column).map(|(depth, radius)| depth / radius);
            depths[0].max(depths[1]).max(0.0)
        });
        let distances = Array3::from_shape_fn((cells[0], cells[1], 16), |(row, column, _)| {
            let depths = nearest(row, column).map(|(depth, _)| depth);
            depths[0].max(depths[1])
        });
        (probabilities, distances)
    }

    #[test]
    fn every_object_has_a_label_and_a_polygon() {
        let (probabilities, distances) = heads([20, 24], 2);
        let heads = StarHeads {
            probabilities: probabilities.view(),
            distances: distances.view(),
        };
        let options = StarDist {
            grid: [2, 2],
            ..StarDist::default()
        };
        let instances = options.segment(&heads, [40, 48]).unwrap();
        let StarInstances { labels, polygons } = instances;
        assert_eq!((labels.dim(), polygons.len()), ((40, 48), 2));
        for (number, point) in (1..).zip(&polygons.points) {
            assert_eq!(labels[point.map(|at| at as usize)], number);
        }
        assert_eq!((labels[[12, 14]] > 0, labels[[21, 30]] > 0), (true, true));
        assert_eq!(labels[[35, 5]], 0);
    }

    #[test]
    fn centers_in_the_padding_are_dropped_and_its_side_has_no_margin() {
        let (probabilities, distances) = heads([48, 48], 1);
        let padded = StarHeads {
            probabilities: probabilities.view(),
            distances: distances.view(),
        };
        let found = |image: [usize; 2]| {
            let instances = StarDist::default().segment(&padded, image).unwrap();
            instances.polygons.points
        };
        assert_eq!(found([48, 48]).len(), 2);
        assert_eq!(found([48, 31]).len(), 2); // the center of one is in the last column
        assert!(found([20, 48]).iter().all(|point| point[0] < 20.0));
        let mut cut = padded.clone();
        cut.probabilities.slice_axis_inplace(Axis(1), (..31).into());
        cut.distances.slice_axis_inplace(Axis(1), (..31).into());
        let cut = StarDist::default().segment(&cut, [48, 31]).unwrap();
        assert!(cut.polygons.points.iter().all(|point| point[1] < 29.0));
    }

    #[test]
    fn heads_that_do_not_cover_the_image_are_refused() {
        let (probabilities, distances) = heads([20, 24], 2);
        let heads = StarHeads {
            probabilities: probabilities.view(),
            distances: distances.view(),
        };
        let refused = StarDist::default().segment(&heads, [40, 48]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "heads of [20, 24] cells of [1, 1] pixels do not cover an image of [40, 48]"
        );
        let without_grid = StarDist {
            grid: [0, 2],
            ..StarDist::default()
        };
        assert!(without_grid.segment(&heads, [40, 48]).is_err());
        assert!(without_grid.suppress(&heads).unwrap().is_empty());
    }

    #[test]
    fn suppression_alone_takes_distances_as_they_are() {
        let (mut probabilities, mut distances) = heads([9, 9], 1);
        probabilities.fill(0.0);
        probabilities[[4, 4]] = 1.0;
        distances.fill(0.0);
        let heads = StarHeads {
            probabilities: probabilities.view(),
            distances: distances.view(),
        };
        let polygons = StarDist::default().suppress(&heads).unwrap();
        assert_eq!(polygons.distances, Array2::<f32>::zeros((1, 16)));
    }

    #[test]
    fn ranked_polygons_need_three_rays() {
        let refused = suppress_ranked(&[[0.0, 0.0]], Array2::zeros((1, 2)).view(), 0.5);
        assert_eq!(refused, Err(StarDistError::TooFewRays { rays: 2 }));
        let none = suppress_ranked(&[], Array2::zeros((0, 32)).view(), 0.5);
        assert_eq!(none, Ok(Vec::new()));
    }
}
