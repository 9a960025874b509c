//! Cells are where many pixels end up: peaks of a histogram of positions, grown a little.
//!
//! Border: positions in, labels out; whether a label makes sense is judged in `check`.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::sort::argsort;
use crate::plane::from_values;

/// Pixels that the histogram has more than the image, on all sides.
const MARGIN: usize = 20;

/// A peak has more pixels than this.
const LEAST_PEAK: u32 = 10;

/// A pixel of the histogram belongs to a cell if more pixels than this ended there.
const LEAST_GROWTH: u32 = 2;

/// How far a peak grows.
const REACH: usize = 5;

/// Side of the window that a peak may fill.
const WINDOW: usize = 2 * REACH + 1;

/// Labels `[row, column]` of the pixels of a mask by where they end up, 0 outside of it.
///
/// `positions` is `[2, pixel]` in whole pixels, rows first, the mask's pixels in row-major order; what lies more than 20
/// pixels before the image counts as lying there, and what lies behind it as lying in its last row or column. Peaks are the pixels where more than 10 end up and no more in the 5 × 5
/// pixels around. Each grows five times by the neighbors where more than 2 end up. Where two meet, the higher one wins;
/// equally high ones come in the order that torch's unstable sort leaves them in. A pixel gets the label of where it ends
/// up. Labels of more than `max_size_fraction` of the image are dropped, the others count from 1 in order of appearance.
/// As `get_masks_torch` of Cellpose.
///
/// # Panics
/// If there is not one position for each pixel of the mask, or the image with its margin has 2³² pixels or more.
#[must_use]
pub fn masks_of_positions(
    positions: ArrayView2<'_, i32>,
    mask: ArrayView2<'_, bool>,
    max_size_fraction: f64,
) -> Array2<u32> {
    let pixels = mask.iter().filter(|&&inside| inside).count();
    assert_eq!(positions.dim(), (2, pixels), "positions of the mask");
    let (rows, columns) = mask.dim();
    let landing = Landing::new([rows, columns]).expect("a plane of less than 2³² pixels");
    let ends: Vec<u32> = (0..pixels)
        .map(|pixel| landing.place([positions[[0, pixel]], positions[[1, pixel]]]))
        .collect();
    landing.label(ends, mask.iter().copied(), max_size_fraction)
}

/// The image with the margin in which pixels end up.
pub(super) struct Landing {
    image: [usize; 2],
    padded: [usize; 2],
}

impl Landing {
    /// That of an image of `[rows, columns]`; `None` if it has too many pixels.
    pub(super) fn new(image: [usize; 2]) -> Option<Self> {
        let [rows, columns] = image.map(|length| length.checked_add(2 * MARGIN));
        let padded = [rows?, columns?];
        u32::try_from(padded[0].checked_mul(padded[1])?).ok()?;
        Some(Self { image, padded })
    }

    /// Index of a position `[row, column]`.
    pub(super) fn place(&self, position: [i32; 2]) -> u32 {
        let [row, column] = [0, 1].map(|axis| {
            // It may wrap, as there: what is not a number has the least position.
            let padded = position[axis].wrapping_add(MARGIN as i32);
            let limit = self.image[axis] + MARGIN - 1;
            usize::try_from(padded).unwrap_or(0).min(limit)
        });
        (row * self.padded[1] + column) as u32
    }

    /// Labels of the pixels that are `inside`, which ended in these places.
    pub(super) fn label(
        &self,
        mut ends: Vec<u32>,
        inside: impl Iterator<Item = bool>,
        max_size_fraction: f64,
    ) -> Array2<u32> {
        let mut counts = vec![0_u32; self.padded[0] * self.padded[1]];
        for &end in &ends {
            counts[end as usize] += 1;
        }
        let peaks = self.peaks(&counts);
        let regions = self.regions(counts, &peaks);
        ends.par_iter_mut()
            .for_each(|end| *end = regions[*end as usize] >> 1);
        drop(regions);
        let pixels = self.image[0] * self.image[1];
        let limit = pixels as f64 * max_size_fraction;
        let mut numbers = Numbers::new(&ends, peaks.len(), limit);
        let mut found = ends.into_iter();
        let mut next = || found.next().map_or(0, |region| numbers.of(region));
        let labels = inside.map(|inside| if inside { next() } else { 0 });
        from_values(self.image, labels.collect())
    }

    /// The peaks of a histogram, lowest first.
    fn peaks(&self, counts: &[u32]) -> Vec<usize> {
        let width = self.padded[1];
        let rows = counts.par_chunks(width).enumerate();
        let peaks = rows.flat_map_iter(|(row, line)| {
            let high = line.iter().enumerate();
            high.filter(|&(_, &count)| count > LEAST_PEAK)
                .filter(move |&(column, &count)| count >= self.highest_near(counts, [row, column]))
                .map(move |(column, _)| row * width + column)
        });
        let peaks: Vec<usize> = peaks.collect();
        let heights: Vec<u32> = peaks.iter().map(|&peak| counts[peak]).collect();
        let order = argsort(&heights);
        order.into_iter().map(|place| peaks[place]).collect()
    }

    /// The largest count of 5 × 5 pixels.
    fn highest_near(&self, counts: &[u32], center: [usize; 2]) -> u32 {
        let [rows, columns] = [0, 1].map(|axis| {
            let [at, length] = [center[axis], self.padded[axis]];
            at.saturating_sub(2)..(at + 3).min(length)
        });
        let lines = rows.map(|row| row * self.padded[1]);
        let near = lines.flat_map(|line| &counts[line + columns.start..line + columns.end]);
        near.copied().max().unwrap_or(0)
    }

    /// The regions of the peaks, in the place of the counts: twice the number of a peak from 1 on, and 1 more where a region
    /// may grow.
    fn regions(&self, counts: Vec<u32>, peaks: &[usize]) -> Vec<u32> {
        let mut regions = counts;
        let open = regions.par_chunks_mut(self.padded[1]);
        open.for_each(|line| {
            line.iter_mut()
                .for_each(|count| *count = u32::from(*count > LEAST_GROWTH));
        });
        for (label, &peak) in (1..).zip(peaks) {
            let near = |[row, column]: [usize; 2]| {
                // What lies left of the plane comes out in the margin on its right, where nothing ends.
                (peak + row * self.padded[1] + column).checked_sub(REACH * (self.padded[1] + 1))
            };
            let open = std::array::from_fn(|row| {
                (0..WINDOW).fold(0, |bits, column| {
                    let region = near([row, column]).and_then(|at| regions.get(at));
                    bits | ((region.copied().unwrap_or(0) & 1) as u16) << column
                })
            });
            for (row, bits) in grown(open).into_iter().enumerate() {
                for column in (0..WINDOW).filter(|column| bits >> column & 1 == 1) {
                    if let Some(region) = near([row, column]).and_then(|at| regions.get_mut(at)) {
                        *region = label << 1 | 1;
                    }
                }
            }
        }
        regions
    }
}

/// The labels that regions get.
struct Numbers {
    /// By region: its number, if it has one already, and whether it gets one.
    numbers: Vec<(u32, bool)>,
    next: u32,
}

impl Numbers {
    /// Of the regions `1..=last` those are left out that more than `limit` pixels belong to.
    fn new(regions: &[u32], last: usize, limit: f64) -> Self {
        let mut sizes = vec![0_usize; last + 1];
        for &region in regions {
            sizes[region as usize] += 1;
        }
        let numbers = sizes.iter().map(|&size| (0, size as f64 <= limit));
        let mut numbers: Vec<(u32, bool)> = numbers.collect();
        numbers[0].1 = false;
        Self { numbers, next: 1 }
    }

    /// The number of the next pixel's region: they count from 1 in the order in which they are asked for.
    fn of(&mut self, region: u32) -> u32 {
        let (number, is_kept) = &mut self.numbers[region as usize];
        if *is_kept && *number == 0 {
            *number = self.next;
            self.next += 1;
        }
        *number
    }
}

/// What the middle of a window grows to within its open pixels, a bit each, by as many steps as reach its edge.
fn grown(open: [u16; WINDOW]) -> [u16; WINDOW] {
    let mut region = [0; WINDOW];
    region[REACH] = 1 << REACH;
    for _ in 0..REACH {
        let wide = region.map(|bits: u16| bits | bits << 1 | bits >> 1);
        region = std::array::from_fn(|row| {
            let above = row.checked_sub(1).map_or(0, |row| wide[row]);
            let below = wide.get(row + 1).copied().unwrap_or(0);
            (above | wide[row] | below) & open[row]
        });
    }
    region
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The definition, with sets of pixels.
    fn slowly(positions: &[[i32; 2]], mask: &Array2<bool>, fraction: f64) -> Array2<u32> {
        let limits = [mask.nrows() as i32 - 1, mask.ncols() as i32 - 1];
        let ends: Vec<[i32; 2]> = positions
            .iter()
            .map(|at| [0, 1].map(|axis| at[axis].clamp(-20, limits[axis])))
            .collect();
        let mut counts: BTreeMap<[i32; 2], u32> = BTreeMap::new();
        ends.iter()
            .for_each(|&end| *counts.entry(end).or_default() += 1);
        let count = |row: i32, column: i32| counts.get(&[row, column]).copied().unwrap_or(0);
        let is_peak = |&[row, column]: &[i32; 2]| {
            let near = (-2..=2).flat_map(|down| (-2..=2).map(move |across| (down, across)));
            let highest = near
                .map(|(down, across)| count(row + down, column + across))
                .max();
            count(row, column) > 10 && Some(count(row, column)) == highest
        };
        let peaks: Vec<[i32; 2]> = counts.keys().copied().filter(is_peak).collect();
        let heights: Vec<u32> = peaks
            .iter()
            .map(|&[row, column]| count(row, column))
            .collect();
        let mut regions: BTreeMap<[i32; 2], u32> = BTreeMap::new();
        for (label, place) in (1..).zip(argsort(&heights)) {
            let mut region = vec![peaks[place]];
            for _ in 0..5 {
                let grown = counts
                    .iter()
                    .filter(|&(_, &count)| count > 2)
                    .map(|(&at, _)| at);
                let grown = grown.filter(|at| {
                    let touches = |other: &[i32; 2]| {
                        at[0].abs_diff(other[0]) <= 1 && at[1].abs_diff(other[1]) <= 1
                    };
                    region.iter().any(touches)
                });
                region = grown.collect();
            }
            regions.extend(region.into_iter().map(|at| (at, label)));
        }
        let mut labels = Array2::zeros(mask.dim());
        let inside = labels.iter_mut().zip(mask).filter(|&(_, &inside)| inside);
        for ((label, _), end) in inside.zip(&ends) {
            *label = regions.get(end).copied().unwrap_or(0);
        }
        let mut numbers = BTreeMap::new();
        let sizes = labels.iter().fold(BTreeMap::new(), |mut sizes, &label| {
            *sizes.entry(label).or_insert(0) += 1;
            sizes
        });
        let limit = mask.len() as f64 * fraction;
        labels.mapv_into(|label: u32| {
            if label == 0 || f64::from(sizes[&label]) > limit {
                return 0;
            }
            let next = numbers.len() as u32 + 1;
            *numbers.entry(label).or_insert(next)
        })
    }

    /// Positions around a few places, some of them outside, and a mask.
    fn landings() -> impl Strategy<Value = (Vec<[i32; 2]>, Array2<bool>)> {
        let place = (-25..45_i32, -25..45_i32, 1..5_i32);
        let places = proptest::collection::vec(place, 1..9);
        let points = proptest::collection::vec((0..9_usize, 0..5_i32, 0..5_i32, 0..8_u8), 30 * 30);
        (1..30_usize, 1..30_usize, places, points).prop_map(|(rows, columns, places, points)| {
            let mask = Array2::from_shape_fn((rows, columns), |(row, column)| {
                points[row * 30 + column].3 > 0
            });
            let inside = mask.indexed_iter().filter(|&(_, &inside)| inside);
            let position = |((row, column), _)| {
                let (place, down, across, _) = points[row * 30 + column];
                let (top, left, spread) = places[place % places.len()];
                [top + down % spread, left + across % spread]
            };
            (inside.map(position).collect(), mask)
        })
    }

    fn labeled(positions: &[[i32; 2]], mask: &Array2<bool>, fraction: f64) -> Array2<u32> {
        let positions =
            Array2::from_shape_fn((2, positions.len()), |(axis, at)| positions[at][axis]);
        masks_of_positions(positions.view(), mask.view(), fraction)
    }

    proptest! {
        #[test]
        fn labels_are_those_of_the_definition(
            (positions, mask) in landings(), fraction in prop_oneof![Just(0.4), Just(1.0), Just(0.1)],
        ) {
            prop_assert_eq!(labeled(&positions, &mask, fraction), slowly(&positions, &mask, fraction));
        }
    }

    #[test]
    fn positions_far_outside_are_taken() {
        let mask = Array2::from_elem((4, 6), true);
        for edge in [i32::MIN, -20, 23, 25, i32::MAX - 20] {
            let labels = labeled(&[[edge; 2]; 24], &mask, 1.0);
            assert_eq!(labels, Array2::from_elem((4, 6), 1), "{edge}");
        }
    }

    #[test]
    fn an_image_without_pixels_has_no_labels() {
        let mask = Array2::from_elem((0, 5), true);
        assert_eq!(labeled(&[], &mask, 0.4).dim(), (0, 5));
        assert!(Landing::new([1 << 20, 1 << 20]).is_none());
    }
}
