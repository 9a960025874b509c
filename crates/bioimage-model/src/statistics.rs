//! Percentiles, means and deviations over some of a tensor's axes.
//!
//! As `NumPy` and xarray compute them for the reference: NaN is passed over by percentiles and means; one NaN makes the
//! deviation NaN where batches are apart, and counts as a value that does not deviate where they are together.

use ndarray::{ArrayViewD, Axis};

use crate::error::TensorError;
use crate::table::Table;
use crate::tensor::Tensor;

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measure {
    /// Percentiles, 0 … 100, interpolated between two values.
    Percentiles(Vec<f64>),
    /// Percentiles that are values of the tensor: the smallest one that as many values do not exceed.
    Ranks(Vec<f64>),
    /// Mean and deviation, apart for each image of a batch.
    Moments,
    /// Mean and deviation over all images of a batch.
    JointMoments,
}

/// Numbers that were measured, apart for each place along some axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// The axes, and their lengths.
    apart: Vec<(String, usize)>,
    /// What was found at each place, row by row.
    found: Vec<Vec<f64>>,
}

impl Measured {
    /// Measures over these axes together, or over all.
    pub(crate) fn of(tensor: &Tensor, together: Option<&[String]>, measure: &Measure) -> Self {
        let values = tensor.values();
        let is_apart = |id: &String| together.is_some_and(|axes| !axes.contains(id));
        let kept: Vec<usize> = (0..values.ndim())
            .filter(|&axis| is_apart(&tensor.axes()[axis]))
            .collect();
        let apart: Vec<_> = kept
            .iter()
            .map(|&axis| (tensor.axes()[axis].clone(), values.shape()[axis]))
            .collect();
        let places: usize = apart.iter().map(|(_, length)| length).product();
        let found = (0..places).map(|place| measure.of(group(values.view(), &kept, place)));
        let found = found.collect();
        Self { apart, found }
    }

    /// What a formula makes of the numbers at each place, to be looked up at the places of a tensor.
    ///
    /// Fails if the tensor does not have the axes, in their lengths.
    pub(crate) fn table(
        &self,
        tensor: &Tensor,
        formula: impl Fn(&[f64]) -> f64,
    ) -> Result<Table, TensorError> {
        let mut strides = vec![0; tensor.axes().len()];
        let mut stride = 1;
        for (id, length) in self.apart.iter().rev() {
            let found = tensor.length(id).unwrap_or(0);
            let Some(axis) = tensor.axis(id).filter(|_| found == *length) else {
                return Err(TensorError::Length {
                    axis: id.clone(),
                    found,
                    expected: *length,
                });
            };
            strides[axis] = stride;
            stride *= length;
        }
        let numbers = self.found.iter().map(|found| formula(found)).collect();
        Ok(Table::new(numbers, strides))
    }
}

/// The values at one place along the axes that are kept.
fn group<'v>(
    mut values: ArrayViewD<'v, f32>,
    kept: &[usize],
    mut place: usize,
) -> ArrayViewD<'v, f32> {
    // From the last axis on, so that the numbers of the others stay.
    for &axis in kept.iter().rev() {
        let length = values.shape()[axis];
        values = values.index_axis_move(Axis(axis), place % length);
        place /= length;
    }
    values
}

impl Measure {
    fn of(&self, values: ArrayViewD<'_, f32>) -> Vec<f64> {
        match self {
            Self::Percentiles(percentiles) => {
                let mut sorted = Ranked::new(values);
                percentiles
                    .iter()
                    .map(|&at| sorted.percentile(at))
                    .collect()
            }
            Self::Ranks(percentiles) => {
                let mut sorted = Ranked::new(values);
                percentiles
                    .iter()
                    .map(|&at| sorted.at_rank_of(at))
                    .collect()
            }
            Self::Moments => {
                let has_nan = values.iter().any(|value| value.is_nan());
                let [mean, deviation] = moments(values);
                // The reference works in f32 here.
                let deviation = if has_nan { f64::NAN } else { deviation };
                [mean, deviation]
                    .map(|number| f64::from(number as f32))
                    .to_vec()
            }
            Self::JointMoments => moments(values).to_vec(),
        }
    }
}

/// Mean, without NaN, and deviation from it.
fn moments(values: ArrayViewD<'_, f32>) -> [f64; 2] {
    let numbers = || {
        values
            .iter()
            .filter(|value| !value.is_nan())
            .map(|&value| f64::from(value))
    };
    let (sum, count) = sum(numbers());
    let mean = sum / count as f64;
    let (squares, _) = self::sum(numbers().map(|value| (value - mean).powi(2)));
    [mean, (squares / values.len() as f64).sqrt()]
}

/// Sum and count, in blocks so that the rounding errors of large images stay small.
fn sum(numbers: impl Iterator<Item = f64>) -> (f64, usize) {
    let (mut total, mut block, mut count) = (0.0, 0.0, 0);
    for number in numbers {
        block += number;
        count += 1;
        if count % 1024 == 0 {
            total += block;
            block = 0.0;
        }
    }
    (total + block, count)
}

/// Values that are put in order as far as somebody asks.
struct Ranked {
    values: Vec<f32>,
}

impl Ranked {
    fn new(values: ArrayViewD<'_, f32>) -> Self {
        let numbers = values.iter().copied().filter(|value| !value.is_nan());
        Self {
            values: numbers.collect(),
        }
    }

    /// Between two values; NaN if there are none.
    fn percentile(&mut self, percentile: f64) -> f64 {
        let Some(last) = self.values.len().checked_sub(1) else {
            return f64::NAN;
        };
        let position = percentile / 100.0 * last as f64;
        let index = (position as usize).min(last);
        let fraction = position - index as f64;
        let (_, &mut below, larger) = self.values.select_nth_unstable_by(index, f32::total_cmp);
        let above = larger
            .iter()
            .copied()
            .min_by(f32::total_cmp)
            .unwrap_or(below);
        // From the nearer end, with a difference of 32 bits: that decides the last bit.
        let step = f64::from(above - below);
        if fraction < 0.5 {
            f64::from(below) + step * fraction
        } else {
            f64::from(above) - step * (1.0 - fraction)
        }
    }

    /// The smallest value that this share of all values does not exceed; NaN if there are none.
    fn at_rank_of(&mut self, percentile: f64) -> f64 {
        let Some(last) = self.values.len().checked_sub(1) else {
            return f64::NAN;
        };
        let rank = (self.values.len() as f64 * (percentile / 100.0) - 1.0).ceil();
        let index = (rank.max(0.0) as usize).min(last);
        f64::from(*self.values.select_nth_unstable_by(index, f32::total_cmp).1)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;
    use proptest::prelude::*;

    use super::*;

    fn tensor(values: ArrayD<f32>) -> Tensor {
        let ids = ["batch", "channel", "y", "x"].map(str::to_owned);
        Tensor::new(ids.to_vec(), values).unwrap()
    }

    /// What is measured of the values at one place, by collecting and sorting them.
    fn slowly(tensor: &Tensor, together: &[String], at: &[usize], percentile: f64) -> [f64; 4] {
        let is_here = |place: &ndarray::IxDyn| {
            (0..4).all(|axis| {
                together.contains(&tensor.axes()[axis])
                    || ndarray::Dimension::slice(place)[axis] == at[axis]
            })
        };
        let values = tensor.values();
        let mut values: Vec<f64> = values
            .indexed_iter()
            .filter(|(place, _)| is_here(place))
            .map(|(_, value)| f64::from(*value))
            .collect();
        values.sort_by(f64::total_cmp);
        let position = percentile / 100.0 * (values.len() - 1) as f64;
        let between = values[position.floor() as usize]
            + (values[position.ceil() as usize] - values[position.floor() as usize])
                * position.fract();
        let reached = |rank: usize| rank as f64 >= values.len() as f64 * (percentile / 100.0);
        let rank = (1..=values.len()).find(|&rank| reached(rank)).unwrap();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / values.len() as f64;
        [between, values[rank - 1], mean, variance.sqrt()]
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_values_at_each_place(
            shape in (1..3_usize, 1..4_usize, 1..6_usize, 1..6_usize),
            together in prop::sample::subsequence(vec!["batch", "channel", "y", "x"], 1..=4),
            percentile in prop_oneof![0.0..=100.0_f64, Just(0.0), Just(50.0), Just(100.0)],
            seed in any::<u32>(),
        ) {
            let mut state = seed;
            let values = ArrayD::from_shape_simple_fn(vec![shape.0, shape.1, shape.2, shape.3], || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 22) as f32 - 300.0
            });
            let tensor = tensor(values);
            let together: Vec<String> = together.into_iter().map(str::to_owned).collect();
            let table = |measure: Measure, number: usize| {
                Measured::of(&tensor, Some(&together), &measure).table(&tensor, |found| found[number]).unwrap()
            };
            let tables = [
                table(Measure::Percentiles(vec![percentile]), 0),
                table(Measure::Ranks(vec![percentile]), 0),
                table(Measure::JointMoments, 0),
                table(Measure::JointMoments, 1),
            ];
            for (place, _) in tensor.values().indexed_iter() {
                let place = ndarray::Dimension::slice(&place);
                let expected = slowly(&tensor, &together, place, percentile);
                for (table, expected) in tables.iter().zip(expected) {
                    let found = table.lane(3, &place[..3]).at(place[3]);
                    prop_assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn values_that_are_no_numbers_are_passed_over() {
        let values = vec![f32::NAN, 1.0, 3.0, f32::NAN];
        let tensor = tensor(ArrayD::from_shape_vec(vec![1, 1, 2, 2], values).unwrap());
        let of = |measure| Measured::of(&tensor, None, &measure).found[0].clone();
        assert_eq!(
            of(Measure::Percentiles(vec![0.0, 50.0, 100.0])),
            [1.0, 2.0, 3.0]
        );
        assert_eq!(of(Measure::Ranks(vec![0.0, 50.0, 51.0])), [1.0, 1.0, 3.0]);
        assert_eq!(of(Measure::JointMoments), [2.0, 0.5_f64.sqrt()]);
        assert!(of(Measure::Moments)[1].is_nan());
    }

    #[test]
    fn nothing_can_be_measured_where_there_are_no_numbers() {
        let nothing = tensor(ArrayD::from_elem(vec![1, 2, 1, 1], f32::NAN));
        let empty = tensor(ArrayD::zeros(vec![1, 2, 0, 4]));
        let infinite = tensor(ArrayD::from_elem(vec![1, 2, 2, 2], f32::INFINITY));
        for tensor in [nothing, empty, infinite] {
            let axes = ["y".to_owned(), "x".to_owned()];
            for measure in [
                Measure::Percentiles(vec![50.0]),
                Measure::Moments,
                Measure::JointMoments,
            ] {
                let found = Measured::of(&tensor, Some(&axes), &measure).found;
                assert!(
                    found.len() == 2 && found.iter().all(|found| !found[0].is_finite()),
                    "{found:?}"
                );
            }
        }
    }
}
