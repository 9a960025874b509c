//! Where models keep channels: last, as this program does, or first, as most models that were trained with PyTorch do.

use ndarray::{ArrayD, Ix4};

use super::model::Signature;

/// Sizes of an axis that are taken for channels.
const CHANNELS: std::ops::RangeInclusive<i64> = 1..=4;

/// From `[batch, channel, row, column]` to `[batch, row, column, channel]`.
const TO_LAST: [usize; 4] = [0, 2, 3, 1];

/// And back.
const TO_FIRST: [usize; 4] = [0, 3, 1, 2];

/// The signature with channels last. Channels are first where the second of four sizes is fixed and at most 4, and the last
/// is neither.
pub(super) fn with_channels_last(mut signature: Signature) -> Signature {
    for input in &mut signature.inputs {
        if let [_, second, .., last] = input.shape.as_slice()
            && input.shape.len() == 4
            && CHANNELS.contains(second)
            && !CHANNELS.contains(last)
        {
            input.shape = TO_LAST.map(|axis| input.shape[axis]).to_vec();
            signature.channels_first = true;
        }
    }
    signature
}

/// The signature of images in tiles: rows and columns of this size, where the model leaves them open.
pub(super) fn with_tiles(signature: &Signature, tile: usize) -> Signature {
    let mut signature = signature.clone();
    for input in &mut signature.inputs {
        if let [_, sides @ .., _] = input.shape.as_mut_slice()
            && sides.len() == 2
        {
            for side in sides.iter_mut().filter(|side| **side < 0) {
                *side = tile as i64;
            }
        }
    }
    signature
}

/// An array as the model wants it.
pub(super) fn to_first(array: ArrayD<f32>) -> ArrayD<f32> {
    permuted(array, TO_FIRST)
}

/// An array of the model with channels last.
pub(super) fn to_last(array: ArrayD<f32>) -> ArrayD<f32> {
    permuted(array, TO_LAST)
}

/// Axes in another order, for images; in row-major order again, without a copy where there is one channel.
fn permuted(array: ArrayD<f32>, order: [usize; 4]) -> ArrayD<f32> {
    if array.ndim() != order.len() {
        return array;
    }
    // Iterators of four axes are several times as fast as those of any number.
    let image = array.into_dimensionality::<Ix4>();
    let image = image.expect("four axes").permuted_axes(order);
    if image.is_standard_layout() {
        image.into_dyn()
    } else {
        image.as_standard_layout().into_owned().into_dyn()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array;

    use super::super::model::Input;
    use super::*;

    #[test]
    fn channels_are_found_where_sizes_say_so() {
        for (shape, expected) in [
            (&[-1, 1, 256, 256][..], &[-1, 256, 256, 1][..]),
            (&[1, 3, -1, -1], &[1, -1, -1, 3]),
            (&[-1, 256, 256, 1], &[-1, 256, 256, 1]),
            (&[-1, 2, 2, 1], &[-1, 2, 2, 1]),
            (&[-1, -1, -1, -1], &[-1, -1, -1, -1]),
            (&[-1, 1, 256], &[-1, 1, 256]),
        ] {
            let signature = Signature::new(vec![Input::float("x", shape)]);
            let found = with_channels_last(signature);
            assert_eq!(found.inputs[0].shape, expected);
            assert_eq!(found.channels_first, shape != expected);
        }
    }

    #[test]
    fn tiles_have_a_size_where_models_have_none() {
        let inputs = vec![
            Input::float("image", &[-1, -1, 128, 1]),
            Input::float("other", &[-1, -1]),
        ];
        let tiled = with_tiles(&Signature::new(inputs), 256);
        assert_eq!(tiled.inputs[0].shape, [-1, 256, 128, 1]);
        assert_eq!(tiled.inputs[1].shape, [-1, -1]);
    }

    #[test]
    fn there_and_back_is_the_same_array() {
        let array = Array::from_iter(0..120)
            .into_shape_with_order(vec![1, 4, 5, 6])
            .expect("it fits");
        let array = array.mapv(|value| value as f32);
        let first = to_first(array.clone());
        assert_eq!(first.shape(), [1, 6, 4, 5]);
        assert_eq!(first[[0, 2, 3, 1]], array[[0, 3, 1, 2]]);
        assert_eq!(to_last(first), array);
    }
}
