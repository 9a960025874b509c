//! Cutting an image into overlapping tiles of the model's size and blending the model's outputs, as
//! `tile_image` and `untile_image` of `DeepCell`'s toolbox do it.
//!
//! Neither direction makes a padded copy of the image: a tile is copied straight out of it,
//! and outputs are summed in a band that is one tile high.
//!
//! Border: geometry and copying; the model runs between [`Tiling::copy_tile`] and
//! [`Untiler::add`].

use ndarray::{
    Array4, ArrayView1, ArrayView2, ArrayView3, ArrayView4, ArrayViewMut1, ArrayViewMut2,
    ArrayViewMut3, ArrayViewMut4, Axis, Zip,
};

use crate::plane::{as_row_major, reflect_whole_sample, vectorized, zeros};

/// Stride of the tiles as a share of their side.
const STRIDE_RATIO: f64 = 0.75;

/// Shortest side of a tile whose overlaps are blended.
const MIN_BLENDED: usize = 32;

/// What lies outside an image that is tiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// Its mirror image, the edge pixel not repeated.
    Reflect,
    /// Zeros.
    Constant,
}

/// Where the tiles of an image lie.
///
/// Tiles overlap by about a quarter of their side and are counted by batch item, then row of
/// tiles, then column. An axis on which the image is smaller than the tile gets one tile, padded
/// with the mirror image whatever the [`PadMode`].
///
/// ```
/// # use cell_analysis::segmentation::{PadMode, Tiling, Untiler};
/// # use ndarray::{Array3, Array4};
/// let image = Array4::from_elem((1, 300, 400, 1), 0.5_f32);
/// let tiling = Tiling::new([1, 300, 400, 1], [256, 256], PadMode::Reflect);
/// let mut untiler = Untiler::new(&tiling, 1);
/// let mut tile = Array3::zeros((256, 256, 1));
/// for index in 0..tiling.len() {
///     tiling.copy_tile(image.view(), index, tile.view_mut());
///     untiler.add(index, tile.view()); // here a model's output for the tile
/// }
/// assert_eq!(untiler.finish().dim(), image.dim());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tiling {
    image_shape: [usize; 4],
    stride_ratio: f64,
    axes: [AxisTiling; 2],
}

/// The tiles along one axis.
#[derive(Clone, Debug, PartialEq)]
struct AxisTiling {
    /// Pixels of the image.
    length: usize,
    /// Pixels of a tile.
    tile: usize,
    /// Pixels from one tile to the next.
    stride: usize,
    /// Tiles.
    count: usize,
    /// Pixels of padding before and behind the image.
    pad: [usize; 2],
    /// What the padding holds.
    mode: PadMode,
}

impl Tiling {
    /// Tiles of `tile` rows and columns over an image of shape `[batch, row, column, channel]`.
    ///
    /// # Panics
    /// If the image has no pixels or a side of the tile is zero.
    #[must_use]
    pub fn new(image_shape: [usize; 4], tile: [usize; 2], pad: PadMode) -> Self {
        Self::with_stride_ratio(image_shape, tile, pad, STRIDE_RATIO)
    }

    /// Like [`Tiling::new`] with a stride of `stride_ratio` tile sides instead of 0.75. Outputs for
    /// tiles with a ratio below 0.5 are not blended.
    ///
    /// # Panics
    /// If the image has no pixels, a side of the tile is zero or the ratio is not positive.
    #[must_use]
    pub fn with_stride_ratio(
        image_shape: [usize; 4],
        tile: [usize; 2],
        pad: PadMode,
        stride_ratio: f64,
    ) -> Self {
        let [_, rows, columns, _] = image_shape;
        assert!(rows > 0 && columns > 0, "an image to tile has pixels");
        assert!(tile[0] > 0 && tile[1] > 0, "a tile has pixels");
        assert!(stride_ratio > 0.0, "tiles advance");
        Self {
            image_shape,
            stride_ratio,
            axes: [(rows, tile[0]), (columns, tile[1])]
                .map(|(length, tile)| AxisTiling::new(length, tile, pad, stride_ratio)),
        }
    }

    /// Number of tiles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.image_shape[0] * self.axes[0].count * self.axes[1].count
    }

    /// Whether there are no tiles, because there are no batch items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows and columns of a tile.
    #[must_use]
    pub fn tile_shape(&self) -> [usize; 2] {
        [self.axes[0].tile, self.axes[1].tile]
    }

    /// Pixels from one tile to the next, down and across.
    #[must_use]
    pub fn stride(&self) -> [usize; 2] {
        [self.axes[0].stride, self.axes[1].stride]
    }

    /// Pixels of padding before and behind the rows, and before and behind the columns.
    #[must_use]
    pub fn padding(&self) -> [[usize; 2]; 2] {
        [self.axes[0].pad, self.axes[1].pad]
    }

    /// Rows and columns of the padded image, which the tiles cover exactly.
    #[must_use]
    pub fn padded_shape(&self) -> [usize; 2] {
        [self.axes[0].padded(), self.axes[1].padded()]
    }

    /// Batch item that a tile shows.
    #[must_use]
    pub fn batch_item(&self, index: usize) -> usize {
        index / (self.axes[0].count * self.axes[1].count)
    }

    /// First row and column of a tile in the padded image.
    #[must_use]
    pub fn origin(&self, index: usize) -> [usize; 2] {
        let [row, column] = self.position(index);
        [row * self.axes[0].stride, column * self.axes[1].stride]
    }

    /// Pixels that a tile shares with the tiles above and below it, then left and right of it.
    ///
    /// The only tile of an axis counts as a first one, with an overlap behind it.
    #[must_use]
    pub fn overlaps(&self, index: usize) -> [[usize; 2]; 2] {
        let [row, column] = self.position(index);
        [self.axes[0].overlaps(row), self.axes[1].overlaps(column)]
    }

    /// Copies a tile `[row, column, channel]` out of the image `[batch, row, column, channel]`.
    ///
    /// # Panics
    /// If the image or `out` does not have the shape that this tiling was made for.
    pub fn copy_tile(
        &self,
        image: ArrayView4<'_, f32>,
        index: usize,
        mut out: ArrayViewMut3<'_, f32>,
    ) {
        let (batches, rows, columns, _) = image.dim();
        assert_eq!(
            [batches, rows, columns],
            self.image_shape[..3],
            "image to be tiled"
        );
        let item = image.index_axis(Axis(0), self.batch_item(index));
        let [top, left] = self.origin(index);
        let [down, across] = &self.axes;
        for (row, mut line) in out.outer_iter_mut().enumerate() {
            match down.source(top + row) {
                Some(source) => across.copy(item.index_axis(Axis(0), source), left, line),
                None => line.fill(0.0),
            }
        }
    }

    /// Row and column of a tile among the tiles.
    fn position(&self, index: usize) -> [usize; 2] {
        let columns = self.axes[1].count;
        [index / columns % self.axes[0].count, index % columns]
    }

    fn blends(&self) -> bool {
        // Where one axis is padded up to a tile and the other one tiled, the toolbox fails: here the tiled one is blended.
        let [down, across] = &self.axes;
        let along_rows = across.is_blendable() && (down.is_blendable() || down.is_padded_up());
        let along_columns = down.is_blendable() && (across.is_blendable() || across.is_padded_up());
        self.stride_ratio >= 0.5 && (along_rows || along_columns)
    }
}

impl AxisTiling {
    /// Whether there are several tiles, large enough to be blended.
    fn is_blendable(&self) -> bool {
        self.tile >= MIN_BLENDED && self.tile < self.padded()
    }

    /// Whether the image is smaller than a tile.
    fn is_padded_up(&self) -> bool {
        self.length < self.tile
    }

    fn new(length: usize, tile: usize, mode: PadMode, stride_ratio: f64) -> Self {
        if length < tile {
            let missing = tile - length;
            let pad = [missing / 2, missing - missing / 2];
            return Self {
                length,
                tile,
                stride: tile,
                count: 1,
                pad,
                mode: PadMode::Reflect,
            };
        }
        // Strides are even, and padding is split with the larger half in front: the toolbox does both.
        let half = (stride_ratio * tile as f64 / 2.0).ceil() as usize;
        let stride = (2 * half).min(tile);
        let beyond_first = (length - tile) as f64 / stride as f64;
        let count = ((beyond_first + 1.0).ceil() as usize).max(1);
        let excess = tile + stride * (count - 1) - length;
        Self {
            length,
            tile,
            stride,
            count,
            pad: [excess.div_ceil(2), excess / 2],
            mode,
        }
    }

    fn padded(&self) -> usize {
        self.pad[0] + self.length + self.pad[1]
    }

    fn overlaps(&self, position: usize) -> [usize; 2] {
        let overlap = self.tile - self.stride;
        let first = position == 0;
        let last = position + 1 == self.count;
        [
            if first { 0 } else { overlap },
            if last && !first { 0 } else { overlap },
        ]
    }

    /// Index in the image of a position in the padded image, if it shows the image.
    fn source(&self, position: usize) -> Option<usize> {
        let index = position as isize - self.pad[0] as isize;
        match self.mode {
            PadMode::Reflect => Some(reflect_whole_sample(index, self.length)),
            PadMode::Constant => usize::try_from(index)
                .ok()
                .filter(|&index| index < self.length),
        }
    }

    /// Copies one row `[column, channel]` of a tile that starts at `left`.
    fn copy(&self, row: ArrayView2<'_, f32>, left: usize, mut out: ArrayViewMut2<'_, f32>) {
        let inner = self.visible(left);
        let start = left + inner.start - self.pad[0];
        let source = row.slice_axis(Axis(0), (start..start + inner.len()).into());
        let mut shown = out.slice_axis_mut(Axis(0), inner.clone().into());
        match (source.as_slice(), shown.as_slice_mut()) {
            (Some(from), Some(to)) => to.copy_from_slice(from),
            _ => shown.assign(&source),
        }
        for column in (0..inner.start).chain(inner.end..self.tile) {
            let mut pixel = out.row_mut(column);
            match self.source(left + column) {
                Some(source) => pixel.assign(&row.row(source)),
                None => pixel.fill(0.0),
            }
        }
    }

    /// The part of a tile that starts at `start` which shows the image and not its padding.
    fn visible(&self, start: usize) -> std::ops::Range<usize> {
        let first = self.pad[0].saturating_sub(start).min(self.tile);
        let end = (self.pad[0] + self.length)
            .saturating_sub(start)
            .min(self.tile);
        first..end.max(first)
    }
}

/// A number of a model's output: a float32, or the bytes of one as they come over the wire, little-endian and at any address.
pub trait Number: Copy {
    /// The number.
    fn number(self) -> f32;
}

impl Number for f32 {
    #[inline(always)]
    fn number(self) -> f32 {
        self
    }
}

impl Number for [u8; 4] {
    #[inline(always)]
    fn number(self) -> f32 {
        f32::from_le_bytes(self)
    }
}

/// Puts the model's outputs for the tiles of an image together again.
///
/// Where tiles overlap on both axes, their outputs are weighted with quadratic spline windows
/// that sum to about one and added in `f64` in tile order; otherwise the later tile wins.
#[derive(Clone, Debug)]
pub struct Untiler {
    tiling: Tiling,
    channels: usize,
    /// In the order of its axes. Where outputs are blended it has the rows that no later tile touches: while tiles come, the model's
    /// input is in memory too.
    image: Vec<f32>,
    next: usize,
    blend: Option<Blend>,
}

/// Sums of the current row of tiles, and the windows.
#[derive(Clone, Debug)]
struct Blend {
    /// `[row of a tile, column of the image, channel]`.
    band: Vec<f64>,
    /// Windows of the first, an inner and the last tile; rows, then columns.
    windows: [Windows; 2],
}

#[derive(Clone, Debug)]
struct Windows {
    first: Vec<f64>,
    inner: Vec<f64>,
    last: Vec<f64>,
}

impl Untiler {
    /// Expects the outputs for all tiles of `tiling`, each with `channels` channels.
    #[must_use]
    pub fn new(tiling: &Tiling, channels: usize) -> Self {
        let [batches, rows, columns, _] = tiling.image_shape;
        let blend = tiling.blends().then(|| Blend {
            band: vec![0.0; tiling.axes[0].tile * columns * channels],
            windows: [
                Windows::new(&tiling.axes[0], 1),
                Windows::new(&tiling.axes[1], channels),
            ],
        });
        let count = batches * rows * columns * channels;
        Self {
            tiling: tiling.clone(),
            channels,
            image: match blend {
                Some(_) => Vec::with_capacity(count),
                None => zeros(count),
            },
            next: 0,
            blend,
        }
    }

    /// Takes the output `[row, column, channel]` for the next tile.
    ///
    /// # Panics
    /// If `index` is not the next one or the output does not have the shape of a tile.
    pub fn add<N: Number>(&mut self, index: usize, tile: ArrayView3<'_, N>) {
        let [rows, columns] = self.tiling.tile_shape();
        assert_eq!(index, self.next, "tiles come in order");
        assert_eq!(
            tile.dim(),
            (rows, columns, self.channels),
            "answer to a tile"
        );
        self.next += 1;
        if self.blend.is_none() {
            return self.overwrite(index, tile);
        }
        self.sum(index, tile);
        let [row, column] = self.tiling.position(index);
        if column + 1 == self.tiling.axes[1].count {
            self.finish_rows(row);
        }
    }

    /// The whole output `[batch, row, column, channel]`, with the rows and columns of the image.
    ///
    /// # Panics
    /// If the output for a tile is missing.
    #[must_use]
    pub fn finish(self) -> Array4<f32> {
        assert_eq!(self.next, self.tiling.len(), "all tiles have been added");
        let shape = self.shape();
        Array4::from_shape_vec(shape, self.image).expect("every row is finished")
    }

    fn shape(&self) -> [usize; 4] {
        let [batches, rows, columns, _] = self.tiling.image_shape;
        [batches, rows, columns, self.channels]
    }

    fn overwrite<N: Number>(&mut self, index: usize, tile: ArrayView3<'_, N>) {
        let [top, left] = self.tiling.origin(index);
        let [down, across] = &self.tiling.axes;
        let (rows, columns) = (down.visible(top), across.visible(left));
        let (top, left) = (
            top + rows.start - down.pad[0],
            left + columns.start - across.pad[0],
        );
        let image = ArrayViewMut4::from_shape(self.shape(), &mut self.image);
        let image = image.expect("it has all values from the start");
        let mut item = image.index_axis_move(Axis(0), self.tiling.batch_item(index));
        let tile = tile.slice_axis_move(Axis(0), rows.into());
        for (line, tile) in item.outer_iter_mut().skip(top).zip(tile.outer_iter()) {
            line.slice_axis_move(Axis(0), (left..left + columns.len()).into())
                .zip_mut_with(
                    &tile.slice_axis(Axis(0), columns.clone().into()),
                    |to, value| {
                        *to = value.number();
                    },
                );
        }
    }

    fn sum<N: Number>(&mut self, index: usize, tile: ArrayView3<'_, N>) {
        let Some(Blend { band, windows }) = &mut self.blend else {
            return;
        };
        let channels = tile.dim().2;
        let [row, column] = self.tiling.position(index);
        let across = &self.tiling.axes[1];
        let left = column * across.stride;
        let visible = across.visible(left);
        let start = (left + visible.start - across.pad[0]) * channels;
        let down_weights = windows[0].of(row, self.tiling.axes[0].count);
        // Only the part of the tile that shows the image is summed: padding would be thrown away anyhow.
        let weights = windows[1].of(column, across.count);
        let weights = &weights[visible.start * channels..visible.end * channels];
        let tile = tile.slice_axis_move(Axis(1), visible.into());
        let lines = band.chunks_exact_mut(across.length * channels);
        for ((line, tile), &down) in lines.zip(tile.outer_iter()).zip(down_weights) {
            let sums = &mut line[start..start + weights.len()];
            if channels == 1 {
                // One head of an output may have others between its pixels.
                add_head(sums, tile.column(0), down, weights);
            } else {
                let tile = tile.as_standard_layout();
                add_line(sums, as_row_major(&tile), down, weights);
            }
        }
    }

    /// Rounds the rows that no later tile touches into the image and moves the others up.
    fn finish_rows(&mut self, position: usize) {
        let Some(Blend { band, .. }) = &mut self.blend else {
            return;
        };
        let down = &self.tiling.axes[0];
        let last = position + 1 == down.count;
        let done = if last { down.tile } else { down.stride };
        let visible = down.visible(position * down.stride);
        let visible = visible.start..visible.end.min(done);
        let width = band.len() / down.tile;
        for row in visible {
            let start = self.image.len();
            self.image.resize(start + width, 0.0);
            let (out, line) = (
                &mut self.image[start..],
                &band[row * width..(row + 1) * width],
            );
            vectorized(
                #[inline(always)]
                || {
                    out.iter_mut()
                        .zip(line)
                        .for_each(|(to, &sum)| *to = sum as f32);
                },
            );
        }
        // What is left of the band becomes the top of the next row of tiles.
        band.copy_within(done * width.., 0);
        let kept = band.len() - done * width;
        band[kept..].fill(0.0);
    }
}

/// [`add_line`] of pixels that may lie apart.
fn add_head<N: Number>(sums: &mut [f64], tile: ArrayView1<'_, N>, down: f64, weights: &[f64]) {
    if let Some(tile) = tile.as_slice() {
        return add_line(sums, tile, down, weights);
    }
    let sums = ArrayViewMut1::from(sums);
    Zip::from(sums)
        .and(ArrayView1::from(weights))
        .and(tile)
        .for_each(|sum, &weight, &value| *sum += f64::from(value.number()) * (down * weight));
}

/// Adds a line of a tile, by its own weight and those of its pixels.
fn add_line<N: Number>(sums: &mut [f64], tile: &[N], down: f64, weights: &[f64]) {
    vectorized(
        #[inline(always)]
        || {
            for ((sum, &weight), &value) in sums.iter_mut().zip(weights).zip(tile) {
                *sum += f64::from(value.number()) * (down * weight);
            }
        },
    );
}

impl Windows {
    /// Windows in which every weight is repeated for each channel.
    fn new(axis: &AxisTiling, channels: usize) -> Self {
        let overlap = axis.tile - axis.stride;
        let [first, inner, last] =
            [[0, overlap], [overlap, overlap], [overlap, 0]].map(|overlaps| {
                let weights = spline_window(axis.tile, overlaps).into_iter();
                weights
                    .flat_map(|weight| std::iter::repeat_n(weight, channels))
                    .collect()
            });
        Self { first, inner, last }
    }

    fn of(&self, position: usize, count: usize) -> &[f64] {
        if position == 0 {
            return &self.first;
        }
        if position + 1 == count {
            &self.last
        } else {
            &self.inner
        }
    }
}

/// Weights of a tile's `length` pixels along one axis: ones with a quadratic spline ramp over
/// each overlap, after the spline window of `SciPy`'s `signal`.
///
/// # Panics
/// If an overlap is longer than the tile.
#[must_use]
pub fn spline_window(length: usize, overlaps: [usize; 2]) -> Vec<f64> {
    let mut window = vec![1.0; length];
    let [left, right] = overlaps;
    window[..left].copy_from_slice(&ramp(left)[..left]);
    window[length - right..].copy_from_slice(&ramp(right)[right..]);
    window
}

/// The rise over `overlap` pixels and its mirror image.
fn ramp(overlap: usize) -> Vec<f64> {
    let width = 2 * overlap;
    let mut ramp: Vec<f64> = (0..width).map(|k| spline(k, width)).collect();
    let highest = ramp.iter().copied().fold(f64::MIN, f64::max);
    ramp.iter_mut().for_each(|weight| *weight /= highest);
    ramp
}

/// The quadratic spline at place `k` of `width`, as SciPy's window has it: two parabolas that meet at the quarters.
fn spline(k: usize, width: usize) -> f64 {
    let quarter = width / 4;
    let rise = k.min(width - 1 - k);
    let triangle = (2.0 * (rise as f64 + 1.0) - 1.0) / width as f64;
    let middle = k >= quarter && k < width - quarter;
    let outer = if quarter > 0 && middle {
        0.0
    } else {
        (2.0 * triangle).abs().powi(2) / 2.0
    };
    let inner = if quarter > 0 && middle {
        1.0 - (2.0 * (triangle - 1.0)).abs().powi(2) / 2.0
    } else {
        0.0
    };
    inner + outer
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    fn numbered(shape: [usize; 4]) -> Array4<f32> {
        let mut count = 0.0;
        Array4::from_shape_simple_fn(shape, || {
            count += 1.0;
            count
        })
    }

    fn tiles(tiling: &Tiling, image: &Array4<f32>) -> Vec<ndarray::Array3<f32>> {
        let [rows, columns] = tiling.tile_shape();
        let tile = |index| {
            let mut tile = ndarray::Array3::from_elem((rows, columns, image.dim().3), f32::NAN);
            tiling.copy_tile(image.view(), index, tile.view_mut());
            tile
        };
        (0..tiling.len()).map(tile).collect()
    }

    proptest! {
        #[test]
        fn a_model_that_repeats_its_input_gets_the_image_back(
            size in (1..150_usize, 1..150_usize), tile in (1..70_usize, 1..70_usize), mirrored in any::<bool>(),
        ) {
            let pad = if mirrored { PadMode::Reflect } else { PadMode::Constant };
            let image = numbered([2, size.0, size.1, 2]);
            let tiling = Tiling::new([2, size.0, size.1, 2], [tile.0, tile.1], pad);
            let mut untiler = Untiler::new(&tiling, 2);
            for (index, tile) in tiles(&tiling, &image).iter().enumerate() {
                untiler.add(index, tile.view());
            }
            let again = untiler.finish();
            if tiling.blends() {
                prop_assert_eq!(again.dim(), image.dim());
            } else {
                prop_assert_eq!(again, image);
            }
        }

        #[test]
        fn a_tile_shows_the_image_its_mirror_image_or_zeros(
            size in (1..60_usize, 1..60_usize), tile in (1..50_usize, 1..50_usize), mirrored in any::<bool>(),
        ) {
            let pad = if mirrored { PadMode::Reflect } else { PadMode::Constant };
            let image = numbered([1, size.0, size.1, 1]);
            let tiling = Tiling::new([1, size.0, size.1, 1], [tile.0, tile.1], pad);
            for (index, tile) in tiles(&tiling, &image).iter().enumerate() {
                let [top, left] = tiling.origin(index);
                for ((row, column, _), &value) in tile.indexed_iter() {
                    let source = tiling.axes[0].source(top + row).zip(tiling.axes[1].source(left + column));
                    prop_assert_eq!(value, source.map_or(0.0, |(row, column)| image[[0, row, column, 0]]));
                }
            }
        }
    }

    /// Sums over the whole padded image at once. One output comes as bytes between those of another.
    #[test]
    fn the_band_holds_the_same_sums_as_a_whole_image() {
        let image = numbered([1, 150, 130, 1]);
        let tiling = Tiling::new([1, 150, 130, 1], [48, 40], PadMode::Reflect);
        let [rows, columns] = tiling.padded_shape();
        let mut sums = Array2::<f64>::zeros((rows, columns));
        let [mut untiler, mut between] = [Untiler::new(&tiling, 1), Untiler::new(&tiling, 1)];
        for (index, tile) in tiles(&tiling, &image).iter().enumerate() {
            untiler.add(index, tile.view());
            let both = ndarray::concatenate![Axis(2), tile.view(), tile.view()];
            let both = both.mapv(f32::to_le_bytes);
            between.add(index, both.slice_axis(Axis(2), (1..2).into()));
            let [top, left] = tiling.origin(index);
            let [down, across] = tiling.overlaps(index);
            let (down, across) = (spline_window(48, down), spline_window(40, across));
            for ((row, column, _), &value) in tile.indexed_iter() {
                sums[[top + row, left + column]] += f64::from(value) * (down[row] * across[column]);
            }
        }
        let [[above, _], [before, _]] = tiling.padding();
        let expected = Array4::from_shape_fn((1, 150, 130, 1), |(_, row, column, _)| {
            sums[[above + row, before + column]] as f32
        });
        assert_eq!(untiler.finish(), expected);
        assert_eq!(between.finish(), expected);
    }

    #[test]
    fn a_small_axis_is_padded_and_a_large_one_tiled() {
        let tiling = Tiling::new([1, 40, 100, 1], [64, 64], PadMode::Constant);
        assert_eq!((tiling.len(), tiling.padding()), (2, [[12, 12], [6, 6]]));
        assert_eq!(tiling.axes[0].source(0), Some(12));
        assert_eq!(tiling.axes[1].source(0), None);
    }
}
