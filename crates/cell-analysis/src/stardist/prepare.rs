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
