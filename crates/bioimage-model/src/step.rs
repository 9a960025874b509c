//! Operations on single values, with all that they need to know: they are collected and done in one pass.

use crate::dtype::Dtype;
use crate::table::{Lane, Table};

/// How wide the reference's values are while it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// f32: each single result is rounded.
    Single,
    /// f64
    Double,
}

impl Width {
    pub(crate) fn round(self, number: f64) -> f64 {
        match self {
            Self::Single => f64::from(number as f32),
            Self::Double => number,
        }
    }
}

/// An operation on single values.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Cast(Dtype),
    /// `x · gain + offset`
    Linear {
        gain: Table,
        offset: Table,
        width: Width,
    },
    /// `(x - mean) / divisor`
    Standardize {
        mean: Table,
        divisor: Table,
        width: Width,
    },
    /// Not beyond a bound.
    Limit(Limit, Table),
    Sigmoid(Width),
    /// 1 above the threshold, else 0.
    Above(Table),
}

/// How a bound holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// Not below; NaN stays.
    Low,
    /// Not above; NaN stays.
    High,
    /// Not below what was measured, which NaN becomes.
    MeasuredLow,
    /// Not above what was measured, which NaN becomes.
    MeasuredHigh,
}

impl Limit {
    fn of(self, x: f64, bound: f64) -> f64 {
        let is_beyond = match self {
            Self::Low => x < bound,
            Self::High => x > bound,
            Self::MeasuredLow => x < bound || x.is_nan(),
            Self::MeasuredHigh => x > bound || x.is_nan(),
        };
        if is_beyond { bound } else { x }
    }
}

/// A lane of a tensor.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    /// The axis along which it runs.
    pub(crate) axis: usize,
    /// Where it lies along the tensor's other axes.
    pub(crate) outer: &'p [usize],
}

impl Step {
    /// Does it to the values of a lane.
    pub(crate) fn apply(&self, values: &mut [f64], place: Place<'_>) {
        match self {
            Self::Cast(dtype) => each(values, |x| dtype.cast(x)),
            Self::Linear {
                gain,
                offset,
                width,
            } => with(values, place, [gain, offset], |x, [gain, offset]| {
                width.round(width.round(x * gain) + offset)
            }),
            Self::Standardize {
                mean,
                divisor,
                width,
            } => with(values, place, [mean, divisor], |x, [mean, divisor]| {
                width.round(width.round(x - mean) / divisor)
            }),
            Self::Limit(limit, bound) => {
                with(values, place, [bound], |x, [bound]| limit.of(x, bound));
            }
            Self::Sigmoid(width) => each(values, |x| {
                width.round(1.0 / width.round(1.0 + width.round((-x).exp())))
            }),
            Self::Above(threshold) => with(values, place, [threshold], |x, [threshold]| {
                f64::from(u8::from(x > threshold))
            }),
        }
    }
}

fn each(values: &mut [f64], change: impl Fn(f64) -> f64) {
    values.iter_mut().for_each(|value| *value = change(*value));
}

/// Changes each value with the numbers that belong to its place.
fn with<const N: usize>(
    values: &mut [f64],
    place: Place<'_>,
    tables: [&Table; N],
    change: impl Fn(f64, [f64; N]) -> f64,
) {
    let lanes = tables.map(|table| table.lane(place.axis, place.outer));
    if lanes.iter().all(Lane::is_constant) {
        let numbers = lanes.map(|lane| lane.at(0));
        return each(values, |value| change(value, numbers));
    }
    for (index, value) in values.iter_mut().enumerate() {
        *value = change(*value, lanes.map(|lane| lane.at(index)));
    }
}
