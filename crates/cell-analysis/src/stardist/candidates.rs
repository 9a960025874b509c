//! Candidates for polygons: the cells of the heads that are likely enough, collected tile by tile, and their suppression.

use std::cmp::Ordering;
use std::ops::Range;

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
        let threshold = self.options.probability_threshold as f32;
        let [rows, columns] = [0, 1].map(|axis| self.allowed(axis, tile, offset));
        let (mut found, mut distances) = (Vec::new(), Vec::new());
        for row in rows {
            for column in columns.clone() {
                let score = tile.probabilities[[row, column]];
                if score > threshold {
                    found.push(Candidate {
                        score,
                        cell: [row + offset[0], column + offset[1]].map(|at| at as u32),
                        tile: number,
                        place: found.len() as u32,
                    });
                    let of_row = tile.distances.index_axis(Axis(0), row);
                    push_row(&mut distances, of_row.row(column));
                }
            }
        }
        if let Some(at) = distances.iter().position(|distance| !distance.is_finite()) {
            let rays = tile.distances.len_of(Axis(2));
            let point = self.point(found[at / rays].cell);
            return Err(StarDistError::OutOfReach { point });
        }
        let longer = |distance: &mut f32| *distance = distance.max(shortest);
        distances.iter_mut().for_each(longer);
        self.found.append(&mut found);
        self.distances.push(distances);
        Ok(())
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

    /// The rows or columns of a tile in which there are candidates: not in the margin, and not beyond the image.
    fn allowed(&self, axis: usize, tile: &StarHeads<'_>, offset: [usize; 2]) -> Range<usize> {
        let [before, behind] = self.options.margin[axis];
        let inner = self.heads[axis].saturating_sub(behind);
        let visible = self.image[axis].div_ceil(self.options.grid[axis].max(1));
        let end = inner.min(visible).saturating_sub(offset[axis]);
        before.saturating_sub(offset[axis])..end.min(tile.probabilities.len_of(Axis(axis)))
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
    /// [`StarDistError::OutOfReach`]: a polygon reaches beyond 2²⁹ pixels.
    pub fn suppress(mut self) -> Result<StarPolygons, StarDistError> {
        // Cells are different, so the order of the tiles does not matter.
        self.found.par_sort_unstable_by(|a, b| {
            let order = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
            order.then(b.cell.cmp(&a.cell)).then(b.tile.cmp(&a.tile))
        });
        let center = |found: &Candidate| self.point(found.cell).map(|at| at as f32);
        let centers: Vec<[f32; 2]> = self.found.iter().map(center).collect();
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
        let kept = kept.iter().map(|&number| self.found[number]);
        Ok(StarPolygons {
            points: kept.clone().map(|found| self.point(found.cell)).collect(),
            scores: kept.map(|found| found.score).collect(),
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

fn push_row(values: &mut Vec<f32>, row: ArrayView1<'_, f32>) {
    match row.as_slice() {
        Some(row) => values.extend_from_slice(row),
        None => values.extend(row),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    const RAYS: usize = 8;

    fn options() -> StarDist {
        StarDist {
            probability_threshold: 0.3,
            overlap_threshold: 0.2,
            grid: [2, 1],
            margin: [[1, 0], [0, 2]],
        }
    }

    /// The heads of an image.
    struct Heads {
        probabilities: Array2<f32>,
        distances: Array3<f32>,
    }

    impl Heads {
        /// With distances that differ from cell to cell.
        fn new(probabilities: Array2<f32>) -> Self {
            let (rows, columns) = probabilities.dim();
            let distances = Array3::from_shape_fn((rows, columns, RAYS), |(row, column, ray)| {
                0.5 + ((row * 7 + column * 3 + ray) % 5) as f32
            });
            Self {
                probabilities,
                distances,
            }
        }

        fn tile(&self, [rows, columns]: [Range<usize>; 2]) -> StarHeads<'_> {
            let mut probabilities = self.probabilities.view();
            let mut distances = self.distances.view();
            for (axis, part) in [(Axis(0), rows), (Axis(1), columns)] {
                probabilities.slice_axis_inplace(axis, part.clone().into());
                distances.slice_axis_inplace(axis, part.into());
            }
            StarHeads {
                probabilities,
                distances,
            }
        }

        fn none_yet(&self) -> Candidates {
            let (rows, columns) = self.probabilities.dim();
            let candidates = options().candidates([rows * 2, columns], [rows, columns]);
            candidates.unwrap()
        }

        fn all(&self) -> Candidates {
            let (rows, columns) = self.probabilities.dim();
            let mut candidates = self.none_yet();
            let whole = self.tile([0..rows, 0..columns]);
            candidates.add(&whole, [0, 0]).unwrap();
            candidates
        }
    }

    proptest! {
        #[test]
        fn tiles_in_any_order_give_the_polygons_and_labels_of_the_whole(
            probabilities in strategies::plane(24), cuts in (0..24_usize, 0..24_usize), order in 0..24_usize,
        ) {
            let heads = Heads::new(probabilities);
            let (rows, columns) = heads.probabilities.dim();
            let (row, column) = (cuts.0.min(rows), cuts.1.min(columns));
            let mut tiles = vec![
                [0..row, 0..column],
                [0..row, column..columns],
                [row..rows, 0..column],
                [row..rows, column..columns],
            ];
            let mut joined = heads.none_yet();
            for left in (1..=4).rev() {
                let tile = tiles.remove(order % left);
                joined.add(&heads.tile(tile.clone()), tile.map(|part| part.start)).unwrap();
            }
            prop_assert_eq!(joined.len(), heads.all().len());
            let (whole, joined) = (heads.all().suppress().unwrap(), joined.suppress().unwrap());
            prop_assert_eq!(&joined, &whole);
            let shape = [2 * rows, columns];
            prop_assert_eq!(joined.labels(shape, 0.0), whole.labels(shape, 0.0));
        }

        #[test]
        fn candidates_are_the_likely_cells_off_the_margin(probabilities in strategies::plane(12)) {
            let heads = Heads::new(probabilities);
            let (rows, columns) = heads.probabilities.dim();
            let likely = heads.probabilities.indexed_iter().filter(|&((row, column), &score)| {
                score > 0.3 && row >= 1 && row < rows && column + 2 < columns
            });
            prop_assert_eq!(heads.all().len(), likely.count());
        }
    }

    #[test]
    fn scores_fall_and_of_equal_ones_the_later_cell_comes_first() {
        let mut heads = Heads::new(Array2::zeros((5, 20)));
        for (cell, score) in [([1, 1], 0.5), ([1, 9], 0.5), ([4, 1], 0.5), ([3, 15], 0.9)] {
            heads.probabilities[cell] = score;
        }
        heads.distances.fill(1.0);
        let polygons = heads.all().suppress().unwrap();
        assert_eq!(
            polygons.points,
            [[6.0, 15.0], [8.0, 1.0], [2.0, 9.0], [2.0, 1.0]]
        );
        assert_eq!(polygons.scores, [0.9, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn a_probability_exceeds_the_threshold_as_a_single_float() {
        let options = StarDist {
            probability_threshold: 0.1,
            margin: [[0; 2]; 2],
            ..StarDist::default()
        };
        let count = |score: f32| {
            let mut candidates = options.candidates([1, 1], [1, 1]).unwrap();
            let heads = Heads::new(Array2::from_elem((1, 1), score));
            candidates.add(&heads.tile([0..1, 0..1]), [0, 0]).unwrap();
            candidates.len()
        };
        assert_eq!(
            (count(0.1), count(0.1_f32.next_up()), count(f32::NAN)),
            (0, 1, 0)
        );
    }

    #[test]
    fn heads_in_another_order_of_axes_have_the_same_candidates() {
        let heads = Heads::new(Array2::from_elem((4, 6), 0.8));
        let by_ray = heads.distances.view().permuted_axes([2, 0, 1]);
        let by_ray = by_ray.as_standard_layout().into_owned();
        let mut candidates = heads.none_yet();
        let tile = StarHeads {
            probabilities: heads.probabilities.view(),
            distances: by_ray.view().permuted_axes([1, 2, 0]),
        };
        candidates.add(&tile, [0, 0]).unwrap();
        assert_eq!(candidates.suppress(), heads.all().suppress());
    }

    #[test]
    fn short_distances_are_lengthened() {
        let mut heads = Heads::new(Array2::zeros((3, 5)));
        heads.probabilities[[2, 2]] = 1.0;
        heads.distances.fill(-7.0);
        let polygons = heads.all().suppress().unwrap();
        assert_eq!(polygons.distances, Array2::from_elem((1, RAYS), 1e-3));
    }

    #[test]
    fn tiles_that_do_not_fit_are_refused_and_leave_nothing_behind() {
        let heads = Heads::new(Array2::from_elem((6, 6), 0.9));
        let whole = heads.tile([0..6, 0..6]);
        let mut candidates = heads.all();
        let before = candidates.len();
        let refused = candidates.add(&whole, [1, 0]).unwrap_err().to_string();
        assert_eq!(
            refused,
            "a tile of [6, 6] cells at [1, 0] is outside heads of [6, 6]"
        );
        assert!(candidates.add(&whole, [usize::MAX, 0]).is_err());
        let narrow = StarHeads {
            distances: heads.tile([0..6, 0..5]).distances,
            ..whole.clone()
        };
        let refused = candidates.add(&narrow, [0, 0]).unwrap_err().to_string();
        assert_eq!(
            refused,
            "probability head has shape [6, 6], distance head [6, 5, 8]"
        );
        let with_rays = |count: usize| {
            let mut tile = whole.clone();
            tile.distances.slice_axis_inplace(Axis(2), (..count).into());
            tile
        };
        let refused = candidates
            .add(&with_rays(5), [0, 0])
            .unwrap_err()
            .to_string();
        assert_eq!(refused, "a tile has 5 rays, the one before 8");
        let refused = candidates
            .add(&with_rays(2), [0, 0])
            .unwrap_err()
            .to_string();
        assert_eq!(refused, "2 rays are too few for a polygon");
        let mut odd = Heads::new(Array2::from_elem((6, 6), 0.9));
        odd.distances[[4, 1, 3]] = f32::NAN;
        let refused = candidates.add(&odd.tile([0..6, 0..6]), [0, 0]).unwrap_err();
        assert_eq!(refused, StarDistError::OutOfReach { point: [8.0, 1.0] });
        assert_eq!(candidates.len(), before);
        assert_eq!(candidates.suppress(), heads.all().suppress());
    }

    #[test]
    fn without_a_tile_there_are_no_polygons() {
        let none = options().candidates([4, 4], [2, 4]).unwrap();
        assert!(none.is_empty());
        assert!(none.suppress().unwrap().is_empty());
    }
}
