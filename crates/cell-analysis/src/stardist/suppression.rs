//! Non-maximum suppression of star-convex polygons: of those that overlap too much, the one with the highest score stays
//! (Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018).

use rayon::prelude::*;

use super::clipper::{Clipper, Corners, area};
use super::error::StarDistError;
use super::neighbors::{BoxIndex, PixelBox};
use super::rays::{Rays, is_within_reach};

/// Polygons in the order in which they suppress each other.
pub(super) struct Ranking<'a, D> {
    /// Rows and columns.
    pub(super) centers: &'a [[f32; 2]],
    pub(super) rays: usize,
    /// The distances of each polygon, one for each ray.
    pub(super) distances: D,
}

/// Which polygons stay: those that have no more than `threshold` in common with any that stays and comes before.
///
/// What two have in common is a share of the smaller one's area, in whole pixels. Polygons whose centers are too far from
/// each other for their distances have nothing in common.
pub(super) fn survivors<'d, D: Fn(usize) -> &'d [f32] + Sync>(
    ranking: &Ranking<'_, D>,
    threshold: f32,
) -> Result<Vec<bool>, StarDistError> {
    let rays = Rays::new(ranking.rays);
    let outlines = ranking.outlines(&rays)?;
    let boxes: Vec<PixelBox> = outlines.iter().map(|outline| outline.pixels).collect();
    let radii = outlines.iter().map(|outline| outline.radius);
    let suppression = Suppression {
        ranking,
        rays,
        index: BoxIndex::new(&boxes),
        longest_radius: radii.fold(0.0, f32::max),
        outlines,
        threshold,
    };
    Ok(suppression.run())
}

/// What suppression has to know of a polygon without its corners.
#[derive(Clone, Copy)]
struct Outline {
    pixels: PixelBox,
    area: f32,
    /// The longest distance.
    radius: f32,
}

impl<'d, D: Fn(usize) -> &'d [f32] + Sync> Ranking<'_, D> {
    fn outlines(&self, rays: &Rays) -> Result<Vec<Outline>, StarDistError> {
        (0..self.centers.len())
            .into_par_iter()
            .with_min_len(64)
            .map_init(Corners::default, |corners, number| {
                let (center, distances) = (self.centers[number], (self.distances)(number));
                let point = center.map(f64::from);
                if !is_within_reach(center, distances) {
                    return Err(StarDistError::OutOfReach { point });
                }
                rays.corners(center, distances, corners);
                Ok(Outline {
                    pixels: bounding_box(corners),
                    area: area(corners),
                    radius: distances.iter().copied().fold(0.0, f32::max),
                })
            })
            .collect()
    }
}

fn bounding_box(corners: &Corners) -> PixelBox {
    let least = |axis: &[i32]| axis.iter().copied().fold(i32::MAX, i32::min);
    let greatest = |axis: &[i32]| axis.iter().copied().fold(i32::MIN, i32::max);
    PixelBox {
        top: least(&corners.ys),
        bottom: greatest(&corners.ys),
        left: least(&corners.xs),
        right: greatest(&corners.xs),
    }
}

/// Another polygon, and whether it has too much in common with one that stays.
#[derive(Clone, Copy)]
struct Rival {
    number: u32,
    is_suppressed: bool,
}

/// Memory for the overlaps of one polygon with others.
#[derive(Clone, Default)]
struct Memory {
    clipper: Clipper,
    corners: Corners,
}

/// With fewer rivals it is not worth it to wake another thread.
const MIN_PARALLEL: usize = 8;

struct Suppression<'a, D> {
    ranking: &'a Ranking<'a, D>,
    rays: Rays,
    index: BoxIndex,
    longest_radius: f32,
    outlines: Vec<Outline>,
    threshold: f32,
}

impl<'d, D: Fn(usize) -> &'d [f32] + Sync> Suppression<'_, D> {
    /// Goes through the ranking once: only what stays suppresses.
    fn run(&self) -> Vec<bool> {
        let mut stays = vec![true; self.outlines.len()];
        let mut memory = vec![Memory::default(); rayon::current_num_threads().max(1)];
        let mut rivals = Vec::new();
        for number in 0..self.outlines.len() {
            if !stays[number] {
                continue;
            }
            self.find_rivals(number, &stays, &mut rivals);
            if rivals.len() < MIN_PARALLEL || memory.len() == 1 {
                self.judge(number, &mut rivals, &mut memory[0]);
            } else {
                let share = rivals.len().div_ceil(memory.len());
                let shares = rivals.par_chunks_mut(share).zip(&mut memory);
                shares.for_each(|(rivals, memory)| self.judge(number, rivals, memory));
            }
            for rival in rivals.iter().filter(|rival| rival.is_suppressed) {
                stays[rival.number as usize] = false;
            }
        }
        stays
    }

    /// The polygons behind this one that may overlap with it.
    fn find_rivals(&self, number: usize, stays: &[bool], rivals: &mut Vec<Rival>) {
        rivals.clear();
        let outline = &self.outlines[number];
        let centers = self.ranking.centers;
        let reach = self.longest_radius + outline.radius;
        self.index.visit_near(&outline.pixels, |rival| {
            let other = rival as usize;
            if other > number
                && stays[other]
                && self.may_suppress(outline, &self.outlines[other])
                && square_distance(centers[number], centers[other]) < reach * reach
            {
                rivals.push(Rival {
                    number: rival,
                    is_suppressed: false,
                });
            }
        });
    }

    /// Whether two polygons can have too much in common, by their boxes.
    ///
    /// What they have in common lies in both boxes, since corners are rounded to whole pixels, as the boxes are. Where it has
    /// holes their areas may be counted, too: twice the area is certainly enough.
    fn may_suppress(&self, one: &Outline, other: &Outline) -> bool {
        let shared = one.pixels.shared_area(&other.pixels);
        shared.is_some_and(|shared| share(2.0 * shared, one, other) > self.threshold)
    }

    fn judge(&self, number: usize, rivals: &mut [Rival], memory: &mut Memory) {
        let Memory { clipper, corners } = memory;
        self.corners(number, corners);
        clipper.set_clip(corners);
        for rival in rivals {
            let other = rival.number as usize;
            self.corners(other, corners);
            let shared = f64::from(clipper.intersection_area(corners));
            let [one, other] = [number, other].map(|number| &self.outlines[number]);
            rival.is_suppressed = share(shared, one, other) > self.threshold;
        }
    }

    fn corners(&self, number: usize, corners: &mut Corners) {
        let distances = (self.ranking.distances)(number);
        self.rays
            .corners(self.ranking.centers[number], distances, corners);
    }
}

/// An area as a share of the smaller polygon's.
fn share(shared: f64, one: &Outline, other: &Outline) -> f32 {
    let [one, other] = [one, other].map(|outline| f64::from(outline.area) + 1e-10);
    (shared / one.min(other)) as f32
}

fn square_distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    let (down, across) = (a[0] - b[0], a[1] - b[1]);
    down * down + across * across
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    /// Polygons in the order of their scores.
    #[derive(Clone, Debug)]
    struct Polygons {
        centers: Vec<[f32; 2]>,
        distances: Array2<f32>,
    }

    fn survivors_of(polygons: &Polygons, threshold: f32) -> Vec<bool> {
        let rays = polygons.distances.ncols();
        let values = polygons.distances.as_slice().unwrap();
        let ranking = Ranking {
            centers: &polygons.centers,
            rays,
            distances: |number: usize| &values[number * rays..][..rays],
        };
        survivors(&ranking, threshold).unwrap()
    }

    /// Asks every pair, without an index.
    fn slow_survivors(polygons: &Polygons, threshold: f32) -> Vec<bool> {
        let rays = Rays::new(polygons.distances.ncols());
        let corners: Vec<Corners> = polygons
            .centers
            .iter()
            .zip(polygons.distances.outer_iter())
            .map(|(&center, distances)| {
                let mut corners = Corners::default();
                rays.corners(center, &distances.to_vec(), &mut corners);
                corners
            })
            .collect();
        let mut stays = vec![true; corners.len()];
        for one in 0..corners.len() {
            for other in one + 1..corners.len() {
                if stays[one] && stays[other] {
                    let mut clipper = Clipper::default();
                    clipper.set_clip(&corners[one]);
                    let shared = f64::from(clipper.intersection_area(&corners[other]));
                    let least = area(&corners[one]).min(area(&corners[other]));
                    stays[other] = (shared / (f64::from(least) + 1e-10)) as f32 <= threshold;
                }
            }
        }
        stays
    }

    fn polygons() -> impl Strategy<Value = Polygons> {
        let polygon = (
            (-20..60_i32, -20..60_i32),
            prop_oneof![2.0..6.0_f32, 2.0..25.0_f32],
            proptest::collection::vec(0.5..1.0_f32, 12),
        );
        (proptest::collection::vec(polygon, 0..40), 3..12_usize).prop_map(|(polygons, rays)| {
            let radius = |number: usize, ray: usize| {
                let (_, radius, shares) = &polygons[number];
                radius * shares[ray]
            };
            Polygons {
                centers: polygons
                    .iter()
                    .map(|((row, column), ..)| [*row as f32, *column as f32])
                    .collect(),
                distances: Array2::from_shape_fn((polygons.len(), rays), |(number, ray)| {
                    radius(number, ray)
                }),
            }
        })
    }

    proptest! {
        #[test]
        fn those_stay_that_stay_when_every_pair_is_asked(
            polygons in polygons(), threshold in prop_oneof![Just(0.1_f32), 0.05..1.0_f32],
        ) {
            prop_assert_eq!(survivors_of(&polygons, threshold), slow_survivors(&polygons, threshold));
        }

        #[test]
        fn the_number_of_threads_does_not_matter(polygons in polygons(), threads in 2..5_usize) {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let found = pool.install(|| survivors_of(&polygons, 0.2));
            prop_assert_eq!(found, alone.install(|| survivors_of(&polygons, 0.2)));
        }
    }

    fn squares(centers: &[[f32; 2]], half_diagonals: &[f32]) -> Polygons {
        Polygons {
            centers: centers.to_vec(),
            distances: Array2::from_shape_fn((centers.len(), 4), |(number, _)| {
                half_diagonals[number]
            }),
        }
    }

    #[test]
    fn what_is_suppressed_suppresses_nothing() {
        let row = squares(&[[0.0, 0.0], [0.0, 6.0], [0.0, 12.0]], &[8.0; 3]);
        assert_eq!(survivors_of(&row, 0.3), [true, false, true]);
    }

    #[test]
    fn overlap_is_a_share_of_the_smaller_polygon_and_may_equal_the_threshold() {
        let nested = squares(&[[0.0, 0.0], [0.0, 0.0]], &[9.0, 3.0]);
        assert_eq!(survivors_of(&nested, 1.0), [true, true]);
        assert_eq!(survivors_of(&nested, 0.999), [true, false]);
    }

    #[test]
    fn polygons_without_area_stay() {
        let points = squares(&[[0.0, 0.0], [0.0, 0.0]], &[1e-3, 1e-3]);
        assert_eq!(survivors_of(&points, 0.0), [true, true]);
    }

    #[test]
    fn polygons_beyond_reach_are_refused() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e9] {
            for polygons in [
                squares(&[[3.0, 4.0]], &[odd]),
                squares(&[[odd, 4.0]], &[1.0]),
            ] {
                let values = polygons.distances.as_slice().unwrap();
                let ranking = Ranking {
                    centers: &polygons.centers,
                    rays: 4,
                    distances: |_: usize| values,
                };
                let refused = survivors(&ranking, 0.5).unwrap_err();
                assert!(matches!(refused, StarDistError::OutOfReach { .. }), "{odd}");
            }
        }
    }
}
