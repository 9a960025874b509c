//! Seeded watershed of one plane.
//!
//! Border: heights, markers and a mask in, labels out; what the heights mean is the caller's
//! business.

use ndarray::{Array2, ArrayView2, Zip};

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
    let parts = Parts::new(&basins, &seeds);
    let entries = basins.flood_tied_markers(seeds, &parts);
    basins.flood(entries, &parts);
    basins.into_labels(heights.dim())
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

    /// Floods part after part.
    fn flood(&mut self, mut entries: Vec<Entry>, parts: &Parts) {
        entries.sort_unstable_by_key(|entry| parts.of[entry.index as usize]);
        let mut queue = BucketQueue::default();
        for entries in entries.chunk_by(|a, b| parts.of[a.index as usize] == parts.of[b.index as usize]) {
            let part = &parts.parts[parts.of[entries[0].index as usize] as usize - 1];
            match part.label {
                Some(label) => {
                    for &index in &parts.pixels[part.start..part.end] {
                        self.labels[index as usize] = label;
                    }
                }
                None => {
                    queue.set_range(part.lowest, part.highest);
                    self.flood_part(entries, &mut queue);
                }
            }
        }
    }

    fn flood_part(&mut self, entries: &[Entry], queue: &mut BucketQueue) {
        for &entry in entries {
            queue.push(self.heights[entry.index as usize], entry);
        }
        while let Some(entry) = queue.pop() {
            for neighbour in self.neighbours(entry.index) {
                let Some(reached) = self.reach(neighbour, entry.index) else {
                    continue;
                };
                let leads_on = |&next: &usize| self.labels[next] == 0;
                if self.neighbours(reached.index).iter().any(leads_on) {
                    queue.push(self.heights[neighbour], reached);
                }
            }
        }
    }

    fn into_labels(self, shape: (usize, usize)) -> Array2<u32> {
        let mut labels = Array2::zeros(shape);
        let rows = self.labels.chunks_exact(self.width).skip(1);
        for (mut to, from) in labels.outer_iter_mut().zip(rows) {
            let inner = from[1..].iter().map(|&label| if label == OUTSIDE { 0 } else { label });
            to.iter_mut().zip(inner).for_each(|(to, label)| *to = label);
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

/// The 4-connected parts of the mask that hold a marker.
struct Parts {
    /// Part of every pixel, counted from 1; 0 off the mask and in parts without a marker.
    of: Vec<u32>,
    parts: Vec<Part>,
    /// Their pixels, part after part.
    pixels: Vec<u32>,
}

struct Part {
    /// Where its pixels start and end.
    start: usize,
    end: usize,
    /// The label of all its markers, if they have the same.
    label: Option<u32>,
    lowest: f32,
    highest: f32,
}

impl Parts {
    fn new(basins: &Basins, seeds: &[Entry]) -> Self {
        let mut this = Self { of: vec![0; basins.labels.len()], parts: Vec::new(), pixels: Vec::new() };
        for seed in seeds {
            if this.of[seed.index as usize] == 0 {
                this.add(basins, seed.index);
            }
        }
        this
    }

    /// Adds the part around a marker.
    fn add(&mut self, basins: &Basins, seed: u32) {
        let start = self.pixels.len();
        let number = self.parts.len() as u32 + 1;
        let first = basins.labels[seed as usize];
        let mut label = Some(first);
        let (mut lowest, mut highest) = (f32::INFINITY, f32::NEG_INFINITY);
        self.of[seed as usize] = number;
        self.pixels.push(seed);
        let mut next = start;
        while let Some(&index) = self.pixels.get(next) {
            next += 1;
            let height = basins.heights[index as usize];
            (lowest, highest) = (lowest.min(height), highest.max(height));
            if ![0, first].contains(&basins.labels[index as usize]) {
                label = None;
            }
            for neighbour in basins.neighbours(index) {
                if self.of[neighbour] == 0 && basins.labels[neighbour] != OUTSIDE {
                    self.of[neighbour] = number;
                    self.pixels.push(neighbour as u32);
                }
            }
        }
        self.parts.push(Part { start, end: next, label, lowest, highest });
    }

    /// Where the markers lie, ascending, that share their height with another one in a part
    /// of several labels.
    fn ties(&self, seeds: &[Entry]) -> Vec<u32> {
        let part = |seed: &Entry| self.of[seed.index as usize];
        let contested = |seed: &&Entry| self.parts[part(seed) as usize - 1].label.is_none();
        let mut seeds: Vec<Entry> = seeds.iter().filter(contested).copied().collect();
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

/// A priority queue for entries whose keys all differ: small heaps over slices of the range
/// of heights, and a bit for each that is not empty.
struct BucketQueue {
    lowest: f32,
    per_height: f32,
    buckets: Vec<Vec<Entry>>,
    occupied: [u64; BUCKETS / 64],
}

/// Heaps of a [`BucketQueue`]; their heads fit into the first-level cache.
const BUCKETS: usize = 512;

impl Default for BucketQueue {
    fn default() -> Self {
        Self { lowest: 0.0, per_height: 1.0, buckets: vec![Vec::new(); BUCKETS], occupied: [0; BUCKETS / 64] }
    }
}

impl BucketQueue {
    /// Prepares the empty queue for heights of this range.
    fn set_range(&mut self, lowest: f32, highest: f32) {
        self.lowest = lowest;
        self.per_height = (BUCKETS - 1) as f32 / (highest - lowest);
    }

    fn push(&mut self, height: f32, entry: Entry) {
        let bucket = (((height - self.lowest) * self.per_height) as usize).min(BUCKETS - 1);
        push(&mut self.buckets[bucket], entry);
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    fn pop(&mut self) -> Option<Entry> {
        let word = self.occupied.iter().position(|&word| word != 0)?;
        let bit = self.occupied[word].trailing_zeros() as usize;
        let bucket = &mut self.buckets[word * 64 + bit];
        let entry = pop(bucket);
        if bucket.is_empty() {
            self.occupied[word] &= !(1 << bit);
        }
        entry
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
