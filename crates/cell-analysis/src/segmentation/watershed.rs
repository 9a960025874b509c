//! Seeded watershed of one plane.
//!
//! Border: heights, markers and a mask in, labels out; what the heights mean is the caller's
//! business.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::label::{Connectivity, component_runs};
use crate::plane::{as_row_major, from_values};

/// Labels `[row, column]` from `markers` that grow over the pixels of `mask` in the order of
/// `heights`, all of one shape; pixels that no marker reaches are 0. As scikit-image's `watershed`.
///
/// Flooding with a queue (Meyer, "Un algorithme optimal pour la ligne de partage des eaux", 1991): the lowest pixel comes first, among equals the one that was
/// reached first, and its neighbors above, left, right and below get its label at once. No line is
/// left between labels. Markers of equal height come in the order in which
/// scikit-image's (up to 0.24) binary heap yields them. Markers off the mask are dropped.
///
/// Parts of the mask that are not connected cannot influence each other, so each is flooded on
/// its own, on all cores, and one with a single label needs no queue.
///
/// # Panics
/// If the shapes differ, the plane has 2^30 pixels or more, or a label is 2^31 - 1 or more.
#[must_use]
pub fn watershed(
    heights: ArrayView2<'_, f32>,
    markers: ArrayView2<'_, u32>,
    mask: ArrayView2<'_, bool>,
) -> Array2<u32> {
    assert_eq!(
        heights.dim(),
        markers.dim(),
        "heights and markers of a watershed"
    );
    let mut runs = Vec::new();
    for (row, markers) in markers.outer_iter().enumerate() {
        let pixels = (row * markers.len()..)
            .zip(markers)
            .filter(|(_, marker)| **marker != 0);
        runs.extend(pixels.map(|(pixel, &marker)| (marker, pixel..pixel + 1)));
    }
    watershed_from_runs(heights, runs, mask)
}

/// [`watershed`] from runs of marked pixels, each in one row, and their labels.
pub(super) fn watershed_from_runs(
    heights: ArrayView2<'_, f32>,
    markers: Vec<(u32, Range<usize>)>,
    mask: ArrayView2<'_, bool>,
) -> Array2<u32> {
    assert_eq!(heights.dim(), mask.dim(), "heights and mask of a watershed");
    assert!(
        (heights.nrows() + 2) * (heights.ncols() + 2) < RANKED as usize / 2,
        "a plane of a watershed is smaller"
    );
    let (heights, mask) = (heights.as_standard_layout(), mask.as_standard_layout());
    let (rows, columns) = heights.dim();
    let (mut basins, runs) = rayon::join(
        || {
            let mut basins = Basins::new(as_row_major(&heights), as_row_major(&mask), columns);
            basins.mark(markers);
            basins
        },
        || component_runs(as_row_major(&mask), columns, Connectivity::Four),
    );
    // Parts of the mask that do not touch are flooded side by side.
    let parts: Vec<_> = runs.chunk_by(|a, b| a.0 == b.0).collect();
    let parts: Vec<Part<'_>> = parts
        .into_par_iter()
        .filter_map(|runs| Part::new(runs, &basins))
        .collect();
    let entries = basins.flood_tied_markers(&parts);
    basins.flood(&parts, entries);
    basins.into_labels(rows)
}

/// What a pixel off the mask holds.
const OUTSIDE: u32 = RANKED - 1;

/// Set in the rank of a pixel that waits for a label.
const RANKED: u32 = 1 << 31;

/// Set in a rank that several pixels of equal height share.
const TIED: u32 = 1 << 30;

/// A pixel in the queue.
#[derive(Clone, Copy)]
struct Entry {
    /// Height in the upper half, as an integer of the same order, and age in the lower.
    key: u64,
    /// Where it lies in the padded plane.
    index: u32,
}

/// The planes of a flood.
struct Basins<'a> {
    /// Row by row.
    heights: &'a [f32],
    columns: usize,
    /// With a margin of one pixel, in which neighbors need no test for the border: a label; 0 without one; a rank while
    /// the pixel's part is flooded; [`OUTSIDE`] off the mask. Parts share no pixel, so the order of accesses is free.
    cells: Vec<AtomicU32>,
    /// The markers inside the mask in raster order; they share the age 0.
    seeds: Vec<Entry>,
}

impl<'a> Basins<'a> {
    fn new(heights: &'a [f32], mask: &[bool], columns: usize) -> Self {
        let width = columns + 2;
        let mut cells: Vec<AtomicU32> =
            Vec::with_capacity((heights.len() / columns.max(1) + 2) * width);
        cells.extend(outside(width + 1));
        for row in mask.chunks_exact(columns) {
            cells.extend(
                row.iter()
                    .map(|&inside| AtomicU32::new(if inside { 0 } else { OUTSIDE })),
            );
            cells.extend(outside(2));
        }
        cells.extend(outside(width - 1));
        Self {
            heights,
            columns,
            cells,
            seeds: Vec::new(),
        }
    }

    /// Labels the pixels of these runs that are in the mask.
    fn mark(&mut self, mut markers: Vec<(u32, Range<usize>)>) {
        markers.sort_unstable_by_key(|(_, run)| run.start);
        for (label, run) in markers {
            assert!(label < OUTSIDE, "labels of markers are below 2^31 - 1");
            for (index, &height) in self.indices(&run).zip(&self.heights[run]) {
                if self.cell(index) == 0 {
                    self.set(index, label);
                    self.seeds.push(Entry {
                        key: key(height, 0),
                        index,
                    });
                }
            }
        }
    }

    fn cell(&self, index: u32) -> u32 {
        self.cells[index as usize].load(Ordering::Relaxed)
    }

    fn set(&self, index: u32, value: u32) {
        self.cells[index as usize].store(value, Ordering::Relaxed);
    }

    /// Above, left, right, below.
    fn neighbors(&self, index: u32) -> [u32; 4] {
        let width = self.columns as u32 + 2;
        [index - width, index - 1, index + 1, index + width]
    }

    /// Index in the padded plane of a pixel.
    fn padded(&self, pixel: usize) -> u32 {
        (pixel + self.columns + 3 + pixel / self.columns * 2) as u32
    }

    fn height(&self, index: u32) -> f32 {
        let (row, column) = (
            index as usize / (self.columns + 2) - 1,
            index as usize % (self.columns + 2) - 1,
        );
        self.heights[row * self.columns + column]
    }

    /// Floods with the reference's own heap as long as markers wait in it whose order decides
    /// and depends on the heap's shape; returns what waits then, in no order.
    fn flood_tied_markers(&mut self, parts: &[Part<'_>]) -> Vec<Entry> {
        let tied = ties(parts, self);
        let seeds = std::mem::take(&mut self.seeds);
        let mut waiting = tied.len();
        if waiting == 0 {
            return seeds;
        }
        // Once the last tied marker has left the heap, order follows from keys alone and any queue will do.
        let mut heap = Vec::new();
        seeds.into_iter().for_each(|seed| push(&mut heap, seed));
        let mut age = 0;
        while waiting > 0 {
            let Some(entry) = pop(&mut heap) else { break };
            let is_tied = entry.key as u32 == 0 && tied.binary_search(&entry.index).is_ok();
            waiting -= usize::from(is_tied);
            for neighbor in self.neighbors(entry.index) {
                if self.cell(neighbor) == 0 {
                    self.set(neighbor, self.cell(entry.index));
                    age += 1;
                    push(
                        &mut heap,
                        Entry {
                            key: key(self.height(neighbor), age),
                            index: neighbor,
                        },
                    );
                }
            }
        }
        heap
    }

    /// Floods all parts from these entries.
    fn flood(&self, parts: &[Part<'_>], mut entries: Vec<Entry>) {
        entries.sort_unstable_by_key(|entry| entry.index);
        parts
            .par_iter()
            .for_each_init(RankQueue::default, |queue, part| match part.label {
                Some(label) => {
                    let pixels = part.runs.iter().flat_map(|(_, run)| self.indices(run));
                    pixels.for_each(|index| self.set(index, label));
                }
                None => self.flood_part(part, &entries, queue),
            });
    }

    fn flood_part(&self, part: &Part<'_>, entries: &[Entry], queue: &mut RankQueue) {
        queue.admit(part.runs.iter().flat_map(|(_, run)| {
            let pixels = self.indices(run).zip(&self.heights[run.clone()]);
            pixels.map(|(index, &height)| key(height, index))
        }));
        // Until a pixel has a label its cell holds its rank, so that a neighbor is queued without another look-up.
        queue.for_each_rank(|index, rank| {
            if self.cell(index) == 0 {
                self.set(index, rank);
            }
        });
        // What waits already enters by height and age: pixels of equal height are queued in the order in which they come.
        let mut waiting: Vec<Entry> = part.entries(self, entries).copied().collect();
        waiting.sort_unstable_by_key(|entry| entry.key);
        waiting
            .iter()
            .for_each(|entry| queue.push(queue.rank_of(entry.key), entry.index));
        while let Some(from) = queue.pop() {
            let label = self.cell(from);
            for neighbor in self.neighbors(from) {
                let rank = self.cell(neighbor);
                if rank & RANKED != 0 {
                    self.set(neighbor, label);
                    queue.push(rank, neighbor);
                }
            }
        }
    }

    /// Indices in the padded plane of the pixels of a run.
    fn indices(&self, run: &Range<usize>) -> Range<u32> {
        let start = self.padded(run.start);
        start..start + run.len() as u32
    }

    /// The labels, in the memory of the cells.
    fn into_labels(mut self, rows: usize) -> Array2<u32> {
        // Forward in place: the margin makes every pixel move towards the front.
        for row in 0..rows {
            for column in 0..self.columns {
                let label = *self.cells[(row + 1) * (self.columns + 2) + column + 1].get_mut();
                self.cells[row * self.columns + column] =
                    AtomicU32::new(if label == OUTSIDE { 0 } else { label });
            }
        }
        self.cells.truncate(rows * self.columns);
        from_values(
            [rows, self.columns],
            self.cells.into_iter().map(AtomicU32::into_inner).collect(),
        )
    }
}

/// A connected part of the mask that holds a marker.
struct Part<'r> {
    /// Its pixels, in raster order; beside them the number of the part.
    runs: &'r [(u32, Range<usize>)],
    /// The label of all its markers, if they have the same.
    label: Option<u32>,
}

impl<'r> Part<'r> {
    /// The part of these runs, if it is marked.
    fn new(runs: &'r [(u32, Range<usize>)], basins: &Basins<'_>) -> Option<Self> {
        let part = Self { runs, label: None };
        let mut labels = part
            .entries(basins, &basins.seeds)
            .map(|seed| basins.cell(seed.index));
        let first = labels.next()?;
        let is_contested = labels.any(|label| label != first);
        Some(Self {
            runs,
            label: (!is_contested).then_some(first),
        })
    }

    /// Those of the entries, sorted by index, that lie in this part.
    fn entries<'e>(
        &self,
        basins: &Basins<'_>,
        entries: &'e [Entry],
    ) -> impl Iterator<Item = &'e Entry> {
        self.runs.iter().flat_map(move |(_, run)| {
            let indices = basins.indices(run);
            let first = entries.partition_point(|entry| entry.index < indices.start);
            entries[first..]
                .iter()
                .take_while(move |entry| entry.index < indices.end)
        })
    }
}

/// Where the markers lie, ascending, that share their height with another one in a part of several labels.
fn ties(parts: &[Part<'_>], basins: &Basins<'_>) -> Vec<u32> {
    let tied = parts
        .par_iter()
        .filter(|part| part.label.is_none())
        .flat_map_iter(|part| {
            let mut seeds: Vec<&Entry> = part.entries(basins, &basins.seeds).collect();
            seeds.sort_unstable_by_key(|seed| seed.key);
            let groups = seeds
                .chunk_by(|a, b| a.key == b.key)
                .filter(|group| group.len() > 1);
            groups.flatten().map(|seed| seed.index).collect::<Vec<_>>()
        });
    let mut tied: Vec<u32> = tied.collect();
    tied.sort_unstable();
    tied
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

/// A queue of the pixels of a part, the lowest first, among equals the one that came first.
///
/// All pixels that can come are known, so they are sorted once, and what waits is a set of ranks.
#[derive(Default)]
struct RankQueue {
    /// Pixels by rank, in the lower half, below their height; those of equal height are put there in the order in which
    /// they come.
    pixels: Vec<u64>,
    /// How many came, by rank of the first of their height.
    arrived: Vec<u32>,
    waiting: RankSet,
}

impl RankQueue {
    /// Makes the empty queue ready for the pixels of these keys.
    fn admit(&mut self, keys: impl Iterator<Item = u64>) {
        self.pixels.clear();
        self.pixels.extend(keys);
        self.pixels.sort_unstable();
        self.arrived.clear();
        self.arrived.resize(self.pixels.len(), 0);
        self.waiting.reset(self.pixels.len());
    }

    /// Gives each pixel its rank, flags included.
    fn for_each_rank(&self, mut take: impl FnMut(u32, u32)) {
        let mut first = RANKED;
        for group in self.pixels.chunk_by(|a, b| a >> 32 == b >> 32) {
            let tied = if group.len() > 1 { TIED } else { 0 };
            group
                .iter()
                .for_each(|&pixel| take(pixel as u32, first | tied));
            first += group.len() as u32;
        }
    }

    /// The rank, flags included, of a pixel of this height.
    fn rank_of(&self, key: u64) -> u32 {
        let first = self
            .pixels
            .partition_point(|&pixel| pixel >> 32 < key >> 32);
        first as u32 | TIED
    }

    fn push(&mut self, rank: u32, index: u32) {
        let mut rank = (rank & !RANKED) as usize;
        if rank & TIED as usize != 0 {
            rank &= !(TIED as usize);
            let arrived = &mut self.arrived[rank];
            rank += *arrived as usize;
            *arrived += 1;
            self.pixels[rank] = self.pixels[rank] >> 32 << 32 | u64::from(index);
        }
        self.waiting.insert(rank);
    }

    fn pop(&mut self) -> Option<u32> {
        self.waiting.pop().map(|rank| self.pixels[rank] as u32)
    }
}

/// A set of small numbers that gives the least one in a few steps: a bit for each, above them a bit for each word that
/// is not empty, and so on up to a single word.
#[derive(Default)]
struct RankSet {
    levels: Vec<Vec<u64>>,
}

impl RankSet {
    /// Makes the empty set ready for numbers below `len`.
    fn reset(&mut self, len: usize) {
        let mut words = len.div_ceil(64).max(1);
        for depth in 0.. {
            if depth == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[depth].clear();
            self.levels[depth].resize(words, 0);
            if words == 1 {
                self.levels.truncate(depth + 1);
                break;
            }
            words = words.div_ceil(64);
        }
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

/// So many pixels off the mask.
fn outside(count: usize) -> impl Iterator<Item = AtomicU32> {
    std::iter::repeat_with(|| AtomicU32::new(OUTSIDE)).take(count)
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

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
        let mut labels =
            Array2::from_shape_fn(markers.dim(), |p| if mask[p] { markers[p] } else { 0 });
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
        assert_eq!(
            watershed(heights.view(), markers.view(), mask.view()),
            array![[1, 1, 1, 2, 2]]
        );
    }

    #[test]
    fn negative_zero_is_as_high_as_zero() {
        assert_eq!(key(-0.0, 3), key(0.0, 3));
        assert!(
            key(-1.0, 9) < key(-0.5, 1) && key(-0.5, 1) < key(0.5, 0) && key(0.5, 0) < key(0.5, 1)
        );
    }
}
