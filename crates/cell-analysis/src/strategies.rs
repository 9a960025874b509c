//! Random planes for the property tests of this folder.

use ndarray::Array2;
use proptest::prelude::*;

/// Planes of up to `side` pixels a side.
fn plane_of<T: std::fmt::Debug>(
    side: usize,
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Array2<T>> {
    let values = proptest::collection::vec(value, side * side);
    (1..=side, 1..=side, values).prop_map(|(rows, columns, mut values)| {
        values.truncate(rows * columns);
        Array2::from_shape_vec((rows, columns), values).expect("there are enough values")
    })
}

/// Values between -1 and 1: now coarse steps with many ties, now fine ones with few.
pub(crate) fn plane(side: usize) -> impl Strategy<Value = Array2<f32>> {
    let steps = prop_oneof![Just(2), Just(5), Just(20), Just(1_000_000)];
    (plane_of(side, -1_000_000..1_000_000), steps).prop_map(|(plane, steps)| {
        plane.mapv(|value| (value / (1_000_000 / steps)) as f32 / steps as f32)
    })
}

/// Labels 0 to 3 in patches, so that components have holes and touch.
pub(crate) fn labels(side: usize) -> impl Strategy<Value = Array2<u32>> {
    (plane_of(side, 0_u32..4), 1..3_usize).prop_map(|(labels, patch)| {
        Array2::from_shape_fn(labels.dim(), |(row, column)| {
            labels[[row / patch, column / patch]]
        })
    })
}
