//! Cuts an image into the overlapping tiles of a network, and joins what the network answers.
//!
//! Border: geometry and copying; the network runs between [`NetworkTiles::copy_tile`] and [`TileJoiner::add`].

use std::ops::Range;

use ndarray::{Array3, ArrayView3, ArrayViewMut3, Axis};
use rayon::prelude::*;

use super::network::Network;
use super::segment::CellposeError;
use crate::segmentation::resize_image;

/// Share of a tile by which neighbors overlap at least, about.
const OVERLAP: f64 = 0.1;

/// Rows and columns of the tiles over an image of `size` rows and columns, row by row of tiles.
///
/// Tiles are spread evenly, the fewest of `tile` pixels a side that make 1 + 2 `overlap` times a side of the image; where the
/// image is smaller than a tile, there is one of its size. An overlap below 0.05 or above 0.5 counts as that. As
/// `make_tiles` of Cellpose.
#[must_use]
pub fn tile_windows(size: [usize; 2], tile: usize, overlap: f64) -> Vec<[Range<usize>; 2]> {
    let [down, across] = size.map(|length| spread(length, tile, overlap));
    let rows = down.iter();
    rows.flat_map(|rows| across.iter().map(|columns| [rows.clone(), columns.clone()]))
        .collect()
}

/// The tiles along one axis.
fn spread(length: usize, tile: usize, overlap: f64) -> Vec<Range<usize>> {
    if length <= tile || tile == 0 {
        return std::iter::once(0..length).collect();
    }
    let overlap = overlap.clamp(0.05, 0.5);
    let count = ((1.0 + 2.0 * overlap) * length as f64 / tile as f64).ceil() as usize;
    // At least two are needed, also for an overlap that is no number.
    let last = count.max(2) - 1;
    let beyond = length - tile;
    let step = beyond as f64 / last as f64;
    let start = |index: usize| {
        if index == last {
            beyond
        } else {
            (index as f64 * step) as usize
        }
    };
    (0..=last)
        .map(start)
        .map(|start| start..start + tile)
        .collect()
}

/// The tiles of an image for a network.
///
/// ```
/// # use cell_analysis::cellpose::{Cellpose, Network, NetworkTiles, TileJoiner, normalize_channels};
/// # use ndarray::Array3;
/// let image = normalize_channels(Array3::from_shape_fn((1, 300, 280), |(_, r, c)| (r * c) as f32));
/// let tiles = NetworkTiles::new(&Network::cyto(), [300, 280], Some(25.0))?;
/// let scaled = tiles.scaled(image.view());
/// let mut joiner = TileJoiner::new(&tiles);
/// for index in 0..tiles.len() {
///     let mut tile = Array3::zeros(tiles.tile_shape());
///     tiles.copy_tile(scaled.view(), index, tile.view_mut());
///     let [_, rows, columns] = tiles.tile_shape();
///     let answer = Array3::zeros((3, rows, columns)); // here the network's answer to the tile
///     joiner.add(index, answer.view());
/// }
/// let options = Cellpose { steps: tiles.steps(), ..Cellpose::default() };
/// let labels = options.segment(joiner.finish().view())?;
/// assert_eq!(labels.dim(), (300, 280));
/// # Ok::<(), cell_analysis::cellpose::CellposeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkTiles {
    network: Network,
    /// Rows and columns of the image, and of the image at the network's scale.
    size: [usize; 2],
    scaled: [usize; 2],
    /// Pixels of the network's cells for one of the image's.
    scale: f64,
    /// Zeros before the scaled image.
    offset: [usize; 2],
    /// Rows and columns of the tiles in the padded image.
    windows: [Vec<Range<usize>>; 2],
}

impl NetworkTiles {
    /// The tiles of an image of `size` rows and columns with cells of `diameter` pixels; without a diameter it stays at
    /// its scale.
    ///
    /// The image is scaled so that its cells have the network's diameter (sides truncated), padded with zeros on all sides,
    /// and cut into tiles that overlap by about a tenth. As in `run_net` of Cellpose 3.1 and 4.2.
    ///
    /// # Errors
    /// [`CellposeError`]: the diameter is not positive, or the image would have no pixels or too many.
    pub fn new(
        network: &Network,
        size: [usize; 2],
        diameter: Option<f64>,
    ) -> Result<Self, CellposeError> {
        let target = network.diameter;
        let diameter = diameter.unwrap_or(target);
        let scale = target / diameter;
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(CellposeError::Diameter { diameter });
        }
        let scaled = size.map(|length| (length as f64 * scale) as usize);
        if scaled.contains(&0) || size.contains(&0) {
            return Err(CellposeError::NoPixels {
                size,
                diameter,
                target,
            });
        }
        let [rows, columns] = scaled.map(|length| u32::try_from(length).unwrap_or(u32::MAX));
        if rows.checked_mul(columns).is_none() {
            return Err(CellposeError::TooLarge { size: scaled });
        }
        let padding = scaled.map(|length| network.padding(length));
        let windows = [0, 1].map(|axis| {
            let padded = scaled[axis] + padding[axis][0] + padding[axis][1];
            spread(padded, network.tile, OVERLAP)
        });
        Ok(Self {
            network: network.clone(),
            size,
            scaled,
            scale,
            offset: padding.map(|[before, _]| before),
            windows,
        })
    }

    /// Number of tiles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows[0].len() * self.windows[1].len()
    }

    /// Whether there are no tiles, which never happens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels, rows and columns of a tile.
    #[must_use]
    pub fn tile_shape(&self) -> [usize; 3] {
        let [rows, columns] = [0, 1].map(|axis| self.windows[axis][0].len());
        [self.network.channels, rows, columns]
    }

    /// How many steps pixels have to follow the flows at the image's scale: 200 at the network's, more where its cells are
    /// larger.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.network.steps(self.scale)
    }

    /// The image `[channel, row, column]` at the network's scale: bilinear, as [`resize_image`] of one channel.
    ///
    /// Cellpose 4, with three channels, has the same to the last bit. Cellpose 3 has two, for which `OpenCV` rounds the
    /// places of samples more coarsely: values differ by some 10⁻⁵.
    ///
    /// # Panics
    /// If the image does not have the size that this was made for.
    #[must_use]
    pub fn scaled(&self, image: ArrayView3<'_, f32>) -> Array3<f32> {
        let (_, rows, columns) = image.dim();
        assert_eq!([rows, columns], self.size, "image to be tiled");
        resized(image, self.scaled)
    }

    /// Copies a tile `[channel, row, column]` out of the scaled image.
    ///
    /// What lies outside of the image is 0, and so are channels that the image does not have; channels that it has beyond
    /// those of the network are left out.
    ///
    /// # Panics
    /// If the image or `out` does not have the shape that this was made for, or there is no such tile.
    pub fn copy_tile(
        &self,
        scaled: ArrayView3<'_, f32>,
        index: usize,
        mut out: ArrayViewMut3<'_, f32>,
    ) {
        let (_, rows, columns) = scaled.dim();
        assert_eq!([rows, columns], self.scaled, "image at the network's scale");
        assert_eq!(<[usize; 3]>::from(out.dim()), self.tile_shape(), "tile");
        let [down, across] = self.shown(index);
        out.fill(0.0);
        for (channel, mut out) in scaled.outer_iter().zip(out.outer_iter_mut()) {
            let shown = channel.slice_axis_move(Axis(0), down.image.clone().into());
            let shown = shown.slice_axis_move(Axis(1), across.image.clone().into());
            let mut out = out.slice_axis_mut(Axis(0), down.tile.clone().into());
            out.slice_axis_mut(Axis(1), across.tile.clone().into())
                .assign(&shown);
        }
    }

    /// Where a tile shows the scaled image, down and across.
    fn shown(&self, index: usize) -> [Shown; 2] {
        let columns = self.windows[1].len();
        let at = [index / columns, index % columns];
        [0, 1].map(|axis| self.shown_along(axis, &self.windows[axis][at[axis]]))
    }

    fn shown_along(&self, axis: usize, window: &Range<usize>) -> Shown {
        let (offset, length) = (self.offset[axis], self.scaled[axis]);
        let start = window.start.max(offset);
        let end = window.end.min(offset + length).max(start);
        Shown {
            tile: start - window.start..end - window.start,
            image: start - offset..end - offset,
        }
    }
}

/// The part of a tile that shows the image, and the part of the image that it shows.
struct Shown {
    tile: Range<usize>,
    image: Range<usize>,
}

/// Joins what a network answers to the tiles of an image.
///
/// Where tiles overlap, answers are weighted with two sigmoids that fall off 20 pixels before the edge of a tile, summed in
/// the order of tiles, and divided by the sum of the weights: weights, products and sums in `f64`, each rounded to `f32`.
/// As `average_tiles` of Cellpose.
#[derive(Clone, Debug)]
pub struct TileJoiner {
    tiles: NetworkTiles,
    /// Weights of a tile's rows and columns.
    weights: [Vec<f64>; 2],
    sums: Array3<f32>,
    next: usize,
}

impl TileJoiner {
    /// Expects the answers to all tiles.
    #[must_use]
    pub fn new(tiles: &NetworkTiles) -> Self {
        let [_, rows, columns] = tiles.tile_shape();
        let side = SMALLEST_TAPER.max(rows).max(columns);
        Self {
            tiles: tiles.clone(),
            weights: [rows, columns].map(|length| taper(length, side)),
            sums: Array3::zeros((3, tiles.scaled[0], tiles.scaled[1])),
            next: 0,
        }
    }

    /// Takes the heads `[3, row, column]` that the network answers to the next tile.
    ///
    /// # Panics
    /// If `index` is not the next one or the heads do not have the shape of a tile.
    pub fn add(&mut self, index: usize, answer: ArrayView3<'_, f32>) {
        assert_eq!(index, self.next, "tiles come in order");
        let [_, rows, columns] = self.tiles.tile_shape();
        assert_eq!(answer.dim(), (3, rows, columns), "answer to a tile");
        self.next += 1;
        let [down, across] = self.tiles.shown(index);
        let weights = &self.weights[1][across.tile.clone()];
        for (mut sums, answer) in self.sums.outer_iter_mut().zip(answer.outer_iter()) {
            for (row, to) in down.tile.clone().zip(down.image.clone()) {
                let mut sums = sums.row_mut(to);
                let sums = sums.iter_mut().skip(across.image.start);
                let answers = answer.row(row);
                let answers = answers.iter().skip(across.tile.start);
                for ((sum, &answer), &weight) in sums.zip(answers).zip(weights) {
                    let weight = weight * self.weights[0][row];
                    *sum = (f64::from(*sum) + f64::from(answer) * weight) as f32;
                }
            }
        }
    }

    /// The heads `[3, row, column]` at the image's scale: bilinear, as [`resize_image`] of one channel. Flows keep their
    /// length.
    ///
    /// # Panics
    /// If the answer to a tile is missing.
    #[must_use]
    pub fn finish(mut self) -> Array3<f32> {
        assert_eq!(self.next, self.tiles.len(), "all tiles have been added");
        let mut heads = std::mem::take(&mut self.sums);
        let rows = heads.axis_iter_mut(Axis(1)).into_par_iter().enumerate();
        rows.for_each(|(row, mut heads)| {
            let weights = self.weights_of_row(row);
            for mut head in heads.outer_iter_mut() {
                for (sum, &weight) in head.iter_mut().zip(&weights) {
                    *sum = (f64::from(*sum) / weight) as f32;
                }
            }
        });
        resized(heads.view(), self.tiles.size)
    }

    /// The sums of the weights of a row of the scaled image.
    fn weights_of_row(&self, row: usize) -> Vec<f64> {
        let mut sums = vec![0.0; self.tiles.scaled[1]];
        for down in &self.tiles.windows[0] {
            let down = self.tiles.shown_along(0, down);
            if !down.image.contains(&row) {
                continue;
            }
            let weight = self.weights[0][down.tile.start + row - down.image.start];
            for across in &self.tiles.windows[1] {
                let across = self.tiles.shown_along(1, across);
                let weights = &self.weights[1][across.tile];
                for (sum, &across) in sums[across.image].iter_mut().zip(weights) {
                    *sum += across * weight;
                }
            }
        }
        sums
    }
}

/// Side of the square that weights are cut out of, if tiles are smaller.
const SMALLEST_TAPER: usize = 224;

/// The middle `length` of `side` weights, which are 1/2 at 20 pixels from either end.
fn taper(length: usize, side: usize) -> Vec<f64> {
    let middle = (side as f64 - 1.0) / 2.0;
    let start = side / 2 - length / 2;
    let weight = |place: usize| {
        let distance = (place as f64 - middle).abs();
        1.0 / (1.0 + ((distance - (side as f64 / 2.0 - 20.0)) / 7.5).exp())
    };
    (start..start + length).map(weight).collect()
}

/// Every plane at another size, unless it has that size.
fn resized(image: ArrayView3<'_, f32>, size: [usize; 2]) -> Array3<f32> {
    let (channels, rows, columns) = image.dim();
    if [rows, columns] == size || channels == 0 {
        return image.to_owned();
    }
    resize_image(image.insert_axis(Axis(3)), size).index_axis_move(Axis(3), 0)
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;
    use proptest::prelude::*;

    use super::*;

    fn small(network: Network) -> Network {
        Network {
            tile: 48,
            ..network
        }
    }

    fn networks() -> impl Strategy<Value = Network> {
        prop_oneof![Just(small(Network::cyto())), Just(small(Network::sam()))]
    }

    fn numbered(shape: [usize; 3]) -> Array3<f32> {
        let mut count = 0.0;
        Array3::from_shape_simple_fn(shape, || {
            count += 1.0;
            count
        })
    }

    fn all_tiles(tiles: &NetworkTiles, scaled: &Array3<f32>) -> Array4<f32> {
        let [channels, rows, columns] = tiles.tile_shape();
        let mut all = Array4::from_elem((tiles.len(), channels, rows, columns), f32::NAN);
        for (index, tile) in all.outer_iter_mut().enumerate() {
            tiles.copy_tile(scaled.view(), index, tile);
        }
        all
    }

    proptest! {
        #[test]
        fn windows_cover_the_image_evenly(
            length in 1..3000_usize, tile in 1..300_usize, overlap in -1.0..2.0_f64,
        ) {
            let windows = spread(length, tile, overlap);
            prop_assert_eq!(windows[0].start, 0);
            prop_assert_eq!(windows[windows.len() - 1].end, length);
            for pair in windows.windows(2) {
                prop_assert!(pair[0].start <= pair[1].start && pair[1].start <= pair[0].end);
            }
            prop_assert!(windows.iter().all(|window| window.len() == tile.min(length)));
        }

        #[test]
        fn tiles_show_the_image_and_zeros(
            network in networks(), rows in 1..130_usize, columns in 1..130_usize, channels in 1..5_usize,
        ) {
            let image = numbered([channels, rows, columns]);
            let tiles = NetworkTiles::new(&network, [rows, columns], None).unwrap();
            let scaled = tiles.scaled(image.view());
            prop_assert_eq!(&scaled, &image);
            let all = all_tiles(&tiles, &scaled);
            let across = tiles.windows[1].len();
            for ((index, channel, row, column), &value) in all.indexed_iter() {
                let row = tiles.windows[0][index / across].start + row;
                let column = tiles.windows[1][index % across].start + column;
                let place = row.checked_sub(tiles.offset[0]).zip(column.checked_sub(tiles.offset[1]));
                let shown = place.and_then(|(row, column)| image.get([channel, row, column]));
                prop_assert_eq!(value, shown.copied().unwrap_or(0.0));
            }
        }

        #[test]
        fn a_network_that_repeats_its_input_gets_the_image_back(
            network in networks(), rows in 1..130_usize, columns in 1..130_usize,
        ) {
            let image = numbered([3, rows, columns]);
            let network = Network { channels: 3, ..network };
            let tiles = NetworkTiles::new(&network, [rows, columns], None).unwrap();
            let mut joiner = TileJoiner::new(&tiles);
            for (index, tile) in all_tiles(&tiles, &image).outer_iter().enumerate() {
                joiner.add(index, tile);
            }
            let heads = joiner.finish();
            prop_assert_eq!(heads.dim(), image.dim());
            for (&head, &value) in heads.iter().zip(&image) {
                prop_assert!((head - value).abs() <= value * 1e-6, "{head} is not {value}");
            }
        }
    }

    #[test]
    fn windows_are_those_of_the_reference() {
        let windows = tile_windows([300, 400], 224, 0.1);
        let rows = [0..224, 76..300];
        let columns = [0..224, 88..312, 176..400];
        let expected = rows
            .iter()
            .flat_map(|rows| columns.iter().map(move |columns| [rows, columns]));
        assert_eq!(
            windows,
            expected
                .map(|window| window.map(Clone::clone))
                .collect::<Vec<_>>()
        );
        assert_eq!(tile_windows([100, 80], 256, 0.1), [[0..100, 0..80]]);
        assert_eq!(tile_windows([100, 0], 0, f64::NAN), [[0..100, 0..0]]);
        assert_eq!(tile_windows([10, 3], 8, f64::NAN).len(), 2);
    }

    #[test]
    fn weights_are_the_middle_of_those_of_a_large_tile() {
        let expected = [0.999_989_221_678_077_5, 0.999_989_939_164_701_5];
        for (weight, expected) in taper(5, 224).iter().zip(expected) {
            // The reference has the product with the middle row.
            assert!((weight * taper(5, 224)[2] - expected).abs() < 1e-15);
        }
        let weights = taper(300, 300);
        assert!((weights[0] * weights[150] - 0.069_138_418_151_039_74).abs() < 1e-15);
        assert!(
            (weights[20] - 0.5).abs() < 0.02 && (weights[20] + weights[19] - 1.0).abs() < 1e-12
        );
    }

    #[test]
    fn an_image_is_scaled_to_the_diameter_of_the_network_and_back() {
        let tiles = NetworkTiles::new(&Network::nuclei(), [101, 60], Some(34.0)).unwrap();
        assert_eq!(
            tiles.scaled(numbered([1, 101, 60]).view()).dim(),
            (1, 50, 30)
        );
        assert_eq!((tiles.tile_shape(), tiles.steps()), ([2, 80, 48], 400));
        let mut joiner = TileJoiner::new(&tiles);
        joiner.add(0, Array3::from_elem((3, 80, 48), 0.25).view());
        let heads = joiner.finish();
        assert_eq!(heads.dim(), (3, 101, 60));
        assert!(heads.iter().all(|head| (head - 0.25).abs() < 1e-6));
    }

    #[test]
    fn sizes_and_diameters_that_make_no_sense_are_errors() {
        let error =
            |size, diameter| NetworkTiles::new(&Network::sam(), size, diameter).unwrap_err();
        for diameter in [0.0, -3.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 4.0] {
            let error = error([9, 9], Some(diameter));
            assert!(matches!(error, CellposeError::Diameter { .. }), "{error}");
        }
        let none = error([9, 2], Some(100.0));
        let text = "an image of [9, 2] pixels has none left where cells of 100 pixels become 30";
        assert_eq!(none.to_string(), text);
        assert!(matches!(
            error([0, 9], None),
            CellposeError::NoPixels { .. }
        ));
        let large = error([99, 99], Some(1e-9));
        assert!(matches!(large, CellposeError::TooLarge { .. }), "{large}");
    }
}
