//! Images as tensors in a network's order of axes, and back.

use ndarray::{Array3, ArrayView3, Axis as ArrayAxis};

use crate::axis::{Axis, AxisKind, Size};
use crate::error::TensorError;
use crate::tensor::Tensor;
use crate::tensor_description::{Input, Output};

impl Input {
    /// An image `[row, column, channel]` in the network's order of axes, as a batch of one where it has batches. Nothing is
    /// done with its values, and it may have any size.
    ///
    /// # Errors
    ///
    /// [`TensorError::Channels`] if it has more or fewer channels than the network takes, [`TensorError::Empty`] without
    /// pixels.
    pub fn tensor(&self, image: ArrayView3<'_, f32>) -> Result<Tensor, TensorError> {
        let (rows, columns, found) = image.dim();
        let expected = self.channels();
        if found != expected {
            return Err(TensorError::Channels { found, expected });
        }
        if rows == 0 || columns == 0 {
            return Err(TensorError::Empty);
        }
        let mut values = image.into_dyn();
        let mut places = Vec::new();
        for axis in &self.axes {
            let place = match axis.kind {
                AxisKind::Space if axis.id == "y" => 0,
                AxisKind::Space => 1,
                AxisKind::Channel => 2,
                AxisKind::Batch => values.ndim(),
            };
            if axis.kind == AxisKind::Batch {
                values.insert_axis_inplace(ArrayAxis(place));
            }
            places.push(place);
        }
        if !places.contains(&2) {
            // There is one channel, or the image would have been refused.
            values = values.index_axis_move(ArrayAxis(2), 0);
            places
                .iter_mut()
                .filter(|place| **place > 2)
                .for_each(|place| *place -= 1);
        }
        let values = values
            .permuted_axes(places)
            .as_standard_layout()
            .into_owned();
        Tensor::new(ids(&self.axes), values)
    }
}

impl Output {
    /// The network's output, one image in its order of axes, as `[row, column, channel]`.
    ///
    /// # Errors
    ///
    /// [`TensorError::Axes`] or [`TensorError::Length`] if it has other axes, other channels, or is a batch of several.
    pub fn image(&self, tensor: &Tensor) -> Result<Array3<f32>, TensorError> {
        fits(&self.axes, self.channels(), tensor)?;
        let mut values = tensor.values();
        let mut axes: Vec<&Axis> = self.axes.iter().collect();
        if let Some(batch) = axes.iter().position(|axis| axis.kind == AxisKind::Batch) {
            one("batch", values.shape()[batch])?;
            values = values.index_axis_move(ArrayAxis(batch), 0);
            axes.remove(batch);
        }
        if axes.len() == 2 {
            values.insert_axis_inplace(ArrayAxis(2));
        }
        let at = |found: fn(&Axis) -> bool| axes.iter().position(|axis| found(axis)).unwrap_or(2);
        let [y, x, channel]: [fn(&Axis) -> bool; 3] = [
            |axis| axis.id == "y",
            |axis| axis.id == "x",
            |axis| axis.kind == AxisKind::Channel,
        ];
        let values = values.permuted_axes(vec![at(y), at(x), at(channel)]);
        let values = values
            .into_dimensionality()
            .map_err(|_| TensorError::Axes {
                found: tensor.axes().join(", "),
                expected: ids(&self.axes).join(", "),
            })?;
        Ok(values.as_standard_layout().into_owned())
    }
}

/// The names of axes.
pub(crate) fn ids(axes: &[Axis]) -> Vec<String> {
    axes.iter().map(|axis| axis.id.clone()).collect()
}

/// Whether a tensor has these axes, and so many channels. Rows, columns and batches are not looked at, but for batches that
/// have to be of one.
pub(crate) fn fits(axes: &[Axis], channels: usize, tensor: &Tensor) -> Result<(), TensorError> {
    let expected = ids(axes);
    if tensor.axes() != expected {
        return Err(TensorError::Axes {
            found: tensor.axes().join(", "),
            expected: expected.join(", "),
        });
    }
    for (axis, &found) in axes.iter().zip(tensor.values().shape()) {
        let expected = match (axis.kind, &axis.size) {
            (AxisKind::Channel, _) => channels,
            (AxisKind::Batch, Size::Fixed(one)) => *one,
            _ => continue,
        };
        same_length(&axis.id, found, expected)?;
    }
    Ok(())
}

/// Fails unless there is one.
pub(crate) fn one(axis: &str, found: usize) -> Result<(), TensorError> {
    same_length(axis, found, 1)
}

pub(crate) fn same_length(axis: &str, found: usize, expected: usize) -> Result<(), TensorError> {
    if found == expected {
        return Ok(());
    }
    Err(TensorError::Length {
        axis: axis.to_owned(),
        found,
        expected,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, ArrayD};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::description::Description;
    use crate::sample::good;

    /// A network whose input and output have these axes.
    fn network(ids: &[&str], channels: usize) -> Description {
        let names: Vec<_> = (0..channels).map(|channel| channel.to_string()).collect();
        let axes = |size: &dyn Fn(&str) -> Value| -> Value {
            let axis = |&id: &&str| match id {
                "batch" => json!({"type": "batch"}),
                "channel" => json!({"type": "channel", "channel_names": names}),
                side => json!({"type": "space", "id": side, "size": size(side)}),
            };
            ids.iter().map(axis).collect()
        };
        good(&[
            ("/inputs/0/axes", axes(&|_| json!({"min": 1, "step": 1}))),
            (
                "/outputs/0/axes",
                axes(&|side| json!({"tensor_id": "raw", "axis_id": side})),
            ),
        ])
    }

    proptest! {
        #[test]
        fn images_come_back_from_any_order_of_axes(
            mut ids in Just(vec!["batch", "channel", "y", "x"]).prop_shuffle(),
            has_batch in any::<bool>(),
            has_channels in any::<bool>(),
            shape in (1..5_usize, 1..5_usize, 1..4_usize),
        ) {
            ids.retain(|id| (has_batch || *id != "batch") && (has_channels || *id != "channel"));
            let channels = if has_channels { shape.2 } else { 1 };
            let description = network(&ids, channels);
            let mut next = 0.0;
            let image = Array3::from_shape_simple_fn((shape.0, shape.1, channels), || { next += 1.0; next });
            let tensor = description.input.tensor(image.view()).unwrap();
            prop_assert_eq!(tensor.axes(), &ids[..]);
            let lengths = [("batch", 1), ("channel", channels), ("y", shape.0), ("x", shape.1)];
            for (id, length) in lengths {
                prop_assert_eq!(tensor.length(id), ids.contains(&id).then_some(length));
            }
            prop_assert_eq!(description.outputs[0].image(&tensor).unwrap(), image);
        }
    }

    #[test]
    fn images_that_the_network_does_not_take_are_errors() {
        let description = network(&["batch", "channel", "y", "x"], 2);
        let image = |shape| {
            description
                .input
                .tensor(Array3::zeros(shape).view())
                .unwrap_err()
        };
        assert_eq!(
            image((4, 4, 3)),
            TensorError::Channels {
                found: 3,
                expected: 2
            }
        );
        assert_eq!(image((0, 4, 2)), TensorError::Empty);
        let output = |axes: &[&str], shape: Vec<usize>| {
            let axes = axes.iter().map(|&axis| axis.to_owned()).collect();
            let tensor = Tensor::new(axes, ArrayD::zeros(shape)).unwrap();
            description.outputs[0].image(&tensor).unwrap_err()
        };
        let error = output(&["channel", "batch", "y", "x"], vec![2, 1, 4, 4]);
        assert!(matches!(error, TensorError::Axes { .. }));
        let error = output(&["batch", "channel", "y", "x"], vec![3, 2, 4, 4]);
        assert_eq!(
            error,
            TensorError::Length {
                axis: "batch".to_owned(),
                found: 3,
                expected: 1
            }
        );
        let error = output(&["batch", "channel", "y", "x"], vec![1, 3, 4, 4]);
        assert_eq!(
            error,
            TensorError::Length {
                axis: "channel".to_owned(),
                found: 3,
                expected: 2
            }
        );
    }
}
