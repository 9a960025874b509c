//! Intensity rescaling: from one range of values to another.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::plane::{STRIP, from_values, range, vectorized};

/// A plane `[row, column]` stretched from its own range to 0 … 1, as scikit-image's `rescale_intensity` does it in `f32`.
///
/// A plane of one value is clamped to 0 … 1 instead.
#[must_use]
pub fn rescale_unit(image: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut values: Vec<f32> = image.iter().copied().collect();
    let range = range(&values);
    rescale_intensity_in_place(&mut values, range);
    from_values(image.dim().into(), values)
}

/// Shift and scale of values, all arithmetic in `f32`.
#[derive(Clone, Copy)]
pub(super) struct LinearMap {
    low: f32,
    width: f32,
}

impl LinearMap {
    /// Leaves values as they are.
    pub(super) const NONE: Self = Self {
        low: 0.0,
        width: 1.0,
    };

    /// Takes `low` to 0 and `high` to 1.
    pub(super) fn new(low: f32, high: f32) -> Self {
        Self {
            low,
            width: (f64::from(high) - f64::from(low)) as f32,
        }
    }

    #[inline(always)]
    pub(super) fn apply(self, value: f32) -> f32 {
        (value - self.low) / self.width
    }
}

/// [`rescale_unit`] in place, of values whose range is known.
pub(super) fn rescale_intensity_in_place(values: &mut [f32], range: (f32, f32)) {
    let (low, high) = range;
    let map = LinearMap::new(low, high);
    values.par_chunks_mut(STRIP).for_each(|values| {
        if low == high {
            return values
                .iter_mut()
                .for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        vectorized(
            #[inline(always)]
            || {
                values
                    .iter_mut()
                    .for_each(|value| *value = map.apply(*value));
            },
        );
    });
}
