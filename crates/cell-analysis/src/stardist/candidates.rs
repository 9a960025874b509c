//! Candidates for polygons: the cells of the heads that are likely enough, collected tile by tile, and their suppression.

use std::cmp::Ordering;

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis};
use rayon::prelude::*;

use super::error::StarDistError;
use super::options::StarDist;
use super::polygons::StarPolygons;
use super::suppression::{Ranking, survivors};

/// Shorter distances are lengthened to this many pixels, as stardist does with what a model predicts.
const SHORTEST: f32 = 1e-3;

/// The heads of a StarDist model for an image, or for a tile of it.
#[derive(Clone, Debug)]
pub struct StarHeads<'a> {
    /// How probably a cell is well inside an object, `[row, column]`.
    pub probabilities: ArrayView2<'a, f32>,
    /// Distances to the object's edge along the rays, in pixels, `[row, column, ray]`.
    pub distances: ArrayView3<'a, f32>,
}

/// The candidates of an image so far.
///
/// What is kept takes `4 · rays + 20` bytes for each candidate, not for each cell, so the heads of a large image need never
/// be in memory at once.
#[derive(Clone, Debug)]
pub struct Candidates {
    options: StarDist,
    image: [usize; 2],
    heads: [usize; 2],
    /// Number of rays, once a tile has said so.
    rays: Option<usize>,
    found: Vec<Candidate>,
    /// The distances of the candidates of each tile.
    distances: Vec<Vec<f32>>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f32,
    /// Row and column in the heads.
    cell: [u32; 2],
    tile: u32,
    /// Its number within the tile.
    place: u32,
}

impl Candidates {
    pub(super) fn new(
        options: &StarDist,
        image: [usize; 2],
        heads: [usize; 2],
    ) -> Result<Self, StarDistError> {
        let grid = options.grid;
        let covers = |axis: usize| heads[axis].saturating_mul(grid[axis]) >= image[axis];
        if !covers(0) || !covers(1) {
            return Err(StarDistError::NotCovered { heads, grid, image });
        }
        Ok(Self {
            options: options.clone(),
            image,
            heads,
            rays: None,
            found: Vec::new(),
            distances: Vec::new(),
        })
    }

    /// Number of candidates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Adds the candidates of a tile of the heads whose first cell is at `offset` `[row, column]`.
    ///
    /// Tiles come in any order, and the result does not depend on it; they must not overlap, or cells are candidates twice.
    /// Distances below 0.001 pixels become 0.001.
    ///
    /// # Errors
    ///
    /// [`StarDistError`]: the shapes of the two heads differ, there are fewer than 3 rays or another number than in the tile
    /// before, the tile is outside the heads, or a distance of a candidate is not finite.
    pub fn add(&mut self, tile: &StarHeads<'_>, offset: [usize; 2]) -> Result<(), StarDistError> {
        self.add_with_shortest(tile, offset, SHORTEST)
    }

    /// [`Candidates::add`] with distances of at least `shortest` pixels.
    pub(super) fn add_with_shortest(
        &mut self,
        tile: &StarHeads<'_>,
        offset: [usize; 2],
        shortest: f32,
    ) -> Result<(), StarDistError> {
        self.check(tile, offset)?;
        let number = self.distances.len() as u32;
        let mut distances = Vec::new();
        let threshold = self.options.probability_threshold as f32;
        let [rows, columns] = [0, 1].map(|axis| {
            let (first, end) = self.allowed(axis);
            let length = tile.probabilities.len_of(Axis(axis));
            first.saturating_sub(offset[axis])..end.saturating_sub(offset[axis]).min(length)
        });
        let mut place = 0;
        for row in rows {
            for column in columns.clone() {
                let score = tile.probabilities[[row, column]];
                if score > threshold {
                    let cell = [row + offset[0], column + offset[1]].map(|at| at as u32);
                    let of_row = tile.distances.index_axis(Axis(0), row);
                    self.push_distances(of_row.row(column), cell, &mut distances)?;
                    self.found.push(Candidate {
                        score,
                        cell,
                        tile: number,
                        place,
                    });
                    place += 1;
                }
            }
        }
        distances
            .iter_mut()
            .for_each(|distance| *distance = distance.max(shortest));
        self.distances.push(distances);
        Ok(())
    }

    fn push_distances(
        &self,
        of_cell: ArrayView1<'_, f32>,
        cell: [u32; 2],
        distances: &mut Vec<f32>,
    ) -> Result<(), StarDistError> {
        let start = distances.len();
        match of_cell.as_slice() {
            Some(of_cell) => distances.extend_from_slice(of_cell),
            None => distances.extend(of_cell),
        }
        if distances[start..]
            .iter()
            .all(|distance| distance.is_finite())
        {
            Ok(())
        } else {
            let point = self.point(cell);
            Err(StarDistError::OutOfReach { point })
        }
    }

    fn check(&mut self, tile: &StarHeads<'_>, offset: [usize; 2]) -> Result<(), StarDistError> {
        let (rows, columns, rays) = tile.distances.dim();
        let probabilities = <[usize; 2]>::from(tile.probabilities.dim());
        if probabilities != [rows, columns] {
            let distances = [rows, columns, rays];
            return Err(StarDistError::ShapeMismatch {
                probabilities,
                distances,
            });
        }
        if rays < 3 {
            return Err(StarDistError::TooFewRays { rays });
        }
        let expected = *self.rays.get_or_insert(rays);
        if rays != expected {
            return Err(StarDistError::RayCount { rays, expected });
        }
        let heads = self.heads;
        let is_inside = |axis: usize| {
            let end = offset[axis].checked_add(probabilities[axis]);
            end.is_some_and(|end| end <= heads[axis])
        };
        if !is_inside(0) || !is_inside(1) {
            let tile = probabilities;
            return Err(StarDistError::OutsideHeads {
                tile,
                offset,
                heads,
            });
        }
        Ok(())
    }

    /// The first row or column of the heads in which there are candidates, and the one behind the last: not in the margin, and
    /// not beyond the image.
    fn allowed(&self, axis: usize) -> (usize, usize) {
        let [before, behind] = self.options.margin[axis];
        let inner = self.heads[axis].saturating_sub(behind);
        let visible = self.image[axis].div_ceil(self.options.grid[axis].max(1));
        (before, inner.min(visible))
    }

    /// The center of a candidate, in pixels.
    fn point(&self, [row, column]: [u32; 2]) -> [f64; 2] {
        let [down, across] = self.options.grid;
        [row as f64 * down as f64, column as f64 * across as f64]
    }

    /// The polygons that stay, highest score first; of equal scores, first the lower one, and of one row, the one further right.
    ///
    /// A polygon stays if it has no more than `overlap_threshold` of the smaller one's area in common with any that stays and
    /// comes before it. Areas are those that StarDist 0.9 works with: corners are cut off to whole pixels, and intersected by
    /// Clipper 6.4.2.
    ///
    /// # Errors
    ///
    /// [`StarDistError::OutOfReach`]: a polygon reaches beyond 2³⁰ pixels.
    pub fn suppress(mut self) -> Result<StarPolygons, StarDistError> {
        // Cells are different, so the order of the tiles does not matter.
        self.found.par_sort_unstable_by(|a, b| {
            let order = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
            order.then(b.cell.cmp(&a.cell)).then(b.tile.cmp(&a.tile))
        });
        let points: Vec<[f64; 2]> = self
            .found
            .iter()
            .map(|found| self.point(found.cell))
            .collect();
        let centers: Vec<[f32; 2]> = points
            .iter()
            .map(|point| point.map(|at| at as f32))
            .collect();
        let ranking = Ranking {
            centers: &centers,
            rays: self.rays.unwrap_or(0),
            distances: |number: usize| self.distances_of(number),
        };
        let stays = survivors(&ranking, self.options.overlap_threshold as f32)?;
        let kept: Vec<usize> = (0..stays.len()).filter(|&number| stays[number]).collect();
        let mut distances = Array2::zeros((kept.len(), ranking.rays));
        for (mut row, &number) in distances.outer_iter_mut().zip(&kept) {
            row.assign(&ArrayView1::from(self.distances_of(number)));
        }
        Ok(StarPolygons {
            points: kept.iter().map(|&number| points[number]).collect(),
            scores: kept
                .iter()
                .map(|&number| self.found[number].score)
                .collect(),
            distances,
            scale: [1.0, 1.0],
        })
    }

    fn distances_of(&self, number: usize) -> &[f32] {
        let rays = self.rays.unwrap_or(0);
        let Candidate { tile, place, .. } = self.found[number];
        let start = place as usize * rays;
        &self.distances[tile as usize][start..start + rays]
    }
}
