//! Maxima of a plane: h-maxima and local maxima.
//!
//! Border: where the maxima are; which of them belong together is `label`'s business.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::morphology::{disk_half_widths, square_maximum};
use crate::plane::{as_row_major, from_values, range, vectorized, zeros};

/// The mask `[row, column]` of the h-maxima of a plane: pixels from which no pixel higher by about
/// `h` can be reached over steps of up to `radius` pixels without descending by `h`. As
/// scikit-image's `h_maxima` with a disk.
///
/// A pixel is one if it exceeds the reconstruction of `(f - h) - 2e-6 * |f|` under `f` over
/// disks of `radius` by at least `h`, all in `f32`. A peak closer than `radius` to a higher
/// one is absorbed whatever lies between; plateaus are kept whole. If `h` exceeds the range of
/// the plane there are none.
///
/// Only maxima are looked for, the reconstruction is never made: a pixel is ruled out as soon as a
/// flood of what is less than `h` below it meets a pixel that would raise the reconstruction.
/// Floods start at local maxima, highest first, and end where an earlier one has been, so that
/// every pixel is visited about once. Strips of the plane are searched side by side; a flood that
/// leaves its strip is left to a search of the whole.
///
/// # Panics
/// If `h` is not positive in `f32`.
#[must_use]
pub fn h_maxima(image: ArrayView2<'_, f32>, h: f64, radius: usize) -> Array2<bool> {
    assert!(h as f32 > 0.0, "the height of an h-maximum is positive");
    let image = image.as_standard_layout();
    let (rows, columns) = image.dim();
    let image = as_row_major(&image);
    let (low, high) = range(image);
    if image.is_empty() || h > f64::from(high - low) {
        return from_values([rows, columns], vec![false; image.len()]);
    }
    let levels = Levels {
        image,
        h: h as f32,
        low,
        high,
    };
    let mask = if radius == 0 {
        image
            .iter()
            .map(|&value| !levels.absorbed(value, levels.seed(value)))
            .collect()
    } else {
        maxima(levels, [rows, columns], radius)
    };
    from_values([rows, columns], mask)
}

/// What decides between a pixel and those it can reach.
#[derive(Clone, Copy)]
struct Levels<'a> {
    image: &'a [f32],
    h: f32,
    /// Range of the whole plane.
    low: f32,
    high: f32,
}

impl Levels<'_> {
    /// Value from which a pixel starts to raise the reconstruction.
    #[inline(always)]
    fn seed(&self, value: f32) -> f32 {
        const TINY: f32 = 2e-6;
        (value - self.h) - TINY * value.abs()
    }

    /// Whether a seed that reaches a pixel of value `top` keeps it from being a maximum.
    #[inline(always)]
    fn absorbed(&self, top: f32, seed: f32) -> bool {
        top - seed < self.h
    }

    /// Whether a flood from a pixel of value `top` would cover the whole plane and meet its highest pixel, which absorbs it.
    /// Most of what is no cell is that low.
    #[inline(always)]
    fn drowned(&self, top: f32) -> bool {
        self.passable(top, self.low) && self.absorbed(top, self.seed(self.high))
    }

    /// Whether a way from a pixel of value `top` may lead over one of value `other`.
    #[inline(always)]
    fn passable(&self, top: f32, other: f32) -> bool {
        top - other < self.h
    }
}

/// Most and fewest rows of a strip.
const STRIP: [usize; 2] = [96, 512];

/// Rows beside a strip that its floods may enter, beyond the radius.
const MARGIN: usize = 48;

fn maxima(levels: Levels<'_>, [rows, columns]: [usize; 2], radius: usize) -> Vec<bool> {
    let height = rows
        .div_ceil(rayon::current_num_threads())
        .clamp(STRIP[0], STRIP[1]);
    let strips: Vec<_> = (0..rows)
        .step_by(height)
        .map(|top| top..(top + height).min(rows))
        .collect();
    let found = strips.into_par_iter().map(|strip| {
        let margin = MARGIN + radius;
        let window = strip.start.saturating_sub(margin)..(strip.end + margin).min(rows);
        let floods = Floods::new(levels, [rows, columns], window, radius);
        let origins = floods.origins(strip);
        floods.search(origins)
    });
    // Floods that left their windows are few: they are searched again in the whole plane.
    let (mut maxima, mut undecided) = (Vec::new(), Vec::new());
    for mut found in found.collect::<Vec<Found>>() {
        maxima.append(&mut found.maxima);
        undecided.append(&mut found.undecided);
    }
    if !undecided.is_empty() {
        maxima.extend(
            Floods::new(levels, [rows, columns], 0..rows, radius)
                .search(undecided)
                .maxima,
        );
    }
    plateaus(levels.image, [rows, columns], maxima)
}

/// What became of the origins of floods, by their pixels.
struct Found {
    maxima: Vec<u32>,
    /// Those whose floods left the window.
    undecided: Vec<u32>,
}

/// Floods over a window of whole rows, each from a local maximum.
struct Floods<'a> {
    /// Of the whole plane.
    whole: Levels<'a>,
    /// Of the window.
    levels: Levels<'a>,
    /// Of the window.
    shape: [usize; 2],
    /// First pixel of the window.
    start: usize,
    /// Whether the plane goes on above and below the window.
    open_ends: [bool; 2],
    /// Half the width of the disk's rows, from its middle row outwards.
    widths: Vec<usize>,
    /// Flood that reached a pixel last, 0 if none.
    owners: Vec<u32>,
    /// What became of flood k + 1.
    fates: Vec<Fate>,
    /// Pixels that the current flood has not looked at, a bit each.
    open: Vec<u64>,
    /// Words of `open` in a row.
    words: usize,
    /// What the current flood has looked at: words of `open`, and which of their bits.
    seen: Vec<(u32, u64)>,
    /// Pixels that the current flood reached, in this order …
    reached: Vec<Run>,
    /// … and how many of these runs were visited.
    visited: usize,
}

/// Pixels beside each other.
#[derive(Clone, Copy)]
struct Run {
    row: u32,
    first: u32,
    last: u32,
}

/// What became of a flood.
#[derive(Clone, Copy)]
enum Fate {
    /// It met a pixel that absorbs its origin.
    Absorbed,
    /// It ended by itself: its origin of the value `top` is a maximum, and `seed` the highest
    /// seed it met.
    Maximum { top: f32, seed: f32 },
    /// It left the window.
    Undecided,
}

impl<'a> Floods<'a> {
    fn new(
        whole: Levels<'a>,
        [rows, columns]: [usize; 2],
        window: Range<usize>,
        radius: usize,
    ) -> Self {
        let words = columns.div_ceil(64);
        let image = &whole.image[window.start * columns..window.end * columns];
        Self {
            whole,
            levels: Levels { image, ..whole },
            shape: [window.len(), columns],
            start: window.start * columns,
            open_ends: [window.start > 0, window.end < rows],
            widths: disk_half_widths(radius),
            owners: zeros(image.len()),
            fates: Vec::new(),
            open: vec![u64::MAX; window.len() * words],
            words,
            seen: Vec::new(),
            reached: Vec::new(),
            visited: 0,
        }
    }

    /// Floods from these pixels of the plane, highest first.
    fn search(mut self, origins: Vec<u32>) -> Found {
        let mut found = Found {
            maxima: Vec::new(),
            undecided: Vec::new(),
        };
        let mut ranked: Vec<u64> = origins
            .into_iter()
            .map(|origin| self.rank(origin))
            .collect();
        ranked.sort_unstable();
        for origin in ranked {
            let origin = origin as u32;
            match self.is_maximum(origin as usize - self.start) {
                Some(true) => found.maxima.push(origin),
                Some(false) => {}
                None => found.undecided.push(origin),
            }
        }
        found
    }

    /// Orders pixels by descending value; the lower half is the pixel.
    fn rank(&self, index: u32) -> u64 {
        let bits = self.whole.image[index as usize].to_bits();
        let descending = if bits >> 31 == 0 {
            !(bits | 1 << 31)
        } else {
            bits
        };
        u64::from(descending) << 32 | u64::from(index)
    }

    /// The first pixel in raster order of every plateau in these rows of the plane that its neighbors do not absorb.
    fn origins(&self, strip: Range<usize>) -> Vec<u32> {
        let columns = self.shape[1];
        let rows = self.whole.image.len() / columns;
        let row = |row: usize| &self.whole.image[row * columns..(row + 1) * columns];
        // A disk of radius 1 has four neighbors, a larger one all eight.
        let touches_diagonally = self.widths.len() > 2;
        let mut upright = vec![f32::NEG_INFINITY; columns + 2];
        let mut middle = upright.clone();
        let mut stands_out = vec![false; columns];
        let mut origins = Vec::new();
        for y in strip {
            let (above, here, below) =
                (row(y.saturating_sub(1)), row(y), row((y + 1).min(rows - 1)));
            highest_of_rows(&mut upright[1..=columns], [above, here, below]);
            middle[1..=columns].copy_from_slice(here);
            let sides = if touches_diagonally {
                &upright
            } else {
                &middle
            };
            self.mark_outstanding(here, &upright, sides, &mut stands_out);
            let outstanding = stands_out.iter().enumerate().filter(|(_, is)| **is);
            for (x, _) in outstanding {
                // One origin is enough for a plateau: pixels that go on with it are left out.
                let repeats = (y > 0 && above[x] == here[x]) || (x > 0 && here[x - 1] == here[x]);
                if !repeats {
                    origins.push((y * columns + x) as u32);
                }
            }
        }
        origins
    }

    /// Marks the pixels of a row that their neighbors do not absorb: in a pass of its own, which takes several pixels at a
    /// time.
    ///
    /// `upright` holds the highest of each column's neighbors, `sides` what lies beside a pixel, both with a margin of one.
    fn mark_outstanding(
        &self,
        here: &[f32],
        upright: &[f32],
        sides: &[f32],
        stands_out: &mut [bool],
    ) {
        let beside = sides
            .iter()
            .zip(&sides[2..])
            .map(|(&left, &right)| higher(left, right));
        let neighbors = upright[1..].iter().zip(beside);
        let pixels = stands_out.iter_mut().zip(here).zip(neighbors);
        vectorized(
            #[inline(always)]
            || {
                for ((to, &value), (&upright, beside)) in pixels {
                    let highest = higher(upright, beside);
                    let levels = &self.levels;
                    *to = !levels.absorbed(value, levels.seed(highest)) & !levels.drowned(value);
                }
            },
        );
    }

    /// Whether a pixel of the window is a maximum, if the window shows that.
    fn is_maximum(&mut self, origin: usize) -> Option<bool> {
        let top = self.levels.image[origin];
        self.known(origin, top).or_else(|| self.flood(origin, top))
    }

    /// Whether a pixel of value `top` that reaches `index` is a maximum, if an earlier flood decides it.
    fn known(&self, index: usize, top: f32) -> Option<bool> {
        let flood = self.owners[index].checked_sub(1)?;
        match self.fates.get(flood as usize)? {
            Fate::Absorbed => Some(false),
            Fate::Maximum { seed, .. } if self.levels.absorbed(top, *seed) => Some(false),
            Fate::Maximum { top: other, .. } if *other == top => Some(true),
            Fate::Maximum { .. } | Fate::Undecided => None,
        }
    }

    fn flood(&mut self, origin: usize, top: f32) -> Option<bool> {
        let fate = self.spread(origin, top);
        self.fates.push(fate);
        // Only what this flood has touched is opened again: to reset the plane for each flood would be quadratic.
        for (word, bits) in self.seen.drain(..) {
            self.open[word as usize] |= bits;
        }
        self.reached.clear();
        self.visited = 0;
        match fate {
            Fate::Absorbed => Some(false),
            Fate::Maximum { .. } => Some(true),
            Fate::Undecided => None,
        }
    }

    /// Visits what a pixel of value `top` can reach, nearest first, until something absorbs it.
    fn spread(&mut self, origin: usize, top: f32) -> Fate {
        let [rows, columns] = self.shape;
        let mut seed = self.levels.seed(top);
        if self.levels.absorbed(top, seed) {
            return Fate::Absorbed;
        }
        self.owners[origin] = self.fates.len() as u32 + 1;
        let (row, column) = (origin / columns, origin % columns);
        self.close(row * self.words + column / 64, 1 << (column % 64));
        self.reached.push(Run {
            row: row as u32,
            first: column as u32,
            last: column as u32,
        });
        // `reached` is the queue, too: what was visited stays in front.
        while let Some(&run) = self.reached.get(self.visited) {
            self.visited += 1;
            let (row, reach) = (run.row as usize, self.widths.len() - 1);
            let leaves = [row < reach, row + reach >= rows];
            if (leaves[0] && self.open_ends[0]) || (leaves[1] && self.open_ends[1]) {
                return Fate::Undecided;
            }
            match self.visit_disks(run, top) {
                Some(highest) => seed = seed.max(highest),
                None => return Fate::Absorbed,
            }
        }
        Fate::Maximum { top, seed }
    }

    /// Takes open pixels of a word for seen; all of them if they are.
    fn close(&mut self, word: usize, wanted: u64) -> u64 {
        let bits = self.open[word] & wanted;
        if bits != 0 {
            self.open[word] &= !bits;
            self.seen.push((word as u32, bits));
        }
        bits
    }

    /// Visits the open pixels of the disks around all pixels of a run, from its row outwards; the highest seed among them unless
    /// one absorbs a pixel of value `top`.
    fn visit_disks(&mut self, run: Run, top: f32) -> Option<f32> {
        let [rows, columns] = self.shape;
        let row = run.row as usize;
        let mut highest = f32::NEG_INFINITY;
        for offset in 0..self.widths.len() {
            let width = self.widths[offset];
            let first = (run.first as usize).saturating_sub(width);
            let last = (run.last as usize + width).min(columns - 1);
            let above = row.checked_sub(offset);
            let below = (offset > 0 && row + offset < rows).then_some(row + offset);
            for y in above.into_iter().chain(below) {
                highest = highest.max(self.visit_row(y, [first, last], top)?);
            }
        }
        Some(highest)
    }

    /// Visits the open pixels from `first` to `last` in row `y`; the highest seed among them
    /// unless one absorbs a pixel of value `top`.
    fn visit_row(&mut self, y: usize, [first, last]: [usize; 2], top: f32) -> Option<f32> {
        let flood = self.fates.len() as u32 + 1;
        let mut highest = f32::NEG_INFINITY;
        for word in first / 64..=last / 64 {
            let from = if word == first / 64 {
                u64::MAX << (first % 64)
            } else {
                u64::MAX
            };
            let to = if word == last / 64 {
                u64::MAX >> (63 - last % 64)
            } else {
                u64::MAX
            };
            let mut bits = self.close(y * self.words + word, from & to);
            while bits != 0 {
                let column = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let index = y * self.shape[1] + column;
                let value = self.levels.image[index];
                // What is too low to lead on is too low to absorb, too, and no higher flood has been there.
                if !self.levels.passable(top, value) {
                    continue;
                }
                let seed = self.levels.seed(value);
                if self.levels.absorbed(top, seed) || self.known(index, top) == Some(false) {
                    return None;
                }
                highest = highest.max(seed);
                self.owners[index] = flood;
                self.reach(y as u32, column as u32);
            }
        }
        Some(highest)
    }

    /// Adds a pixel to those that are reached: to the last run, if it goes on there and is still to be visited.
    fn reach(&mut self, row: u32, column: u32) {
        match self.reached[self.visited..].last_mut() {
            Some(run) if run.row == row && run.last + 1 == column => run.last = column,
            _ => self.reached.push(Run {
                row,
                first: column,
                last: column,
            }),
        }
    }
}

/// The mask of the plateaus that hold these pixels.
fn plateaus(image: &[f32], [rows, columns]: [usize; 2], mut pixels: Vec<u32>) -> Vec<bool> {
    let mut mask = vec![false; image.len()];
    pixels.iter().for_each(|&pixel| mask[pixel as usize] = true);
    while let Some(pixel) = pixels.pop() {
        let pixel = pixel as usize;
        let (row, column) = (pixel / columns, pixel % columns);
        let beside = [
            (column > 0).then(|| pixel - 1),
            (column + 1 < columns).then_some(pixel + 1),
        ];
        let across = [
            (row > 0).then(|| pixel - columns),
            (row + 1 < rows).then_some(pixel + columns),
        ];
        for neighbor in beside.into_iter().chain(across).flatten() {
            if image[neighbor] == image[pixel] && !mask[neighbor] {
                mask[neighbor] = true;
                pixels.push(neighbor as u32);
            }
        }
    }
    mask
}

/// The highest of each column in three rows.
fn highest_of_rows(to: &mut [f32], [above, here, below]: [&[f32]; 3]) {
    vectorized(
        #[inline(always)]
        || {
            for (((to, &a), &b), &c) in to.iter_mut().zip(above).zip(here).zip(below) {
                *to = higher(higher(a, b), c);
            }
        },
    );
}

/// The higher of two values, without the care `f32::max` takes of NaN.
#[inline(always)]
fn higher(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// How [`peak_local_max`] chooses.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalMaxima {
    /// Half the side of the square in which a peak is the maximum, and the least distance of
    /// two peaks, in pixels.
    pub min_distance: usize,
    /// Value that a peak exceeds.
    pub threshold: f64,
    /// Pixels along every side in which no peak lies.
    pub border: usize,
}

/// The local maxima of a plane `[row, column]`, each as `[row, column]`, highest first. As
/// `peak_local_max` of scikit-image 0.21.
///
/// A peak equals the maximum of the square around it and exceeds the threshold in `f32`. A plane
/// in which every pixel is such a maximum has no peaks. Peaks are accepted in order of their height
/// if they keep the Chebyshev distance `min_distance` to all accepted before.
///
/// Equal peaks come in the order of `NumPy` 1's unstable quicksort, which decides which survives.
#[must_use]
pub fn peak_local_max(image: ArrayView2<'_, f32>, options: &LocalMaxima) -> Vec<[usize; 2]> {
    let image = image.as_standard_layout();
    let (rows, columns) = image.dim();
    let image = as_row_major(&image);
    let distance = options.min_distance;
    let maxima = square_maximum(image, [rows, columns], distance);
    if image == maxima {
        return Vec::new();
    }
    let border = options.border;
    let inside = |index: usize| {
        let (row, column) = (index / columns, index % columns);
        row.min(column) >= border && row + border < rows && column + border < columns
    };
    let threshold = options.threshold as f32;
    let is_peak = |index: &usize| image[*index] == maxima[*index] && image[*index] > threshold;
    let candidates = (0..image.len())
        .into_par_iter()
        .filter(is_peak)
        .filter(|&index| inside(index));
    let candidates: Vec<usize> = candidates.collect();
    let heights: Vec<f32> = candidates.iter().map(|&index| -image[index]).collect();
    let ordered = unstable_order(&heights)
        .into_iter()
        .map(|position| candidates[position]);
    spaced(ordered, [rows, columns], distance)
}

/// The candidates, as `[row, column]`, that keep the Chebyshev `distance` to all that were kept before them.
pub(crate) fn spaced(
    candidates: impl Iterator<Item = usize>,
    [rows, columns]: [usize; 2],
    distance: usize,
) -> Vec<[usize; 2]> {
    let reach = distance.saturating_sub(1);
    let mut taken = vec![false; rows * columns];
    let mut kept = Vec::new();
    for index in candidates {
        let (row, column) = (index / columns, index % columns);
        if distance > 0 && taken[index] {
            continue;
        }
        kept.push([row, column]);
        for y in row.saturating_sub(reach)..(row + reach + 1).min(rows) {
            let right = (column + reach + 1).min(columns);
            taken[y * columns + column.saturating_sub(reach)..y * columns + right].fill(true);
        }
    }
    kept
}

/// Indices of `keys` in ascending order, equal ones in the order of `NumPy` 1's `argsort`:
/// a quicksort with the median of three as pivot, ranges of up to 16 sorted by insertion.
fn unstable_order(keys: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    let mut postponed = Vec::new();
    let Some(last) = keys.len().checked_sub(1) else {
        return order;
    };
    let (mut left, mut right) = (0, last);
    loop {
        while right - left >= 16 {
            let pivot = partition(&mut order, keys, left, right);
            let (lower, upper) = ((left, pivot.saturating_sub(1)), (pivot + 1, right));
            // The shorter part first, the longer one waits: as in NumPy, and the list stays short.
            let (now, later) = if pivot - left < right - pivot {
                (lower, upper)
            } else {
                (upper, lower)
            };
            postponed.push(later);
            (left, right) = now;
        }
        insertion_sort(&mut order[left..=right], keys);
        let Some(range) = postponed.pop() else {
            return order;
        };
        (left, right) = range;
    }
}

/// Parts `order[left..=right]` around the median of its first, middle and last key; returns
/// where the pivot ends up.
fn partition(order: &mut [usize], keys: &[f32], left: usize, right: usize) -> usize {
    let middle = left + (right - left) / 2;
    for (a, b) in [(left, middle), (middle, right), (left, middle)] {
        if keys[order[b]] < keys[order[a]] {
            order.swap(a, b);
        }
    }
    // The pivot waits at the end, and the ends that were just ordered stop both searches.
    let pivot = keys[order[middle]];
    order.swap(middle, right - 1);
    let (mut i, mut j) = (left, right - 1);
    loop {
        i += 1;
        while keys[order[i]] < pivot {
            i += 1;
        }
        j -= 1;
        while pivot < keys[order[j]] {
            j -= 1;
        }
        if i >= j {
            break;
        }
        order.swap(i, j);
    }
    order.swap(i, right - 1);
    i
}

fn insertion_sort(order: &mut [usize], keys: &[f32]) {
    for end in 1..order.len() {
        let mut place = end;
        while place > 0 && keys[order[place]] < keys[order[place - 1]] {
            order.swap(place, place - 1);
            place -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::segmentation::morphology::reconstruction;
    use crate::strategies;

    /// The definition, with the whole reconstruction.
    fn slow(image: &Array2<f32>, h: f64, radius: usize) -> Array2<bool> {
        let (low, high) = image.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| {
            (low.min(v), high.max(v))
        });
        if h > f64::from(high - low) {
            return Array2::default(image.dim());
        }
        let h = h as f32;
        let seed = image.mapv(|value| (value - h) - 2e-6_f32 * value.abs());
        let raised = reconstruction(seed.view(), image.view(), radius);
        Array2::from_shape_fn(image.dim(), |pixel| image[pixel] - raised[pixel] >= h)
    }

    fn height() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(0.05),
            Just(0.1),
            Just(0.2),
            Just(0.4),
            1e-7..1e-5,
            0.01..1.5
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn floods_find_the_maxima_of_the_reconstruction(
            image in strategies::plane(14), h in height(), radius in 0..5_usize,
        ) {
            prop_assert_eq!(h_maxima(image.view(), h, radius), slow(&image, h, radius));
        }

        #[test]
        fn almost_equal_peaks_are_told_apart_as_in_the_reconstruction(
            image in strategies::plane(12), scale in prop_oneof![Just(1e-6_f32), Just(1e-5)], radius in 1..4_usize,
        ) {
            let image = image.mapv(|value| 0.9 + scale * value);
            for h in [1e-7, 1e-6, 2e-6, 5e-6] {
                prop_assert_eq!(h_maxima(image.view(), h, radius), slow(&image, h, radius));
            }
        }
    }

    proptest! {
        #[test]
        fn planes_wider_than_a_word_of_bits_are_flooded_whole(
            image in strategies::plane(9), h in height(), repeats in 8..20_usize,
        ) {
            let (rows, columns) = image.dim();
            let wide = Array2::from_shape_fn((rows, columns * repeats), |(row, column)| {
                image[[row, column % columns]] + (column / 7) as f32 * 0.013
            });
            prop_assert_eq!(h_maxima(wide.view(), h, 3), slow(&wide, h, 3));
        }

        #[test]
        fn planes_of_several_strips_are_searched_whole(
            image in strategies::plane(9), h in height(), repeats in 20..60_usize, slope in -1..2_i32,
        ) {
            let (rows, columns) = image.dim();
            let tall = Array2::from_shape_fn((rows * repeats, columns), |(row, column)| {
                image[[row % rows, column]] + (slope * (row / 11) as i32) as f32 * 0.013
            });
            prop_assert_eq!(h_maxima(tall.view(), h, 2), slow(&tall, h, 2));
        }

        #[test]
        fn accepted_peaks_keep_their_distance(image in strategies::plane(20), min_distance in 1..5_usize) {
            let peaks = peak_local_max(image.view(), &LocalMaxima { min_distance, threshold: 0.0, border: 1 });
            for (place, &[row, column]) in peaks.iter().enumerate() {
                prop_assert!(image[[row, column]] > 0.0);
                for &[y, x] in &peaks[..place] {
                    prop_assert!(y.abs_diff(row).max(x.abs_diff(column)) >= min_distance);
                    prop_assert!(image[[y, x]] >= image[[row, column]]);
                }
            }
        }

        #[test]
        fn the_unstable_order_is_an_order(keys in proptest::collection::vec(0..9_u8, 0..200)) {
            let keys: Vec<f32> = keys.into_iter().map(f32::from).collect();
            let order = unstable_order(&keys);
            prop_assert!(order.is_sorted_by(|&a, &b| keys[a] <= keys[b]));
            let mut indices = order;
            indices.sort_unstable();
            prop_assert!(indices.into_iter().eq(0..keys.len()));
        }
    }

    #[test]
    fn a_peak_within_reach_of_a_higher_one_is_absorbed_across_a_valley() {
        let image = array![[0.0, 0.8, 0.0, 0.9, 0.0_f32]];
        let maxima = |radius| {
            h_maxima(image.view(), 0.1, radius)
                .into_raw_vec_and_offset()
                .0
        };
        assert_eq!(maxima(1), [false, true, false, true, false]);
        assert_eq!(maxima(2), [false, false, false, true, false]);
    }

    #[test]
    fn a_plane_of_one_value_has_no_peaks() {
        let image = Array2::from_elem((4, 4), 0.5);
        assert!(
            peak_local_max(
                image.view(),
                &LocalMaxima {
                    min_distance: 1,
                    threshold: 0.1,
                    border: 0
                }
            )
            .is_empty()
        );
    }
}
