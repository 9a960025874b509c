//! Joining label images of tiles that overlap, for models that answer labels instead of scores.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use super::relabel_sequential;

/// Where a tile lies in the whole image, rows and columns each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TilePlace {
    /// What the tile shows.
    pub shown: [Range<usize>; 2],
    /// The part of it that is no neighbor's: the cores of all tiles cover the image once.
    pub core: [Range<usize>; 2],
}

/// A label image that is put together from those of tiles.
///
/// An object belongs to the tile whose core has its centroid. What tiles see of one object near a border between cores may
/// differ a little, so objects whose centroids lie up to `slack` pixels outside are taken too, unless one is there that has
/// more than half of its pixels, or it more than half of that one's: that is the same object. Where objects overlap, the
/// earlier one stays. An object that is wider than what tiles share is cut.
///
/// ```
/// # use cell_analysis::segmentation::{LabelMosaic, TilePlace};
/// # use ndarray::array;
/// let mut mosaic = LabelMosaic::new([1, 6], 0);
/// let place = |shown: std::ops::Range<usize>, core| TilePlace { shown: [0..1, shown], core: [0..1, core] };
/// // An object that both tiles see, and one that the second sees alone.
/// mosaic.add(array![[0, 7, 7, 0]].view(), &place(0..4, 0..3));
/// mosaic.add(array![[3, 0, 0, 5]].view(), &place(2..6, 3..6));
/// assert_eq!(mosaic.finish(), array![[0, 1, 1, 0, 0, 2]]);
/// ```
#[derive(Clone, Debug)]
pub struct LabelMosaic {
    labels: Array2<u32>,
    sizes: Vec<usize>,
    slack: usize,
}

/// What is known of an object of a tile.
#[derive(Clone, Debug, Default)]
struct Object {
    pixels: usize,
    /// Sums of rows and columns.
    sums: [usize; 2],
    /// Pixels of it that other objects have already.
    taken: BTreeMap<u32, usize>,
}

impl LabelMosaic {
    /// Nothing but background, of so many rows and columns.
    #[must_use]
    pub fn new(size: [usize; 2], slack: usize) -> Self {
        Self {
            labels: Array2::zeros(size),
            sizes: Vec::new(),
            slack,
        }
    }

    /// Adds the objects of a tile, whose labels mean nothing elsewhere. The result depends on the order of tiles only where
    /// they contradict each other.
    ///
    /// # Panics
    /// If the tile does not have the size that it is to show, or shows what is not there.
    pub fn add(&mut self, tile: ArrayView2<'_, u32>, place: &TilePlace) {
        let [rows, columns] = place.shown.clone();
        assert_eq!(tile.dim(), (rows.len(), columns.len()), "tile");
        let mut objects = self.objects(tile, place);
        objects.retain(|_, object| self.belongs(object, place) && !self.is_there(object));
        let mut numbers = BTreeMap::new();
        for ((row, column), label) in tile.indexed_iter() {
            if !objects.contains_key(label) {
                continue;
            }
            let pixel = &mut self.labels[[rows.start + row, columns.start + column]];
            if *pixel == 0 {
                let number = *numbers.entry(*label).or_insert_with(|| {
                    self.sizes.push(0);
                    self.sizes.len() as u32
                });
                *pixel = number;
                self.sizes[number as usize - 1] += 1;
            }
        }
    }

    /// The label image `[row, column]`, labels from 1 in the order in which objects came.
    #[must_use]
    pub fn finish(self) -> Array2<u32> {
        relabel_sequential(self.labels)
    }

    fn objects(&self, tile: ArrayView2<'_, u32>, place: &TilePlace) -> BTreeMap<u32, Object> {
        let mut objects: BTreeMap<u32, Object> = BTreeMap::new();
        for ((row, column), &label) in tile.indexed_iter() {
            if label == 0 {
                continue;
            }
            let at = [place.shown[0].start + row, place.shown[1].start + column];
            let object = objects.entry(label).or_default();
            object.pixels += 1;
            object.sums[0] += at[0];
            object.sums[1] += at[1];
            let there = self.labels[at];
            if there > 0 {
                *object.taken.entry(there).or_default() += 1;
            }
        }
        objects
    }

    fn belongs(&self, object: &Object, place: &TilePlace) -> bool {
        [0, 1].into_iter().all(|axis| {
            let center = object.sums[axis] / object.pixels;
            let core = &place.core[axis];
            (core.start.saturating_sub(self.slack)..core.end + self.slack).contains(&center)
        })
    }

    /// Whether the mosaic has the object already.
    fn is_there(&self, object: &Object) -> bool {
        let mut taken = object.taken.iter();
        taken.any(|(label, shared)| {
            let size = self.sizes[*label as usize - 1];
            shared * 2 > object.pixels || shared * 2 > size
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Axis;
    use proptest::prelude::*;

    use super::super::{Connectivity, label};
    use super::*;

    /// Tiles of this side that overlap by twice the halo, cores without.
    fn places(length: usize, tile: usize, halo: usize) -> Vec<(Range<usize>, Range<usize>)> {
        if length <= tile {
            return vec![(0..length, 0..length)];
        }
        let step = tile - 2 * halo;
        let last = length - tile;
        let starts: Vec<_> = (0..last).step_by(step).chain([last]).collect();
        let mut from = 0;
        let mut places = Vec::new();
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).map_or(length, |next| next + halo);
            places.push((*start..start + tile, from..end));
            from = end;
        }
        places
    }

    proptest! {
        #[test]
        fn a_mosaic_is_the_whole_where_objects_are_smaller_than_what_tiles_share(
            centers in proptest::collection::vec((0_usize..90, 0_usize..70), 0..60),
            slack in 0_usize..3,
        ) {
            let mut image = Array2::from_elem((90, 70), false);
            for (row, column) in centers {
                for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)] {
                    if let Some(pixel) = image.get_mut([row + y, column + x]) {
                        *pixel = true;
                    }
                }
            }
            let labeled = |view: ArrayView2<'_, bool>| label(view.mapv(u8::from).view(), Connectivity::Four);
            let whole = labeled(image.view());
            let widest = widest(&whole);
            prop_assume!(widest <= 8);
            let mut mosaic = LabelMosaic::new([90, 70], slack);
            for (rows, row_core) in places(90, 32, 10) {
                for (columns, column_core) in places(70, 32, 10) {
                    let tile = image.slice_axis(Axis(0), rows.clone().into());
                    let tile = labeled(tile.slice_axis(Axis(1), columns.clone().into()));
                    let place = TilePlace {
                        shown: [rows.clone(), columns],
                        core: [row_core.clone(), column_core],
                    };
                    mosaic.add(tile.view(), &place);
                }
            }
            let mosaic = mosaic.finish();
            // The same objects, numbered in another order.
            let mut pairs = BTreeMap::new();
            for (a, b) in whole.iter().zip(&mosaic) {
                prop_assert_eq!(*pairs.entry(*a).or_insert(*b), *b);
            }
            prop_assert_eq!(whole.iter().max(), mosaic.iter().max());
        }
    }

    fn widest(labels: &Array2<u32>) -> usize {
        let mut boxes: BTreeMap<u32, [usize; 4]> = BTreeMap::new();
        for ((row, column), label) in labels.indexed_iter().filter(|(_, label)| **label > 0) {
            let all = boxes.entry(*label).or_insert([row, row, column, column]);
            *all = [
                all[0].min(row),
                all[1].max(row),
                all[2].min(column),
                all[3].max(column),
            ];
        }
        boxes
            .values()
            .map(|all| (all[1] - all[0]).max(all[3] - all[2]))
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn what_two_tiles_see_a_little_differently_is_one_object() {
        let mut mosaic = LabelMosaic::new([1, 10], 2);
        let place = |shown: Range<usize>, core: Range<usize>| TilePlace {
            shown: [0..1, shown],
            core: [0..1, core],
        };
        let first = Array2::from_shape_vec((1, 7), vec![0, 0, 0, 4, 4, 4, 0]).expect("it fits");
        mosaic.add(first.view(), &place(0..7, 0..5));
        let second = Array2::from_shape_vec((1, 7), vec![0, 9, 9, 9, 0, 0, 1]).expect("it fits");
        mosaic.add(second.view(), &place(3..10, 5..10));
        assert_eq!(
            mosaic.finish().row(0).to_vec(),
            [0, 0, 0, 1, 1, 1, 0, 0, 0, 2]
        );
    }
}
