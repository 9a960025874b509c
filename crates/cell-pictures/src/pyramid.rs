//! Channels at half the resolution, again and again.

use ndarray::{Array2, ArrayView2, Axis};

/// A channel `[row, column]` at half the resolution: means of two by two pixels, of fewer at the border of an odd side.
#[must_use]
pub fn halved(channel: ArrayView2<'_, f32>) -> Array2<f32> {
    blocks(channel, |block| {
        block.iter().sum::<f32>() / block.len() as f32
    })
}

/// The channel at all resolutions: as it is, then halved until its longer side has at most `tile` pixels.
#[must_use]
pub fn levels(channel: Array2<f32>, tile: usize) -> Vec<Array2<f32>> {
    let mut levels = vec![channel];
    while let Some(last) = levels.last()
        && !fits(last.dim(), tile)
    {
        let next = halved(last.view());
        levels.push(next);
    }
    levels
}

/// Whether one tile holds a picture, or no further halving makes it smaller.
pub(crate) fn fits((rows, columns): (usize, usize), tile: usize) -> bool {
    rows.max(columns) <= tile.max(1)
}

/// One value for each two by two pixels, which come row by row.
pub(crate) fn blocks<T: Copy>(plane: ArrayView2<'_, T>, value: impl Fn(&[T]) -> T) -> Array2<T> {
    let (rows, columns) = plane.dim();
    let mut small = Vec::with_capacity(rows.div_ceil(2) * columns.div_ceil(2));
    for pair in plane.axis_chunks_iter(Axis(0), 2) {
        for column in (0..columns).step_by(2) {
            let last = (column + 1).min(columns - 1);
            let [a, b] = [pair[[0, column]], pair[[0, last]]];
            let whole = (pair.nrows() == 2, last > column);
            small.push(match whole {
                (true, true) => value(&[a, b, pair[[1, column]], pair[[1, last]]]),
                (true, false) => value(&[a, pair[[1, column]]]),
                (false, true) => value(&[a, b]),
                (false, false) => value(&[a]),
            });
        }
    }
    let shape = (rows.div_ceil(2), columns.div_ceil(2));
    Array2::from_shape_vec(shape, small).expect("one value for each block")
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_sides_have_means_of_what_is_there() {
        let channel = array![[1.0, 3.0, 10.0], [5.0, 7.0, 20.0], [2.0, 4.0, 9.0]];
        assert_eq!(halved(channel.view()), array![[4.0, 15.0], [3.0, 9.0]]);
    }

    proptest! {
        #[test]
        fn levels_end_when_a_tile_holds_all(rows in 0..90_usize, columns in 0..90_usize, tile in 0..40_usize) {
            let levels = levels(Array2::from_elem((rows, columns), 2.5), tile);
            let last = levels.last().expect("the channel itself");
            prop_assert!(last.nrows().max(last.ncols()) <= tile.max(1));
            for pair in levels.windows(2) {
                prop_assert_eq!(pair[1].dim(), (pair[0].nrows().div_ceil(2), pair[0].ncols().div_ceil(2)));
                prop_assert!(pair[0].nrows().max(pair[0].ncols()) > tile);
                prop_assert!(pair[1].iter().all(|value| *value == 2.5));
            }
        }
    }
}
