//! Why heads of a StarDist model cannot be made into polygons.

use thiserror::Error;

/// Why heads of a StarDist model cannot be made into polygons.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum StarDistError {
    /// The heads show images of different sizes.
    #[error("probability head has shape {probabilities:?}, distance head {distances:?}")]
    ShapeMismatch {
        /// Shape of the probability head.
        probabilities: [usize; 2],
        /// Shape of the distance head.
        distances: [usize; 3],
    },
    /// A polygon has at least three corners.
    #[error("{rays} rays are too few for a polygon")]
    TooFewRays {
        /// Channels of the distance head.
        rays: usize,
    },
    /// Tiles of one image come from different models.
    #[error("a tile has {rays} rays, the one before {expected}")]
    RayCount {
        /// Channels of this tile's distance head.
        rays: usize,
        /// Those of the first tile.
        expected: usize,
    },
    /// A tile lies outside the heads that it is a part of.
    #[error("a tile of {tile:?} cells at {offset:?} is outside heads of {heads:?}")]
    OutsideHeads {
        /// Rows and columns of the tile.
        tile: [usize; 2],
        /// Its first row and column.
        offset: [usize; 2],
        /// Rows and columns of the whole.
        heads: [usize; 2],
    },
    /// The heads show a part of the image only.
    #[error("heads of {heads:?} cells of {grid:?} pixels do not cover an image of {image:?}")]
    NotCovered {
        /// Rows and columns of the heads.
        heads: [usize; 2],
        /// Rows and columns of a cell.
        grid: [usize; 2],
        /// Rows and columns of the image.
        image: [usize; 2],
    },
    /// A distance is not finite, or a polygon is larger than any image.
    #[error("the polygon at {point:?} reaches too far")]
    OutOfReach {
        /// Row and column of its center, in pixels.
        point: [f64; 2],
    },
}
