//! Tiles that overlap, of which only the middle counts: for models whose answers near the edge of a tile are worse.

use std::ops::Range;

use ndarray::{Array4, ArrayView4, Axis};

use cell_analysis::segmentation::TilePlace;

/// Sides of what a model sees are multiples of this: U-Nets halve them up to four times.
pub(super) const MULTIPLE: usize = 16;

/// A stretch of an axis that a tile shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) shown: Range<usize>,
    /// The part of it that counts.
    pub(super) core: Range<usize>,
}

/// The tiles of an image, row by row.
#[derive(Clone, Debug)]
pub(super) struct Windows([Vec<Window>; 2]);

impl Windows {
    /// What sides are padded to: the model's tile if the image is smaller.
    pub(super) fn multiple(size: [usize; 2], fixed: [Option<usize>; 2]) -> [usize; 2] {
        [0, 1].map(|axis| match fixed[axis] {
            Some(tile) if size[axis] <= tile => tile,
            _ => MULTIPLE,
        })
    }

    /// Tiles of an image of `size` pixels, which are padded; `halo` gives the pixels around the part that counts for the
    /// side of a tile.
    pub(super) fn new(size: [usize; 2], tile: [usize; 2], halo: impl Fn(usize) -> usize) -> Self {
        Self([0, 1].map(|axis| {
            let tile = tile[axis].max(1).next_multiple_of(MULTIPLE).min(size[axis]);
            windows(size[axis], tile, sensible(halo(tile), tile))
        }))
    }

    pub(super) fn len(&self) -> usize {
        self.0[0].len() * self.0[1].len()
    }

    /// Rows and columns of a tile.
    pub(super) fn tile_shape(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.0[axis].first().map_or(0, |window| window.shown.len()))
    }

    /// Rows and columns of the whole.
    pub(super) fn size(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.0[axis].last().map_or(0, |window| window.core.end))
    }

    pub(super) fn of(&self, tile: usize) -> [&Window; 2] {
        let columns = self.0[1].len();
        [&self.0[0][tile / columns], &self.0[1][tile % columns]]
    }

    /// Where a tile lies.
    pub(super) fn place(&self, tile: usize) -> TilePlace {
        let windows = self.of(tile);
        TilePlace {
            shown: windows.map(|window| window.shown.clone()),
            core: windows.map(|window| window.core.clone()),
        }
    }

    /// These tiles of an image `[1, row, column, channel]`, as `[tile, row, column, channel]`.
    pub(super) fn cut(&self, image: ArrayView4<'_, f32>, tiles: Range<usize>) -> Array4<f32> {
        let [rows, columns] = self.tile_shape();
        let mut batch = Array4::zeros((tiles.len(), rows, columns, image.dim().3));
        for (mut to, tile) in batch.outer_iter_mut().zip(tiles) {
            let [down, across] = self.of(tile);
            let shown = image.index_axis(Axis(0), 0);
            let shown = shown.slice_axis(Axis(0), down.shown.clone().into());
            to.assign(&shown.slice_axis(Axis(1), across.shown.clone().into()));
        }
        batch
    }
}

/// A halo of which something is left in the middle, in steps that grids of heads have too.
fn sensible(halo: usize, tile: usize) -> usize {
    let most = tile.saturating_sub(MULTIPLE) / 2 / MULTIPLE * MULTIPLE;
    halo.next_multiple_of(MULTIPLE).min(most)
}

/// Windows of one size, whose cores cover an axis once. The halo counts only where the axis goes on.
fn windows(length: usize, tile: usize, halo: usize) -> Vec<Window> {
    if length <= tile {
        let whole = Window {
            shown: 0..length,
            core: 0..length,
        };
        return vec![whole];
    }
    let step = (tile - 2 * halo).max(1);
    let last = length - tile;
    let starts: Vec<_> = (0..last).step_by(step).chain([last]).collect();
    let borders = starts.iter().skip(1).map(|start| start + halo);
    let ends: Vec<_> = borders.chain([length]).collect();
    let mut from = 0;
    let windows = starts.into_iter().zip(ends).map(|(start, end)| {
        let core = from..end;
        from = end;
        Window {
            shown: start..start + tile,
            core,
        }
    });
    windows.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cores_cover_an_axis_once_and_have_their_halo(
            length in 1_usize..2000,
            tile in 2_usize..40,
            halo in 0_usize..200,
        ) {
            let (tile, length) = (tile * MULTIPLE, length * MULTIPLE);
            let halo = sensible(halo, tile);
            let windows = windows(length, tile, halo);
            let mut at = 0;
            for window in &windows {
                prop_assert_eq!(window.core.start, at);
                at = window.core.end;
                prop_assert!(window.shown.end <= length && window.core.start < window.core.end);
                prop_assert!(window.shown.start == 0 || window.core.start - window.shown.start >= halo);
                prop_assert!(window.shown.end == length || window.shown.end - window.core.end >= halo);
                prop_assert!(window.core.start % MULTIPLE == 0);
            }
            prop_assert_eq!(at, length);
        }
    }
}
