//! The values of a channel, and between which of them it is shown.

use ndarray::ArrayView2;

/// Shares of pixels that are shown as black and as white.
const DARKEST: f64 = 0.003;
const BRIGHTEST: f64 = 0.003;

/// The values of a channel; all 0 if none is finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChannelStatistics {
    /// The percentile 0.3 of a sample: what is shown as black unless the viewer wants it otherwise.
    pub low: f32,
    /// The percentile 99.7: what is shown as white.
    pub high: f32,
    /// The smallest value of all.
    pub min: f32,
    /// The largest value of all.
    pub max: f32,
}

/// The values of a channel `[row, column]`, the percentiles from about `sample` pixels on a grid.
#[must_use]
pub fn channel_statistics(channel: ArrayView2<'_, f32>, sample: usize) -> ChannelStatistics {
    let finite = channel.iter().copied().filter(|value| value.is_finite());
    let range = finite.fold(None, |range: Option<(f32, f32)>, value| {
        let (min, max) = range.unwrap_or((value, value));
        Some((min.min(value), max.max(value)))
    });
    let Some((min, max)) = range else {
        return ChannelStatistics::default();
    };
    // A sample may have missed the only values there are.
    let (low, high) = shown_range(channel, sample).unwrap_or((min, max));
    ChannelStatistics {
        low,
        high,
        min,
        max,
    }
}

/// The values of about `sample` pixels on a grid that are shown as black and white; nothing if none of them is finite.
pub(crate) fn shown_range(channel: ArrayView2<'_, f32>, sample: usize) -> Option<(f32, f32)> {
    let step = (channel.len() as f64 / sample.max(1) as f64)
        .sqrt()
        .ceil()
        .max(1.0) as usize;
    // Of a side that is shorter than half a step the last pixel is taken.
    let first = |length: usize| (step / 2).min(length.saturating_sub(1));
    let rows = channel
        .outer_iter()
        .skip(first(channel.nrows()))
        .step_by(step);
    let mut values: Vec<f32> = rows
        .flat_map(|row| row.into_iter().skip(first(channel.ncols())).step_by(step))
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    let last = values.len().checked_sub(1)? as f64;
    let mut ranked = |share: f64| {
        let rank = (share * last).round() as usize;
        *values.select_nth_unstable_by(rank, f32::total_cmp).1
    };
    Some((ranked(DARKEST), ranked(1.0 - BRIGHTEST)))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn a_few_bright_pixels_do_not_darken_the_rest() {
        let mut channel =
            Array2::from_shape_fn((100, 100), |(row, column)| (row * 100 + column) as f32);
        channel[[3, 4]] = 1e9;
        let found = channel_statistics(channel.view(), 1_000_000);
        assert_eq!((found.low, found.high), (30.0, 9970.0));
        assert_eq!((found.min, found.max), (0.0, 1e9));
        let sampled = channel_statistics(channel.view(), 400);
        assert!(
            (sampled.low - 30.0).abs() < 300.0 && (sampled.high - 9969.0).abs() < 300.0,
            "{sampled:?}"
        );
    }

    #[test]
    fn values_that_are_not_finite_do_not_count() {
        let channel = array![[f32::NAN, 1.0], [f32::INFINITY, 3.0]];
        let found = channel_statistics(channel.view(), 100);
        assert_eq!(
            (found.low, found.high, found.min, found.max),
            (1.0, 3.0, 1.0, 3.0)
        );
        let none = channel_statistics(Array2::from_elem((5, 5), f32::NAN).view(), 100);
        assert_eq!(none, ChannelStatistics::default());
        assert_eq!(channel_statistics(Array2::zeros((0, 7)).view(), 100), none);
        let mut rare = Array2::from_elem((50, 50), f32::NAN);
        rare[[0, 0]] = 5.0;
        assert_eq!(channel_statistics(rare.view(), 4).high, 5.0);
    }
}
