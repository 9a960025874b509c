//! The tiles of an image along one side.

use std::ops::Range;

use crate::fit::Fit;
use crate::sides::Side;

/// The tiles of an image along one side.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlannedSide {
    pub(crate) side: Side,
    /// Pixels of the image.
    pub(crate) length: usize,
    /// Pixels of a tile.
    pub(crate) tile: usize,
}

impl PlannedSide {
    /// Pixels that meet those of all outputs and hold the image.
    pub(crate) fn aligned(&self) -> usize {
        let aligned = self.length.checked_next_multiple_of(self.side.align);
        aligned.unwrap_or(self.length)
    }

    /// The length of a tile that holds the image.
    pub(crate) fn whole(&self) -> usize {
        self.aligned().saturating_add(2 * self.side.margin)
    }

    fn inner(&self) -> usize {
        self.side.inner(self.tile).max(self.side.align)
    }

    /// Tiles.
    pub(crate) fn count(&self) -> usize {
        self.aligned().div_ceil(self.inner())
    }

    /// Where the part of a tile begins that counts.
    fn start(&self, index: usize) -> usize {
        let last = self.aligned().saturating_sub(self.inner());
        index.saturating_mul(self.inner()).min(last)
    }

    /// The first pixel that a tile shows.
    pub(crate) fn origin(&self, index: usize) -> i64 {
        self.start(index) as i64 - self.side.margin as i64
    }

    /// Pixels of an output for the whole image.
    pub(crate) fn output_length(&self, output: usize) -> usize {
        self.fit(output)
            .map_or(0, |fit| fit.ratio.covering(self.length))
    }

    /// What counts of an output: pixels of the tile's, and of the whole.
    pub(crate) fn part(&self, output: usize, index: usize) -> (Range<usize>, Range<usize>) {
        let Some(fit) = self.fit(output) else {
            return (0..0, 0..0);
        };
        let start = self.start(index);
        let end = if index + 1 < self.count() {
            self.start(index + 1)
        } else {
            self.aligned()
        };
        let [start, end] = [start, end].map(|pixels| fit.ratio.covering(pixels));
        let end = end.min(self.output_length(output));
        let before = fit.ratio.covering(self.side.margin) - fit.crop;
        (before..before + end.saturating_sub(start), start..end)
    }

    fn fit(&self, output: usize) -> Option<&Fit> {
        self.side.fits.get(output)
    }
}
