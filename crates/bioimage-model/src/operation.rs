//! The processing operations of descriptions that are done here.

use crate::dtype::Dtype;

/// An operation on a tensor, with its arguments. `README.md` says what each one computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// `ensure_dtype`
    EnsureDtype(Dtype),
    /// `clip`
    Clip(Clip),
    /// `scale_linear`: `x · gain + offset`.
    ScaleLinear {
        /// Factor.
        gain: Factors,
        /// Summand.
        offset: Factors,
    },
    /// `sigmoid`: `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `softmax`
    Softmax {
        /// The values along this axis become shares of 1.
        axis: String,
    },
    /// `binarize`: 1 above the threshold, else 0.
    Binarize {
        /// Threshold.
        threshold: Factors,
    },
    /// `zero_mean_unit_variance`
    ZeroMeanUnitVariance {
        /// Axes whose values share a mean and a deviation.
        axes: Option<Vec<String>>,
    },
    /// `fixed_zero_mean_unit_variance`
    FixedZeroMeanUnitVariance {
        /// Subtracted.
        mean: Factors,
        /// Divided by.
        std: Factors,
    },
    /// `scale_range`
    ScaleRange(ScaleRange),
    /// `scale_mean_variance`
    ScaleMeanVariance(ScaleMeanVariance),
}

/// A number for a whole tensor, or one for each place along an axis.
#[derive(Clone, Debug, PartialEq)]
pub enum Factors {
    /// One for all.
    One(f64),
    /// One for each place.
    Along {
        /// The axis.
        axis: String,
        /// As many as it is long.
        values: Vec<f64>,
    },
}

/// Arguments of `clip`; one of the bounds is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Lower bound.
    pub low: Option<Bound>,
    /// Upper bound.
    pub high: Option<Bound>,
    /// Axes whose values share percentiles; all axes if nothing is said.
    pub axes: Option<Vec<String>>,
}

/// A bound of `clip`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// A value.
    Value(f64),
    /// A percentile of the tensor, 0 … 100.
    Percentile(f64),
}

/// Arguments of `scale_range`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleRange {
    /// Axes whose values share percentiles; all axes if nothing is said.
    pub axes: Option<Vec<String>>,
    /// What becomes 0 and what becomes 1, 0 … 100.
    pub percentiles: [f64; 2],
    /// The input whose unprocessed values the percentiles are of; the tensor itself if nothing is said.
    pub reference_tensor: Option<String>,
}

/// Arguments of `scale_mean_variance`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleMeanVariance {
    /// Axes whose values share a mean and a deviation; all axes if nothing is said.
    pub axes: Option<Vec<String>>,
    /// Added to both deviations.
    pub eps: f64,
    /// The input whose unprocessed values have the mean and the deviation that come out.
    pub reference_tensor: String,
}
