//! A tensor under way, and the steps that are still to be done with it.

use ndarray::{ArrayD, Axis, IxDyn, Zip};

use crate::step::{Place, Step, Width};
use crate::tensor::Tensor;

/// A tensor under way. Steps are collected and done in one pass, in f64: only what comes out of a pass is rounded to f32.
pub(crate) struct Pipeline {
    tensor: Tensor,
    steps: Vec<Step>,
    /// How wide the reference's values are at this point.
    pub(crate) width: Width,
}

impl Pipeline {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self {
            tensor,
            steps: Vec::new(),
            width: Width::Single,
        }
    }

    /// Notes what is to be done.
    pub(crate) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// The tensor's names and shape; its values may have steps before them.
    pub(crate) fn form(&self) -> &Tensor {
        &self.tensor
    }

    /// The tensor behind all steps so far.
    pub(crate) fn so_far(&mut self) -> &Tensor {
        let steps = std::mem::take(&mut self.steps);
        if steps.is_empty() {
            return &self.tensor;
        }
        // The longest lanes have the least to say about places.
        let mut outer = self.tensor.values.shape().to_vec();
        let axis = (0..outer.len())
            .max_by_key(|&axis| outer[axis])
            .unwrap_or(0);
        outer.remove(axis);
        let mut numbers = 0..;
        let numbers = ArrayD::from_shape_simple_fn(IxDyn(&outer), || numbers.next().unwrap_or(0));
        let lanes = self.tensor.values.lanes_mut(Axis(axis));
        Zip::from(lanes)
            .and(&numbers)
            .par_for_each(|mut lane, &number| {
                let mut values: Vec<f64> = lane.iter().map(|&value| f64::from(value)).collect();
                let outer = &unraveled(number, &outer);
                for step in &steps {
                    step.apply(&mut values, Place { axis, outer });
                }
                lane.iter_mut()
                    .zip(values)
                    .for_each(|(to, value)| *to = value as f32);
            });
        &self.tensor
    }

    /// Makes shares of 1 of the values along an axis.
    pub(crate) fn softmax(&mut self, axis: usize) {
        self.so_far();
        let width = self.width;
        let lanes = self.tensor.values.lanes_mut(Axis(axis));
        Zip::from(lanes).par_for_each(|mut lane| {
            let largest = lane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers = lane
                .iter()
                .map(|&value| width.round(f64::from(value - largest).exp()));
            let powers: Vec<f64> = powers.collect();
            let sum = powers
                .iter()
                .fold(0.0, |sum, power| width.round(sum + power));
            for (to, power) in lane.iter_mut().zip(powers) {
                *to = (power / sum) as f32;
            }
        });
    }

    pub(crate) fn finish(mut self) -> Tensor {
        self.so_far();
        self.tensor
    }
}

/// The place of an element, counted row by row.
fn unraveled(mut number: usize, shape: &[usize]) -> Vec<usize> {
    let mut place = vec![0; shape.len()];
    for (place, length) in place.iter_mut().zip(shape).rev() {
        *place = number % length;
        number /= length;
    }
    place
}
