//! Windows of channels, in gray or color.

use ndarray::{Array2, Array3, ArrayView2};

use crate::picture::Picture;
use crate::window::Window;

/// Brightnesses that gamma is computed for.
const STEPS: usize = 4096;

/// How a channel is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelView {
    /// What is black.
    pub low: f32,
    /// What is as bright as its color.
    pub high: f32,
    /// Red, green and blue (sRGB); white is gray.
    pub color: [u8; 3],
    /// The exponent is one over it: above 1 lifts what is dim.
    pub gamma: f32,
}

impl ChannelView {
    /// Between these values in white.
    #[must_use]
    pub fn gray(low: f32, high: f32) -> Self {
        Self {
            low,
            high,
            color: [u8::MAX; 3],
            gamma: 1.0,
        }
    }

    /// The brightness of a value, 0 to 1 as a place in the table of [`Self::table`].
    fn step(&self, value: f32) -> usize {
        let range = (self.high - self.low).max(f32::MIN_POSITIVE);
        let share = (value - self.low) / range;
        // What is no number becomes 0.
        (share.clamp(0.0, 1.0) * (STEPS - 1) as f32 + 0.5) as usize
    }

    /// Brightnesses after gamma, 0 to 255.
    fn table(&self) -> Vec<f32> {
        let gamma = if self.gamma.is_finite() && self.gamma > 0.0 {
            self.gamma
        } else {
            1.0
        };
        let steps = (0..STEPS).map(|step| step as f32 / (STEPS - 1) as f32);
        steps.map(|share| 255.0 * share.powf(1.0 / gamma)).collect()
    }
}

/// A window of channels `[row, column]` of one shape: gray for one channel in white, else the sum of their colors.
///
/// Values that are no numbers are black.
///
/// # Panics
///
/// If the window is not within the channels.
#[must_use]
pub fn render_channels(
    channels: &[(ArrayView2<'_, f32>, ChannelView)],
    window: &Window,
) -> Picture {
    let shape = (window.height(), window.width());
    let place =
        |row: usize, column: usize| [window.rows.start + row, window.columns.start + column];
    if let [(channel, view)] = channels
        && view.color == [u8::MAX; 3]
    {
        let table: Vec<u8> = view
            .table()
            .into_iter()
            .map(|value| value.round() as u8)
            .collect();
        return Picture::Gray(Array2::from_shape_fn(shape, |(row, column)| {
            table[view.step(channel[place(row, column)])]
        }));
    }
    let mut sums = Array3::<f32>::zeros((shape.0, shape.1, 3));
    for (channel, view) in channels {
        let table = view.table();
        let parts = view.color.map(|part| f32::from(part) / 255.0);
        for ((row, column), sum) in lanes(&mut sums) {
            let bright = table[view.step(channel[place(row, column)])];
            sum.iter_mut()
                .zip(parts)
                .for_each(|(sum, part)| *sum += bright * part);
        }
    }
    Picture::Color(sums.mapv(|sum| sum.min(255.0).round() as u8))
}

/// The pixels of a picture `[row, column, part]`, with their places.
fn lanes(picture: &mut Array3<f32>) -> impl Iterator<Item = ((usize, usize), &mut [f32])> {
    let columns = picture.dim().1.max(1);
    let pixels = picture
        .as_slice_mut()
        .unwrap_or_default()
        .chunks_exact_mut(3);
    pixels
        .enumerate()
        .map(move |(at, pixel)| ((at / columns, at % columns), pixel))
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_black_and_white_at_the_ends_of_the_range() {
        let channel = array![[-5.0, 10.0, 15.0], [20.0, 99.0, f32::NAN]];
        let drawn = render_channels(
            &[(channel.view(), ChannelView::gray(10.0, 20.0))],
            &Window::whole((2, 3)),
        );
        assert_eq!(drawn, Picture::Gray(array![[0, 0, 128], [255, 255, 0]]));
        let lifted = ChannelView {
            gamma: 2.0,
            ..ChannelView::gray(10.0, 20.0)
        };
        let drawn = render_channels(&[(channel.view(), lifted)], &Window::whole((2, 3)));
        assert_eq!(drawn, Picture::Gray(array![[0, 0, 180], [255, 255, 0]]));
    }

    #[test]
    fn colors_add_up_and_are_cut() {
        let [one, other] = [array![[1.0, 1.0, 0.0]], array![[0.0, 1.0, 0.5]]];
        let view = |color| ChannelView {
            color,
            ..ChannelView::gray(0.0, 1.0)
        };
        let channels = [
            (one.view(), view([0, 100, 255])),
            (other.view(), view([0, 200, 40])),
        ];
        let Picture::Color(drawn) = render_channels(&channels, &Window::whole((1, 3))) else {
            panic!("two channels have colors");
        };
        assert_eq!(drawn, array![[[0, 100, 255], [0, 255, 255], [0, 100, 20]]]);
    }

    #[test]
    fn odd_ranges_and_gammas_do_no_harm() {
        let channel = array![[0.0, f32::MAX, f32::MIN, f32::INFINITY]];
        for (low, high) in [
            (5.0, 5.0),
            (9.0, 1.0),
            (f32::NAN, 1.0),
            (f32::MIN, f32::MAX),
            (0.0, f32::INFINITY),
        ] {
            for gamma in [0.0, -1.0, f32::NAN, 1e-30, 1e30] {
                let view = ChannelView {
                    gamma,
                    ..ChannelView::gray(low, high)
                };
                let drawn = render_channels(&[(channel.view(), view)], &Window::whole((1, 4)));
                assert_eq!(drawn.dim(), (1, 4));
            }
        }
    }

    proptest! {
        #[test]
        fn a_window_is_a_part_of_the_whole(row in 0..20_usize, column in 0..30_usize, gamma in 0.3_f32..3.0) {
            let channel = Array2::from_shape_fn((20, 30), |(row, column)| (row * 37 + column * 11 % 101) as f32);
            let view = ChannelView { color: [255, 10, 90], gamma, ..ChannelView::gray(30.0, 600.0) };
            let draw = |window: &Window| match render_channels(&[(channel.view(), view), (channel.view(), view)], window) {
                Picture::Color(pixels) => pixels,
                other => panic!("{other:?}"),
            };
            let part = draw(&Window { rows: row..20, columns: column..30 });
            let whole = draw(&Window::whole((20, 30)));
            for ((r, c, part_of), value) in part.indexed_iter() {
                prop_assert_eq!(*value, whole[[row + r, column + c, part_of]]);
            }
        }
    }
}
