//! What an operation asks for, and the steps that it adds.

use crate::dtype::Dtype;
use crate::error::TensorError;
use crate::operation::{Bound, Clip, Factors, Operation};
use crate::pipeline::Pipeline;
use crate::statistics::{Measure, Measured};
use crate::step::{Limit, Step, Width};
use crate::table::Table;
use crate::tensor::Tensor;

/// The reference adds this to deviations and ranges, whatever `eps` says.
const EPS: f64 = 1e-6;

/// What was measured for an operation.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'m> {
    /// Of the tensor itself.
    pub(crate) own: Option<&'m Measured>,
    /// Of the unprocessed image.
    pub(crate) reference: Option<&'m Measured>,
}

impl<'m> Numbers<'m> {
    fn own(self) -> Result<&'m Measured, TensorError> {
        self.own.ok_or(TensorError::NotMeasured)
    }

    fn reference(self) -> Result<&'m Measured, TensorError> {
        self.reference.ok_or(TensorError::NotMeasured)
    }
}

/// What an operation has to know of a tensor, measured.
pub(crate) fn measured(operation: &Operation, tensor: &Tensor) -> Option<Measured> {
    let (axes, measure) = match operation {
        Operation::Clip(clip) => {
            let bounds = [clip.low, clip.high].into_iter().flatten();
            let percentiles: Vec<f64> = bounds.filter_map(percentile).collect();
            if percentiles.is_empty() {
                return None;
            }
            let axes = clip.axes.as_deref();
            let measure = if is_joint(axes) {
                Measure::Percentiles(percentiles)
            } else {
                Measure::Ranks(percentiles)
            };
            (axes, measure)
        }
        Operation::ZeroMeanUnitVariance { axes } => {
            let axes = axes.as_deref();
            (axes, moments(is_joint(axes)))
        }
        Operation::ScaleRange(range) => (
            range.axes.as_deref(),
            Measure::Percentiles(range.percentiles.to_vec()),
        ),
        Operation::ScaleMeanVariance(scale) => {
            let axes = scale.axes.as_deref();
            (axes, moments(has_batch(axes)))
        }
        _ => return None,
    };
    Some(Measured::of(tensor, axes, &measure))
}

fn percentile(bound: Bound) -> Option<f64> {
    match bound {
        Bound::Percentile(percentile) => Some(percentile),
        Bound::Value(_) => None,
    }
}

fn has_batch(axes: Option<&[String]>) -> bool {
    axes.is_some_and(|axes| axes.iter().any(|axis| axis == "batch"))
}

/// Whether the images of a batch are measured together, for which the reference has formulas of its own.
fn is_joint(axes: Option<&[String]>) -> bool {
    axes.is_none() || has_batch(axes)
}

fn moments(is_joint: bool) -> Measure {
    if is_joint {
        Measure::JointMoments
    } else {
        Measure::Moments
    }
}

/// Adds an operation to what is to be done with a tensor.
pub(crate) fn push(
    pipeline: &mut Pipeline,
    operation: &Operation,
    numbers: Numbers<'_>,
) -> Result<(), TensorError> {
    match operation {
        Operation::EnsureDtype(dtype) => push_cast(pipeline, *dtype),
        Operation::Clip(clip) => push_clip(pipeline, clip, numbers.own)?,
        Operation::ScaleLinear { gain, offset } => push_linear(pipeline, gain, offset)?,
        Operation::Sigmoid => pipeline.push(Step::Sigmoid(pipeline.width)),
        Operation::Softmax { axis } => {
            let axis = axis_of(pipeline.form(), axis)?;
            pipeline.softmax(axis);
        }
        Operation::Binarize { threshold } => push_threshold(pipeline, threshold)?,
        Operation::ZeroMeanUnitVariance { axes } => {
            if is_joint(axes.as_deref()) {
                pipeline.width = Width::Double;
            }
            push_standardize(pipeline, numbers.own()?, EPS)?;
        }
        Operation::FixedZeroMeanUnitVariance { mean, std } => push_fixed(pipeline, mean, std)?,
        Operation::ScaleRange(_) => {
            pipeline.width = Width::Double;
            push_range(pipeline, numbers.reference().or_else(|_| numbers.own())?)?;
        }
        Operation::ScaleMeanVariance(scale) => {
            // Unlike the others it takes the formulas of single images where nothing is said.
            if has_batch(scale.axes.as_deref()) {
                pipeline.width = Width::Double;
            }
            push_standardize(pipeline, numbers.own()?, scale.eps)?;
            push_match(pipeline, numbers.reference()?, scale.eps)?;
        }
    }
    Ok(())
}

fn push_cast(pipeline: &mut Pipeline, dtype: Dtype) {
    pipeline.push(Step::Cast(dtype));
    pipeline.width = match dtype {
        Dtype::Float32 => Width::Single,
        _ => Width::Double,
    };
}

fn push_threshold(pipeline: &mut Pipeline, threshold: &Factors) -> Result<(), TensorError> {
    let width = width_with(pipeline, threshold);
    let threshold = table(pipeline.form(), threshold)?.map(|number| width.round(number));
    pipeline.push(Step::Above(threshold));
    pipeline.width = Width::Double;
    Ok(())
}

fn push_fixed(pipeline: &mut Pipeline, mean: &Factors, std: &Factors) -> Result<(), TensorError> {
    let width = Width::Double;
    let step = Step::Standardize {
        mean: table(pipeline.form(), mean)?,
        divisor: table(pipeline.form(), std)?.map(|std| std + EPS),
        width,
    };
    pipeline.push(step);
    pipeline.width = width;
    Ok(())
}

fn push_linear(
    pipeline: &mut Pipeline,
    gain: &Factors,
    offset: &Factors,
) -> Result<(), TensorError> {
    let width = match (width_with(pipeline, gain), width_with(pipeline, offset)) {
        (Width::Single, Width::Single) => Width::Single,
        _ => Width::Double,
    };
    let step = Step::Linear {
        gain: table(pipeline.form(), gain)?.map(|number| width.round(number)),
        offset: table(pipeline.form(), offset)?.map(|number| width.round(number)),
        width,
    };
    pipeline.push(step);
    pipeline.width = width;
    Ok(())
}

fn push_clip(
    pipeline: &mut Pipeline,
    clip: &Clip,
    own: Option<&Measured>,
) -> Result<(), TensorError> {
    if let Some(own) = own {
        if clip.low.and_then(percentile).is_some() {
            let low = own.table(pipeline.form(), |found| number(found, 0))?;
            pipeline.push(Step::Limit(Limit::MeasuredLow, low));
        }
        if clip.high.and_then(percentile).is_some() {
            // The last one that was measured.
            let high = own.table(pipeline.form(), |found| number(found, found.len() - 1))?;
            pipeline.push(Step::Limit(Limit::MeasuredHigh, high));
        }
        if is_joint(clip.axes.as_deref()) {
            pipeline.width = Width::Double;
        }
    }
    let width = pipeline.width;
    if let Some(Bound::Value(low)) = clip.low {
        let low = Table::one(width.round(low));
        pipeline.push(Step::Limit(Limit::Low, low));
    }
    if let Some(Bound::Value(high)) = clip.high {
        let high = Table::one(width.round(high));
        pipeline.push(Step::Limit(Limit::High, high));
    }
    Ok(())
}

/// `(x - mean) / (deviation + eps)`
fn push_standardize(pipeline: &mut Pipeline, own: &Measured, eps: f64) -> Result<(), TensorError> {
    let width = pipeline.width;
    let step = Step::Standardize {
        mean: own.table(pipeline.form(), |found| width.round(number(found, 0)))?,
        divisor: own.table(pipeline.form(), |found| width.round(number(found, 1) + eps))?,
        width,
    };
    pipeline.push(step);
    Ok(())
}

/// `x · (deviation + eps) + mean`
fn push_match(pipeline: &mut Pipeline, reference: &Measured, eps: f64) -> Result<(), TensorError> {
    let width = pipeline.width;
    let step = Step::Linear {
        gain: reference.table(pipeline.form(), |found| width.round(number(found, 1) + eps))?,
        offset: reference.table(pipeline.form(), |found| width.round(number(found, 0)))?,
        width,
    };
    pipeline.push(step);
    Ok(())
}

/// `(x - low) / (high - low + eps)`
fn push_range(pipeline: &mut Pipeline, range: &Measured) -> Result<(), TensorError> {
    let step = Step::Standardize {
        mean: range.table(pipeline.form(), |found| number(found, 0))?,
        divisor: range.table(pipeline.form(), |found| {
            number(found, 1) - number(found, 0) + EPS
        })?,
        width: Width::Double,
    };
    pipeline.push(step);
    Ok(())
}

fn number(found: &[f64], index: usize) -> f64 {
    found.get(index).copied().unwrap_or(f64::NAN)
}

/// Numbers of the description never widen the reference's values; lists of them do.
fn width_with(pipeline: &Pipeline, factors: &Factors) -> Width {
    match factors {
        Factors::One(_) => pipeline.width,
        Factors::Along { .. } => Width::Double,
    }
}

fn axis_of(tensor: &Tensor, id: &str) -> Result<usize, TensorError> {
    tensor.axis(id).ok_or_else(|| TensorError::Axes {
        found: tensor.axes().join(", "),
        expected: id.to_owned(),
    })
}

fn table(tensor: &Tensor, factors: &Factors) -> Result<Table, TensorError> {
    match factors {
        Factors::One(number) => Ok(Table::one(*number)),
        Factors::Along { axis, values } => {
            let place = axis_of(tensor, axis)?;
            let expected = tensor.values().shape()[place];
            if values.len() != expected {
                return Err(TensorError::Length {
                    axis: axis.clone(),
                    found: values.len(),
                    expected,
                });
            }
            Ok(Table::along(place, values.clone()))
        }
    }
}
