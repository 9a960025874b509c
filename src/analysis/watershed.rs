//! Seeded watershed of one plane.
//!
//! Border: heights, markers and a mask in, labels out; what the heights mean is the caller's
//! business.

use ndarray::{Array2, ArrayView2, Zip};

use super::label::{Connectivity, label_values};

/// Label that keeps the flood out of pixels off the mask.
const OUTSIDE: u32 = u32::MAX;

/// Grows `markers` over the pixels of `mask` in the order of `heights`, all `[row, column]`;
/// pixels that no marker reaches stay 0.
///
/// Meyer's flooding with a queue: the lowest pixel comes first, among equals the one that was
/// reached first, and its neighbours above, left, right and below get its label at once. There
/// are no lines between labels. Markers of equal height come in the order in which
/// scikit-image's (up to 0.24) binary heap yields them. Markers off the mask are dropped.
///
/// Parts of the mask that are not connected cannot influence each other, so each is flooded on
/// its own, and one with a single label needs no queue.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn watershed(
    heights: ArrayView2<'_, f32>,
    markers: ArrayView2<'_, u32>,
    mask: ArrayView2<'_, bool>,
) -> Array2<u32> {
    assert_eq!(heights.dim(), markers.dim(), "heights and markers of a watershed");
    assert_eq!(heights.dim(), mask.dim(), "heights and mask of a watershed");
    let mut basins = Basins::new(heights, markers, mask);
    let seeds = basins.seeds();
    let parts = Parts::new(&basins);
    let entries = basins.flood_tied_markers(seeds, &parts);
    basins.flood(entries, &parts);
    basins.into_labels(heights.dim(), &parts)
}

/// A pixel in the queue.
#[derive(Clone, Copy)]
struct Entry {
    /// Height in the upper half, as an integer of the same order, and age in the lower.
    key: u64,
    /// Where it lies in the padded plane.
    index: u32,
}

/// Planes with a margin of one pixel, in which neighbours need no test for the border.
struct Basins {
    heights: Vec<f32>,
    labels: Vec<u32>,
    width: usize,
    /// Pixels reached so far; markers share the age 0.
    age: u32,
}

impl Basins {
    fn new(heights: ArrayView2<'_, f32>, markers: ArrayView2<'_, u32>, mask: ArrayView2<'_, bool>) -> Self {
        let (rows, columns) = heights.dim();
        let width = columns + 2;
        let mut padded_heights = vec![0.0; (rows + 2) * width];
        let mut labels = vec![OUTSIDE; (rows + 2) * width];
        for row in 0..rows {
            let inner = (row + 1) * width + 1..(row + 2) * width - 1;
            Zip::from(&mut padded_heights[inner.clone()])
                .and(&mut labels[inner])
                .and(heights.row(row))
                .and(markers.row(row))
                .and(mask.row(row))
                .for_each(|to, label, &height, &marker, &inside| {
                    *to = height;
                    *label = if inside { marker } else { OUTSIDE };
                });
        }
        Self { heights: padded_heights, labels, width, age: 0 }
    }

    /// The markers inside the mask, in raster order.
    fn seeds(&self) -> Vec<Entry> {
        let labels = self.labels.iter().zip(0..);
        let seeds = labels.filter(|(label, _)| **label != 0 && **label != OUTSIDE);
        seeds.map(|(_, index)| Entry { key: key(self.heights[index as usize], 0), index }).collect()
    }

    /// Floods with the reference's own heap as long as markers wait in it whose order decides
    /// and depends on the heap's shape; returns what waits then, in no order.
    fn flood_tied_markers(&mut self, seeds: Vec<Entry>, parts: &Parts) -> Vec<Entry> {
        let tied = parts.ties(&seeds);
        let mut waiting = tied.len();
        if waiting == 0 {
            return seeds;
        }
        let is_tied = |entry: &Entry| entry.key as u32 == 0 && tied.binary_search(&entry.index).is_ok();
        let mut heap = Vec::new();
        seeds.into_iter().for_each(|seed| push(&mut heap, seed));
        while waiting > 0 {
            let Some(entry) = pop(&mut heap) else { break };
            waiting -= usize::from(is_tied(&entry));
            for neighbour in self.neighbours(entry.index) {
                if let Some(reached) = self.reach(neighbour, entry.index) {
                    push(&mut heap, reached);
                }
            }
        }
        heap
    }

    /// Floods the contested parts, one after the other.
    fn flood(&mut self, mut entries: Vec<Entry>, parts: &Parts) {
        let mut queue = RankQueue::new(parts.contested_pixels(&self.heights), self.labels.len());
        entries.retain(|entry| parts.is_contested(entry.index));
        entries.sort_unstable_by_key(|entry| entry.key);
        entries.iter().for_each(|entry| queue.push(entry.index));
        while let Some(from) = queue.pop() {
            let label = self.labels[from as usize];
            for neighbour in self.neighbours(from) {
                if self.labels[neighbour] == 0 {
                    self.labels[neighbour] = label;
                    queue.push(neighbour as u32);
                }
            }
        }
    }

    /// What the flood reached, and the parts that needed none.
    fn into_labels(self, shape: (usize, usize), parts: &Parts) -> Array2<u32> {
        let mut labels = Array2::zeros(shape);
        let rows = self.labels.chunks_exact(self.width).zip(parts.of.chunks_exact(self.width)).skip(1);
        for (mut to, (from, part)) in labels.outer_iter_mut().zip(rows) {
            for ((to, &label), &part) in to.iter_mut().zip(&from[1..]).zip(&part[1..]) {
                *to = match label {
                    OUTSIDE => 0,
                    0 => parts.markers[part as usize].only(),
                    label => label,
                };
            }
        }
        labels
    }

    /// Above, left, right, below.
    fn neighbours(&self, index: u32) -> [usize; 4] {
        let index = index as usize;
        [index - self.width, index - 1, index + 1, index + self.width]
    }

    /// Labels a pixel like its neighbour `from` unless it is taken.
    fn reach(&mut self, index: usize, from: u32) -> Option<Entry> {
        if self.labels[index] != 0 {
            return None;
        }
        self.labels[index] = self.labels[from as usize];
        self.age += 1;
        Some(Entry { key: key(self.heights[index], self.age), index: index as u32 })
    }
}

/// The 4-connected parts of the mask.
struct Parts {
    /// Part of every pixel, counted from 1; 0 off the mask.
    of: Vec<u32>,
    /// What is marked in each part.
    markers: Vec<Markers>,
}

/// The markers in a part of the mask.
#[derive(Clone, Copy, PartialEq)]
enum Markers {
    None,
    /// All have this label.
    One(u32),
    /// There are several labels, and the flood decides.
    Several,
}

impl Markers {
    /// The label that the part gets without a flood, or 0.
    fn only(self) -> u32 {
        if let Self::One(label) = self { label } else { 0 }
    }
}

impl Parts {
    fn new(basins: &Basins) -> Self {
        let inside: Vec<bool> = basins.labels.iter().map(|&label| label != OUTSIDE).collect();
        let of = label_values(&inside, basins.width, Connectivity::Four);
        let count = of.iter().copied().max().unwrap_or(0) as usize;
        let mut markers = vec![Markers::None; count + 1];
        for (&part, &label) in of.iter().zip(&basins.labels) {
            if label != 0 && label != OUTSIDE {
                let seen = &mut markers[part as usize];
                *seen = match *seen {
                    Markers::None => Markers::One(label),
                    Markers::One(same) if same == label => *seen,
                    _ => Markers::Several,
                };
            }
        }
        Self { of, markers }
    }

    fn is_contested(&self, index: u32) -> bool {
        self.markers[self.of[index as usize] as usize] == Markers::Several
    }

    /// Keys of the contested pixels by height and index, part after part, each part in ascending order.
    fn contested_pixels(&self, heights: &[f32]) -> Vec<u64> {
        let contested = |part: u32| self.markers[part as usize] == Markers::Several;
        let mut ends = vec![0; self.markers.len()];
        self.of.iter().filter(|&&part| contested(part)).for_each(|&part| ends[part as usize] += 1);
        let mut sum = 0;
        for end in &mut ends {
            sum += std::mem::replace(end, sum);
        }
        let mut pixels = vec![0; sum];
        for ((&part, &height), index) in self.of.iter().zip(heights).zip(0..) {
            if contested(part) {
                let end = &mut ends[part as usize];
                pixels[*end] = key(height, index);
                *end += 1;
            }
        }
        for part in ends.windows(2) {
            pixels[part[0]..part[1]].sort_unstable();
        }
        pixels
    }

    /// Where the markers lie, ascending, that share their height with another one in a part
    /// of several labels.
    fn ties(&self, seeds: &[Entry]) -> Vec<u32> {
        let part = |seed: &Entry| self.of[seed.index as usize];
        let mut seeds: Vec<Entry> = seeds.iter().filter(|seed| self.is_contested(seed.index)).copied().collect();
        seeds.sort_unstable_by_key(|seed| (part(seed), seed.key));
        let groups = seeds.chunk_by(|a, b| a.key == b.key && part(a) == part(b));
        let tied = groups.filter(|group| group.len() > 1).flatten();
        let mut tied: Vec<u32> = tied.map(|seed| seed.index).collect();
        tied.sort_unstable();
        tied
    }
}

/// Orders by height, then by age.
fn key(height: f32, age: u32) -> u64 {
    const SIGN: u32 = 1 << 31;
    let bits = (height + 0.0).to_bits();
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    u64::from(ordered) << 32 | u64::from(age)
}

/// Adds to a binary heap; only a strictly smaller key rises.
fn push(heap: &mut Vec<Entry>, entry: Entry) {
    let mut place = heap.len();
    heap.push(entry);
    while place > 0 {
        let parent = (place - 1) / 2;
        if entry.key >= heap[parent].key {
            break;
        }
        heap.swap(place, parent);
        place = parent;
    }
}

/// Takes the smallest from a binary heap; the last entry sinks from the top, both children
/// compared at every step, the left one first.
fn pop(heap: &mut Vec<Entry>) -> Option<Entry> {
    let last = heap.pop()?;
    let Some(&smallest) = heap.first() else {
        return Some(last);
    };
    let heap = heap.as_mut_slice();
    let mut place = 0;
    loop {
        let (left, right) = (2 * place + 1, 2 * place + 2);
        let mut least = (last.key, place);
        if left < heap.len() && heap[left].key < least.0 {
            least = (heap[left].key, left);
        }
        if right < heap.len() && heap[right].key < least.0 {
            least = (heap[right].key, right);
        }
        if least.1 == place {
            break;
        }
        heap[place] = heap[least.1];
        place = least.1;
    }
    heap[place] = last;
    Some(smallest)
}

/// A queue of pixels, one part after the other: in each the lowest first, among equals the one that came first.
///
/// All pixels that can come are known, so they are sorted once, and what waits is a set of ranks.
struct RankQueue {
    /// Rank of the first pixel that is as high as this one in the same part, by pixel.
    ranks: Vec<u32>,
    /// Pixels by rank, in the lower half; those of equal height are put there in the order in which they come.
    pixels: Vec<u64>,
    /// How many came, by rank of the first of their height.
    arrived: Vec<u32>,
    waiting: RankSet,
}

impl RankQueue {
    /// Set in a rank that several pixels share.
    const TIED: u32 = 1 << 31;

    /// For these pixels, keys in the order of the queue, of a plane of `len`.
    fn new(pixels: Vec<u64>, len: usize) -> Self {
        let mut ranks = vec![0; len];
        let mut first = 0;
        for group in pixels.chunk_by(|a, b| a >> 32 == b >> 32) {
            let tied = if group.len() > 1 { Self::TIED } else { 0 };
            group.iter().for_each(|&pixel| ranks[pixel as u32 as usize] = first | tied);
            first += group.len() as u32;
        }
        Self { ranks, arrived: vec![0; pixels.len()], waiting: RankSet::new(pixels.len()), pixels }
    }

    fn push(&mut self, index: u32) {
        let mut rank = self.ranks[index as usize];
        if rank & Self::TIED != 0 {
            rank &= !Self::TIED;
            let arrived = &mut self.arrived[rank as usize];
            rank += *arrived;
            *arrived += 1;
            self.pixels[rank as usize] = u64::from(index);
        }
        self.waiting.insert(rank as usize);
    }

    fn pop(&mut self) -> Option<u32> {
        self.waiting.pop().map(|rank| self.pixels[rank] as u32)
    }
}

/// A set of small numbers that gives the least one in a few steps: a bit for each, above them a bit for each word that
/// is not empty, and so on up to a single word.
struct RankSet {
    levels: Vec<Vec<u64>>,
}

impl RankSet {
    /// Empty, for numbers below `len`.
    fn new(len: usize) -> Self {
        let mut levels = vec![vec![0; len.div_ceil(64).max(1)]];
        while let Some(words) = levels.last().map(Vec::len).filter(|&words| words > 1) {
            levels.push(vec![0; words.div_ceil(64)]);
        }
        Self { levels }
    }

    fn insert(&mut self, mut number: usize) {
        for level in &mut self.levels {
            let word = &mut level[number / 64];
            let was_empty = *word == 0;
            *word |= 1 << (number % 64);
            if !was_empty {
                break;
            }
            number /= 64;
        }
    }

    /// Takes the least number out.
    fn pop(&mut self) -> Option<usize> {
        let mut least = 0;
        for level in self.levels.iter().rev() {
            let word = level[least];
            if word == 0 {
                return None;
            }
            least = least * 64 + word.trailing_zeros() as usize;
        }
        let mut number = least;
        for level in &mut self.levels {
            let word = &mut level[number / 64];
            *word &= *word - 1;
            if *word != 0 {
                break;
            }
            number /= 64;
        }
        Some(least)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::strategies;

    /// One heap from the first to the last pixel, as in scikit-image.
    fn slow(heights: &Array2<f32>, markers: &Array2<u32>, mask: &Array2<bool>) -> Array2<u32> {
        type Item = (f64, u64, (usize, usize));
        let less = |a: &Item, b: &Item| if a.0 == b.0 { a.1 < b.1 } else { a.0 < b.0 };
        let mut heap: Vec<Item> = Vec::new();
        let push = |heap: &mut Vec<Item>, item: Item| {
            heap.push(item);
            let mut i = heap.len() - 1;
            while i > 0 && less(&heap[i], &heap[(i - 1) / 2]) {
                heap.swap(i, (i - 1) / 2);
                i = (i - 1) / 2;
            }
        };
        let mut labels = Array2::from_shape_fn(markers.dim(), |p| if mask[p] { markers[p] } else { 0 });
        for (pixel, &label) in labels.indexed_iter() {
            if label > 0 {
                push(&mut heap, (f64::from(heights[pixel]), 0, pixel));
            }
        }
        let mut age = 1;
        while !heap.is_empty() {
            let (_, _, (row, column)) = heap.swap_remove(0);
            let mut i = 0;
            loop {
                let mut s = i;
                for child in [2 * i + 1, 2 * i + 2] {
                    if child < heap.len() && less(&heap[child], &heap[s]) {
                        s = child;
                    }
                }
                if s == i {
                    break;
                }
                heap.swap(s, i);
                i = s;
            }
            let (y, x) = (row as isize, column as isize);
            for (y, x) in [(y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)] {
                let pixel = (y as usize, x as usize);
                if mask.get(pixel) == Some(&true) && labels[pixel] == 0 {
                    age += 1;
                    labels[pixel] = labels[[row, column]];
                    push(&mut heap, (f64::from(heights[pixel]), age, pixel));
                }
            }
        }
        labels
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn labels_are_those_of_a_single_heap(
            heights in strategies::plane(16), seeds in strategies::plane(16), density in 1..20_u32, off in 0..4_u32,
        ) {
            let seed = |(row, column)| seeds[[row % seeds.nrows(), column % seeds.ncols()]];
            let spread = |pixel: (usize, usize)| (seed(pixel).to_bits().wrapping_mul(2_654_435_761) >> 16) as usize
                + pixel.0 * 31 + pixel.1 * 17;
            let markers = Array2::from_shape_fn(heights.dim(), |pixel| {
                if spread(pixel) as u32 % 23 < density { 1 + spread(pixel) as u32 % 5 } else { 0 }
            });
            let mask = Array2::from_shape_fn(heights.dim(), |(row, column)| (row * 7 + column * 5) as u32 % 11 >= off);
            let labels = watershed(heights.view(), markers.view(), mask.view());
            prop_assert_eq!(labels, slow(&heights, &markers, &mask));
        }
    }

    #[test]
    fn a_ridge_parts_two_basins() {
        let heights = array![[0.0, 1.0, 3.0, 2.0, 0.0_f32]];
        let markers = array![[1, 0, 0, 0, 2]];
        let mask = Array2::from_elem((1, 5), true);
        assert_eq!(watershed(heights.view(), markers.view(), mask.view()), array![[1, 1, 1, 2, 2]]);
    }

    #[test]
    fn negative_zero_is_as_high_as_zero() {
        assert_eq!(key(-0.0, 3), key(0.0, 3));
        assert!(key(-1.0, 9) < key(-0.5, 1) && key(-0.5, 1) < key(0.5, 0) && key(0.5, 0) < key(0.5, 1));
    }
}
