//! Scales the channels of an image as networks of Cellpose expect them.
//!
//! Border: values; sizes are `tiles`' business.

use ndarray::{Array2, Array3, ArrayViewMut2, Axis};
use rayon::prelude::*;

/// A plane `[row, column]` scaled so that its percentiles (0 … 100) become 0 and 1.
///
/// Percentiles are interpolated between two order statistics as `numpy.percentile` of `NumPy` 2 does it, and all is done
/// in `f32`. A plane becomes 0 if the percentiles are not more than 0.001 apart, or a value is not a number. As
/// `normalize99` of Cellpose.
#[must_use]
pub fn normalize99(mut image: Array2<f32>, percentiles: [f64; 2]) -> Array2<f32> {
    let seen = image.iter().copied().collect();
    scale(image.view_mut(), ends(seen, percentiles));
    image
}

/// An image `[channel, row, column]`, each channel scaled so that its 1st and its 99th percentile become 0 and 1.
///
/// That is [`normalize99`], but in a channel of more than 224³ pixels percentiles are those of about 224 rows and columns
/// at equal distances. As Cellpose 4 does it before its networks; earlier ones leave a channel of one value as it is.
#[must_use]
pub fn normalize_channels(mut image: Array3<f32>) -> Array3<f32> {
    let (_, rows, columns) = image.dim();
    let skipped = if rows * columns > MANY {
        [rows, columns].map(|length| (length / SEEN).max(1))
    } else {
        [1, 1]
    };
    let channels = image.axis_iter_mut(Axis(0)).into_par_iter();
    channels.for_each(|channel| {
        let seen = channel.outer_iter().step_by(skipped[0]);
        let seen = seen.flat_map(|row| row.into_iter().step_by(skipped[1]).copied());
        let ends = ends(seen.collect(), PERCENTILES);
        scale(channel, ends);
    });
    image
}

/// The percentiles that become 0 and 1.
const PERCENTILES: [f64; 2] = [1.0, 99.0];

/// Rows and columns that are looked at in a large channel.
const SEEN: usize = 224;

/// Pixels above which a channel is large.
const MANY: usize = 224 * 224 * 224;

/// Percentiles of values; no numbers if one of the values is none.
fn ends(mut values: Vec<f32>, percentiles: [f64; 2]) -> [f32; 2] {
    if values.iter().any(|value| value.is_nan()) {
        return [f32::NAN; 2];
    }
    percentiles.map(|percentile| percentile_of(&mut values, percentile))
}

fn percentile_of(values: &mut [f32], percentile: f64) -> f32 {
    let Some(last) = values.len().checked_sub(1) else {
        return f32::NAN;
    };
    let position = (last as f64 * (percentile / 100.0)).clamp(0.0, last as f64);
    let share = position - position.floor();
    let (_, &mut below, larger) = values.select_nth_unstable_by(position as usize, f32::total_cmp);
    let above = larger.iter().copied().min_by(f32::total_cmp);
    let above = above.unwrap_or(below);
    let step = above - below;
    if share < 0.5 {
        below + step * share as f32
    } else {
        above - step * (1.0 - share) as f32
    }
}

fn scale(mut plane: ArrayViewMut2<'_, f32>, [low, high]: [f32; 2]) {
    let width = high - low;
    if width > 1e-3 {
        plane.mapv_inplace(|value| (value - low) / width);
    } else {
        plane.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::strategies::plane;

    #[test]
    fn planes_are_scaled_to_the_last_bit() {
        let image = array![[3.0, 1.0, 4.0, 1.0], [5.0, 9.0, 2.0, 6.0_f32]];
        let scaled = normalize99(image.clone(), [1.0, 99.0]).mapv(f32::to_bits);
        let expected = array![
            [1_048_802_137, 0, 1_053_109_510, 0],
            [1_057_190_745, 1_065_579_353, 1_040_413_529, 1_059_344_431]
        ];
        assert_eq!(scaled, expected);
        let scaled = normalize99(image, [30.0, 60.0]).mapv(f32::to_bits);
        let expected = array![
            [1_054_567_865, 3_204_847_713, 1_063_755_387, 3_204_847_713],
            [1_068_548_877, 1_079_134_501, 3_175_287_845, 1_072_543_453]
        ];
        assert_eq!(scaled, expected);
    }

    #[test]
    fn a_plane_of_one_value_or_of_no_numbers_becomes_zero() {
        let zeros = array![[0.0, 0.0_f32]];
        assert_eq!(normalize99(array![[7.0, 7.0]], [1.0, 99.0]), zeros);
        assert_eq!(normalize99(array![[7.0, 7.0005]], [0.0, 100.0]), zeros);
        assert_eq!(normalize99(array![[7.0, f32::NAN]], [0.0, 100.0]), zeros);
        assert_eq!(normalize99(array![[-f32::NAN, 7.0]], [0.0, 100.0]), zeros);
        assert_eq!(
            normalize99(Array2::zeros((0, 3)), [1.0, 99.0]).dim(),
            (0, 3)
        );
        assert_eq!(
            normalize99(array![[1.0, 3.0]], [-7.0, f64::INFINITY]),
            array![[0.0, 1.0]]
        );
    }

    proptest! {
        #[test]
        fn each_channel_is_scaled_alone(one in plane(12), other in plane(12)) {
            let (rows, columns) = one.dim();
            let other = Array2::from_shape_fn((rows, columns), |(row, column)| {
                other[[row % other.nrows(), column % other.ncols()]]
            });
            let image = ndarray::stack(Axis(0), &[one.view(), other.view()]).unwrap();
            let scaled = normalize_channels(image);
            prop_assert_eq!(scaled.index_axis(Axis(0), 0), normalize99(one, PERCENTILES));
            prop_assert_eq!(scaled.index_axis(Axis(0), 1), normalize99(other, PERCENTILES));
        }

        #[test]
        fn percentiles_become_zero_and_one(image in plane(12), low in 0.0..50.0_f64, high in 50.0..100.0_f64) {
            let mut values: Vec<f32> = normalize99(image.clone(), [low, high]).iter().copied().collect();
            prop_assume!(values.iter().any(|&value| value != 0.0));
            for (percentile, expected) in [(low, 0.0), (high, 1.0)] {
                let value = percentile_of(&mut values, percentile);
                prop_assert!((value - expected).abs() < 1e-4, "{percentile}: {value}");
            }
        }
    }

    #[test]
    fn a_large_channel_is_looked_at_in_steps() {
        // Even columns are bright, and every second one is looked at.
        let image = Array3::from_shape_fn((1, 224 * 15, 224 * 16 + 100), |(_, row, column)| {
            if column % 16 == 0 && row % 15 == 0 {
                (row + column) as f32
            } else {
                -1e6
            }
        });
        let scaled = normalize_channels(image);
        assert!(scaled.iter().any(|value| (0.4..0.6).contains(value)));
        assert!(scaled[[0, 1, 1]] < -100.0);
    }
}
