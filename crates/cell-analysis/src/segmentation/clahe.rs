//! Contrast-limited adaptive histogram equalization, after Zuiderveld, "Contrast limited
//! adaptive histogram equalization", Graphics Gems IV (1994), bit-equal to `equalize_adapthist`
//! of scikit-image 0.21 with a clip limit of 0.01 and 256 bins.
//!
//! Border: one plane at a time; images are walked in `normalize`.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::rescale::{LinearMap, rescale_intensity_in_place};
use crate::plane::{
    NO_RANGE, STRIP, from_values, range, range_of_strip, reflect_whole_sample, union, vectorized,
    zeros,
};

/// Bins of a histogram.
const BINS: usize = 256;

/// Largest gray value while the histogram is equalized.
const GRAY_MAX: f64 = 16383.0;

/// Gray values a bin holds.
const BIN_WIDTH: u16 = 65;

/// Share of a tile's pixels that one bin may hold.
const CLIP_LIMIT: f64 = 0.01;

/// Most rows that one task interpolates.
const STRIP_ROWS: usize = 64;

/// Counts of one tile's gray bins.
type Histogram = [u32; BINS];

/// Gray value of each bin after equalization.
type Map = [f64; BINS];

/// A plane `[row, column]` with values in 0 … 1, its histogram equalized; the result fills 0 … 1.
///
/// As scikit-image's `equalize_adapthist`. `kernel` is the side of a tile in pixels for both axes,
/// an eighth of the plane's rows and columns if `None`. A result of one value is clamped to 0 … 1.
#[must_use]
pub fn equalize_adapthist(image: ArrayView2<'_, f32>, kernel: Option<usize>) -> Array2<f32> {
    let shape = image.dim().into();
    let mut values: Vec<f32> = image.iter().copied().collect();
    let range = range(&values);
    equalize(
        &mut values,
        &Tiles::new(shape, kernel),
        range,
        LinearMap::NONE,
    );
    from_values(shape, values)
}

/// [`equalize_adapthist`] in place, of values in `low` … `high` that `stretch` takes to 0 … 1.
pub(super) fn equalize(
    values: &mut [f32],
    tiles: &Tiles,
    (low, high): (f32, f32),
    stretch: LinearMap,
) {
    let [darkest, brightest] = [low, high].map(|value| to_16bit(stretch.apply(value)));
    let bin_of = bins_of_16bit(darkest, brightest);
    let mut bins = zeros(values.len());
    let strips = bins.par_chunks_mut(STRIP).zip(values.par_chunks(STRIP));
    strips.for_each_init(
        || [0; STRIP],
        |gray, (bins, values)| {
            // Apart, as the look-up would keep the arithmetic from being done for several values at once.
            vectorized(
                #[inline(always)]
                || {
                    gray.iter_mut()
                        .zip(values)
                        .for_each(|(gray, &value)| *gray = to_16bit(stretch.apply(value)));
                },
            );
            bins.iter_mut()
                .zip(&*gray)
                .for_each(|(bin, &gray)| *bin = bin_of[usize::from(gray)]);
        },
    );
    let range = tiles.equalize(&bins, values);
    rescale_intensity_in_place(values, range);
}

/// Gray values 0 … 16383 of a plane `[row, column]` with values in 0 … 1: how scikit-image's
/// `equalize_adapthist` prepares an image.
///
/// Rounded to 16 bits first (ties to even, outside values clamped), then stretched to the
/// 14 bits; a plane of one value is not stretched.
#[must_use]
pub fn to_14bit(image: ArrayView2<'_, f32>) -> Array2<u16> {
    let gray = image.mapv(to_16bit);
    let low = gray.iter().copied().min().unwrap_or(0);
    let high = gray.iter().copied().max().unwrap_or(0);
    gray.mapv_into(|gray| stretch_14bit(gray, low, high))
}

/// A plane `[row, column]` of gray values 0 … 16383, its histogram equalized with tiles of
/// `kernel` rows and columns: the core of scikit-image's `equalize_adapthist`.
///
/// # Panics
/// If a side of the kernel is zero.
#[must_use]
pub fn clahe_14bit(image: ArrayView2<'_, u16>, kernel: [usize; 2]) -> Array2<u16> {
    assert!(
        kernel[0] > 0 && kernel[1] > 0,
        "a tile has at least one pixel"
    );
    let shape = image.dim().into();
    let bins: Vec<u8> = image.iter().copied().map(bin).collect();
    let mut equalized = vec![0.0; bins.len()];
    Tiles::of(shape, kernel).equalize(&bins, &mut equalized);
    from_values(
        shape,
        equalized.into_iter().map(|gray| gray as u16).collect(),
    )
}

/// Cuts the counts of a histogram at `limit` and spreads the excess over its bins, as
/// scikit-image's `clip_histogram` does.
///
/// First as evenly as fits, then one count at a time in strides over the bins that still
/// have room; a sweep is finished even if the excess runs out in its middle.
pub fn clip_histogram(histogram: &mut [u32; 256], limit: u32) {
    let limit = i64::from(limit);
    let mut excess = cut(histogram, limit);
    // An even share for every bin with room for it; bins that are almost full are filled up.
    let increment = excess / BINS as i64;
    let upper = limit - increment;
    for bin in histogram.iter_mut() {
        let count = i64::from(*bin);
        if count < upper {
            *bin += increment as u32;
            excess -= increment;
        }
    }
    for bin in histogram.iter_mut() {
        let count = i64::from(*bin);
        if count >= upper && count < limit {
            excess -= limit - count;
            *bin = limit as u32;
        }
    }
    // The rest goes around in strides, until nothing is left or no bin takes any more.
    while excess > 0 {
        let before = excess;
        spread(histogram, limit, &mut excess);
        if excess == before {
            return;
        }
    }
}

fn cut(histogram: &mut Histogram, limit: i64) -> i64 {
    let mut excess = 0;
    for bin in histogram {
        let count = i64::from(*bin);
        if count > limit {
            excess += count - limit;
            *bin = limit as u32;
        }
    }
    excess
}

fn spread(histogram: &mut Histogram, limit: i64, excess: &mut i64) {
    // The stride follows from the bins with room and the excess at the start of each sweep, not within it.
    for start in 0..BINS {
        let open = histogram
            .iter()
            .filter(|&&count| i64::from(count) < limit)
            .count();
        let step = (open / *excess as usize).max(1);
        for bin in histogram[start..].iter_mut().step_by(step) {
            if i64::from(*bin) < limit {
                *bin += 1;
                *excess -= 1;
            }
        }
        if *excess <= 0 {
            return;
        }
    }
}

/// 0 … 1 as 0 … 65535, ties to even; see [`rint`].
#[inline(always)]
fn to_16bit(value: f32) -> u16 {
    const SHIFT: f32 = 12_582_912.0;
    ((value * 65535.0).clamp(0.0, 65535.0) + SHIFT).to_bits() as u16
}

/// The bin of every gray value `low` … `high` of 16 bits once it is stretched to 14.
fn bins_of_16bit(low: u16, high: u16) -> Box<[u8; 1 << 16]> {
    let mut bins = Box::new([0; 1 << 16]);
    let grays = low..=u16::MAX;
    let stretched = grays.map(|gray| bin(stretch_14bit(gray.min(high), low, high)));
    bins[usize::from(low)..]
        .iter_mut()
        .zip(stretched)
        .for_each(|(to, bin)| *to = bin);
    bins
}

fn stretch_14bit(gray: u16, low: u16, high: u16) -> u16 {
    if low == high {
        return gray.min(GRAY_MAX as u16);
    }
    rint((f64::from(gray - low) / f64::from(high - low)) * GRAY_MAX)
}

/// Rounds 0 … 65535 to an integer, ties to even: adding this number leaves no fraction bits.
fn rint(value: f64) -> u16 {
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    (value + SHIFT).to_bits() as u16
}

fn bin(gray: u16) -> u8 {
    (gray / BIN_WIDTH).min(BINS as u16 - 1) as u8
}

/// The tiles of one plane, numbered row by row.
pub(super) struct Tiles {
    /// Pixels of the plane, rows and columns.
    shape: [usize; 2],
    /// Pixels of a tile, rows and columns.
    kernel: [usize; 2],
    /// Tiles below and beside each other.
    counts: [usize; 2],
}

impl Tiles {
    /// `kernel` as in [`equalize_adapthist`].
    pub(super) fn new(shape: [usize; 2], kernel: Option<usize>) -> Self {
        let kernel = kernel.map_or_else(|| shape.map(|length| length / 8), |side| [side; 2]);
        Self::of(shape, kernel.map(|side| side.max(1)))
    }

    fn of(shape: [usize; 2], kernel: [usize; 2]) -> Self {
        let counts = [shape[0].div_ceil(kernel[0]), shape[1].div_ceil(kernel[1])];
        Self {
            shape,
            kernel,
            counts,
        }
    }

    /// Writes the equalized gray values of `bins` into `out` and returns their range.
    fn equalize(&self, bins: &[u8], out: &mut [f32]) -> (f32, f32) {
        let tiles = (0..self.counts[0] * self.counts[1]).into_par_iter();
        let maps: Vec<Map> = tiles.map(|tile| self.map(self.count(bins, tile))).collect();
        self.interpolate(bins, &maps, out)
    }

    /// Counts the bins of a tile, which continues below and right of the plane in its mirror image.
    fn count(&self, bins: &[u8], tile: usize) -> Histogram {
        let ([_, width], [height, side]) = (self.shape, self.kernel);
        let (top, left) = (tile / self.counts[1] * height, tile % self.counts[1] * side);
        // Four to take turns: to count a bin twice in a row would be to wait for memory.
        let mut lanes = [[0; BINS]; 4];
        for row in top..top + height {
            let line = &bins[reflect_whole_sample(row as isize, self.shape[0]) * width..][..width];
            let (blocks, rest) = line[left..width.min(left + side)].as_chunks::<4>();
            for block in blocks {
                lanes
                    .iter_mut()
                    .zip(block)
                    .for_each(|(lane, &bin)| lane[usize::from(bin)] += 1);
            }
            let outside = (width..left + side)
                .map(|column| &line[reflect_whole_sample(column as isize, width)]);
            rest.iter()
                .chain(outside)
                .for_each(|&bin| lanes[0][usize::from(bin)] += 1);
        }
        std::array::from_fn(|bin| lanes.iter().map(|lane| lane[bin]).sum())
    }

    fn map(&self, mut histogram: Histogram) -> Map {
        let pixels = (self.kernel[0] * self.kernel[1]) as f64;
        let limit = (CLIP_LIMIT * pixels).max(1.0) as u32;
        clip_histogram(&mut histogram, limit);
        let scale = GRAY_MAX / pixels;
        let mut cumulated = 0;
        histogram.map(|count| {
            cumulated += count;
            f64::from((f64::from(cumulated) * scale).min(GRAY_MAX) as u16)
        })
    }

    /// Mixes the four maps around every pixel.
    fn interpolate(&self, bins: &[u8], maps: &[Map], mut out: &mut [f32]) -> (f32, f32) {
        let ([rows, width], [height, _]) = (self.shape, self.kernel);
        // A strip ends where the pair of rows of tiles around it changes, half-way through a tile, or when it is long enough.
        let mut strips = Vec::new();
        let mut first = 0;
        while first < rows {
            let last = (first + height - (first + height / 2) % height)
                .min(first + STRIP_ROWS)
                .min(rows);
            let strip = out
                .split_off_mut(..(last - first) * width)
                .unwrap_or_default();
            strips.push((first, strip));
            first = last;
        }
        let ranges = strips
            .into_par_iter()
            .map(|(first, strip)| self.interpolate_rows(bins, maps, first, strip));
        ranges.reduce(|| NO_RANGE, union)
    }

    /// The rows from `first` on, which all lie between the same two rows of tiles.
    fn interpolate_rows(
        &self,
        bins: &[u8],
        maps: &[Map],
        first: usize,
        out: &mut [f32],
    ) -> (f32, f32) {
        let ([_, width], [height, side]) = (self.shape, self.kernel);
        let bins = &bins[first * width..first * width + out.len()];
        let mut range = NO_RANGE;
        let mut left = 0;
        while left < width {
            let right = (left + side - (left + side / 2) % side).min(width);
            let quad = self.quad(
                maps,
                [(first + height / 2) / height, (left + side / 2) / side],
            );
            // Within the block the same four maps are mixed, in shares that change from pixel to pixel.
            let weights: Vec<_> = (left..right).map(|column| share(column, side)).collect();
            let rows = bins.chunks_exact(width).zip(out.chunks_exact_mut(width));
            for (row, (bins, out)) in rows.enumerate() {
                let down = share(first + row, height);
                let out = &mut out[left..right];
                let shares = Shares {
                    down,
                    across: &weights,
                };
                mix(&quad, &shares, &bins[left..right], out);
                range = union(range, range_of_strip(out));
            }
            left = right;
        }
        range
    }

    /// The maps above left, above right, below left and below right of a block, bin by bin.
    fn quad(&self, maps: &[Map], block: [usize; 2]) -> Vec<[f64; 4]> {
        let [[above, below], [left, right]] = [0, 1].map(|axis| {
            let last = self.counts[axis] - 1;
            [
                block[axis].saturating_sub(1).min(last),
                block[axis].min(last),
            ]
        });
        let map = |row: usize, column: usize| &maps[row * self.counts[1] + column];
        let (a, b) = (map(above, left), map(above, right));
        let (c, d) = (map(below, left), map(below, right));
        (0..BINS)
            .map(|bin| [a[bin], b[bin], c[bin], d[bin]])
            .collect()
    }
}

/// Weights of the tile before and of the tile behind a pixel.
fn share(position: usize, side: usize) -> [f64; 2] {
    let offset = (position + side / 2) % side;
    let behind = offset as f64 / side as f64;
    [1.0 - behind, behind]
}

/// Weights of the tiles around the pixels of a row: above and below for all, left and right for each.
struct Shares<'a> {
    down: [f64; 2],
    across: &'a [[f64; 2]],
}

fn mix(quad: &[[f64; 4]], shares: &Shares<'_>, bins: &[u8], out: &mut [f32]) {
    let [above, below] = shares.down;
    // A table of known length: no bin needs a check of bounds.
    let Some(quad) = quad.first_chunk::<BINS>() else {
        return;
    };
    // Products are rounded to `f32` one by one and summed in this order, as in the original.
    vectorized(
        #[inline(always)]
        || {
            for ((out, &bin), &[left, right]) in out.iter_mut().zip(bins).zip(shares.across) {
                let [a, b, c, d] = quad[usize::from(bin)];
                let (a, b) = ((a * (left * above)) as f32, (b * (right * above)) as f32);
                let (c, d) = ((c * (left * below)) as f32, (d * (right * below)) as f32);
                *out = ((a + b) + c) + d;
            }
            out.iter_mut().for_each(|gray| *gray = trunc(*gray));
        },
    );
}

/// The integer part of 0 … 4 million, with instructions that every processor has for several values at once.
#[inline(always)]
fn trunc(value: f32) -> f32 {
    const SHIFT: f32 = 8_388_608.0;
    let rounded = (value + SHIFT) - SHIFT;
    if rounded > value {
        rounded - 1.0
    } else {
        rounded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn clipping_bounds_bins_and_spreads_what_it_cuts(
            counts in proptest::collection::vec(0..200_u32, 256), limit in 1..60_u32,
        ) {
            let mut histogram: Histogram = std::array::from_fn(|bin| counts[bin]);
            clip_histogram(&mut histogram, limit);
            let (before, after) = (counts.iter().sum::<u32>(), histogram.iter().sum::<u32>());
            prop_assert!(histogram.iter().all(|&count| count <= limit));
            prop_assert!(after >= before.min(256 * limit));
        }

        #[test]
        fn tiles_of_any_size_leave_gray_values(
            size in (1..40_usize, 1..40_usize), kernel in (1..20_usize, 1..20_usize),
        ) {
            let gray = |(row, column)| ((row * 977 + column * 1361) % 16384) as u16;
            let image = Array2::from_shape_fn(size, gray);
            let equalized = clahe_14bit(image.view(), [kernel.0, kernel.1]);
            prop_assert_eq!(equalized.dim(), size);
            prop_assert!(equalized.iter().all(|&value| value <= 16383));
        }
    }

    #[test]
    fn gray_values_round_ties_to_even() {
        assert_eq!(
            [0.5, 1.5, 2.5, 65534.5, 65535.0].map(rint),
            [0, 2, 2, 65534, 65535]
        );
    }

    #[test]
    fn gray_values_lose_their_fraction() {
        let values = [0.0, 0.99, 1.0, 2.5, 3.5, 16_382.999, 16_383.0];
        assert_eq!(values.map(trunc), values.map(f32::trunc));
    }

    #[test]
    fn a_plane_of_one_value_is_not_stretched() {
        let image = Array2::from_elem((3, 3), 0.1);
        assert_eq!(to_14bit(image.view()), Array2::from_elem((3, 3), 6554));
    }
}
