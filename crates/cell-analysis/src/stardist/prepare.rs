//! What is done to an image before a StarDist model sees it: normalization by percentiles, and padding to a multiple.

use ndarray::{Array4, ArrayView4, Axis};

use crate::plane::{for_each_plane, reflect_whole_sample};
use crate::segmentation::percentile_neighbors;

/// Which values have percentiles of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelScaling {
    /// All channels of an image together.
    #[default]
    Together,
    /// Each channel.
    Apart,
}

/// Scales an image so that a low percentile becomes 0 and a high one 1, as `normalize` of csbdeep 0.8 does.
///
/// ```
/// # use cell_analysis::stardist::PercentileNormalization;
/// # use ndarray::Array4;
/// let image = Array4::from_shape_fn((1, 1, 101, 1), |(_, _, column, _)| column as f32);
/// let options = PercentileNormalization { low: 10.0, high: 60.0, ..PercentileNormalization::default() };
/// let normalized = options.normalize(image);
/// assert_eq!((normalized[[0, 0, 10, 0]], normalized[[0, 0, 85, 0]]), (0.0, 1.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PercentileNormalization {
    /// The percentile that becomes 0, from 0 to 100 (default 1).
    pub low: f64,
    /// The percentile that becomes 1 (default 99.8).
    pub high: f64,
    /// Which values have percentiles of their own (default: all channels together).
    pub channels: ChannelScaling,
    /// Is added to the divisor (default 1e-20).
    pub epsilon: f32,
}

impl Default for PercentileNormalization {
    fn default() -> Self {
        Self {
            low: 1.0,
            high: 99.8,
            channels: ChannelScaling::Together,
            epsilon: 1e-20,
        }
    }
}

impl PercentileNormalization {
    /// An image `[batch, row, column, channel]` as `(x - low) / (high - low + epsilon)`, each batch item apart.
    ///
    /// Percentiles are interpolated linearly in `f64` and rounded to `f32`; the rest is in `f32`. Values beyond them are not
    /// clipped. With the default epsilon, an image of one value becomes zero. One NaN makes everything that it is scaled with
    /// NaN.
    #[must_use]
    pub fn normalize(&self, mut image: Array4<f32>) -> Array4<f32> {
        match self.channels {
            ChannelScaling::Apart => for_each_plane(&mut image, |values, _| self.scale(values)),
            ChannelScaling::Together => {
                // The channels of a pixel lie beside each other, as if they were more columns.
                image = image.as_standard_layout().into_owned();
                for mut item in image.axis_iter_mut(Axis(0)) {
                    if let Some(values) = item.as_slice_mut() {
                        self.scale(values);
                    }
                }
            }
        }
        image
    }

    fn scale(&self, values: &mut [f32]) {
        let Some([low, high]) = percentiles(values, [self.low, self.high]) else {
            return;
        };
        let width = high - low + self.epsilon;
        values
            .iter_mut()
            .for_each(|value| *value = (*value - low) / width);
    }
}

/// Percentiles of all values, if there are any.
fn percentiles(values: &[f32], percents: [f64; 2]) -> Option<[f32; 2]> {
    if values.iter().any(|value| value.is_nan()) {
        return Some([f32::NAN; 2]);
    }
    let percentile = |percent: f64| {
        let neighbors = percentile_neighbors(values, percent.clamp(0.0, 100.0), |_| true)?;
        let step = f64::from(neighbors.above) - f64::from(neighbors.below);
        Some(neighbors.interpolated(step) as f32)
    };
    Some([percentile(percents[0])?, percentile(percents[1])?])
}

/// An image `[batch, row, column, channel]` whose rows and columns are continued behind the last one up to a multiple, by the
/// image's mirror image, the edge pixel not repeated (`NumPy`'s `reflect`).
///
/// A continuation longer than the image is mirrored again and again. An image of one row or column repeats it.
///
/// # Panics
///
/// If a multiple is zero.
#[must_use]
pub fn pad_to_multiple(image: ArrayView4<'_, f32>, multiple: [usize; 2]) -> Array4<f32> {
    let (batch, rows, columns, channels) = image.dim();
    let [height, width] = [
        rows.next_multiple_of(multiple[0]),
        columns.next_multiple_of(multiple[1]),
    ];
    let source = |at: usize, length: usize| reflect_whole_sample(at as isize, length);
    Array4::from_shape_fn(
        (batch, height, width, channels),
        |(item, row, column, channel)| {
            image[[item, source(row, rows), source(column, columns), channel]]
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sorts all values.
    fn slow_percentile(values: &[f32], percent: f64) -> f32 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f32::total_cmp);
        let position = percent / 100.0 * (sorted.len() - 1) as f64;
        let [below, above] =
            [position.floor(), position.ceil()].map(|at| f64::from(sorted[at as usize]));
        (below + (above - below) * position.fract()) as f32
    }

    proptest! {
        #[test]
        fn percentiles_lie_between_two_of_all_values(
            values in proptest::collection::vec(-500..500_i32, 1..200), percent in 0.0..100.0_f64,
        ) {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32 * 0.5).collect();
            let [low, high] = percentiles(&values, [percent, 100.0]).unwrap();
            prop_assert!((low - slow_percentile(&values, percent)).abs() <= 1e-4);
            prop_assert_eq!(high, slow_percentile(&values, 100.0));
        }

        #[test]
        fn padding_walks_back_and_forth_over_the_image(
            size in (1..7_usize, 1..7_usize), multiple in (1..20_usize, 1..20_usize),
        ) {
            let image = Array4::from_shape_fn((1, size.0, size.1, 2), |(_, row, column, channel)| {
                (row * 100 + column * 10 + channel) as f32
            });
            let padded = pad_to_multiple(image.view(), [multiple.0, multiple.1]);
            let walk = |length: usize| {
                let back = (1..length.saturating_sub(1)).rev();
                (0..length).chain(back).cycle()
            };
            prop_assert_eq!(padded.dim().1, size.0.div_ceil(multiple.0) * multiple.0);
            prop_assert_eq!(padded.dim().2, size.1.div_ceil(multiple.1) * multiple.1);
            for (row, source_row) in walk(size.0).take(padded.dim().1).enumerate() {
                for (column, source_column) in walk(size.1).take(padded.dim().2).enumerate() {
                    prop_assert_eq!(padded[[0, row, column, 1]], image[[0, source_row, source_column, 1]]);
                }
            }
        }
    }

    #[test]
    fn channels_are_scaled_together_or_apart() {
        let image = Array4::from_shape_fn((2, 3, 3, 2), |(item, row, column, channel)| {
            (row * 3 + column) as f32 * [1.0, 10.0][channel] + item as f32
        });
        let scaled = |channels: ChannelScaling| {
            let options = PercentileNormalization {
                low: 0.0,
                high: 100.0,
                channels,
                ..PercentileNormalization::default()
            };
            options.normalize(image.clone())
        };
        let (together, apart) = (
            scaled(ChannelScaling::Together),
            scaled(ChannelScaling::Apart),
        );
        for item in [0, 1] {
            assert_eq!(together[[item, 2, 2, 0]], 0.1);
            assert_eq!((apart[[item, 2, 2, 0]], apart[[item, 2, 2, 1]]), (1.0, 1.0));
        }
    }

    #[test]
    fn an_image_of_one_value_becomes_zero_and_one_with_nan_nan() {
        let options = PercentileNormalization::default();
        let mut image = Array4::from_elem((2, 3, 3, 1), 7.5);
        image[[1, 1, 1, 0]] = f32::NAN;
        let normalized = options.normalize(image);
        assert!(
            normalized
                .index_axis(Axis(0), 0)
                .iter()
                .all(|&value| value == 0.0)
        );
        assert!(
            normalized
                .index_axis(Axis(0), 1)
                .iter()
                .all(|value| value.is_nan())
        );
        assert_eq!(options.normalize(Array4::zeros((1, 0, 4, 1))).len(), 0);
    }

    #[test]
    fn percentiles_out_of_range_are_the_extremes() {
        assert_eq!(
            percentiles(&[3.0, 1.0, 2.0], [-5.0, 250.0]),
            Some([1.0, 3.0])
        );
        assert_eq!(
            percentiles(&[3.0, 1.0, 2.0], [f64::NAN, 50.0]).unwrap()[1],
            2.0
        );
    }
}
