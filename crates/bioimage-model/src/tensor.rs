//! An array whose axes have names.

use ndarray::{ArrayD, ArrayViewD};

use crate::error::TensorError;

/// An array of f32 whose axes have names.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    axes: Vec<String>,
    pub(crate) values: ArrayD<f32>,
}

impl Tensor {
    /// An array with these axes, outermost first.
    ///
    /// # Errors
    ///
    /// [`TensorError::Axes`] if there are more or fewer names than axes, no name at all, or one twice.
    pub fn new(axes: Vec<String>, values: ArrayD<f32>) -> Result<Self, TensorError> {
        let is_twice = |index: usize| axes[..index].contains(&axes[index]);
        if axes.is_empty() || axes.len() != values.ndim() || (0..axes.len()).any(is_twice) {
            return Err(TensorError::Axes {
                found: axes.join(", "),
                expected: format!("{} names", values.ndim()),
            });
        }
        Ok(Self { axes, values })
    }

    /// The names of its axes.
    #[must_use]
    pub fn axes(&self) -> &[String] {
        &self.axes
    }

    /// Its values.
    #[must_use]
    pub fn values(&self) -> ArrayViewD<'_, f32> {
        self.values.view()
    }

    /// Its values.
    #[must_use]
    pub fn into_values(self) -> ArrayD<f32> {
        self.values
    }

    /// Which axis has this name.
    #[must_use]
    pub fn axis(&self, id: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis == id)
    }

    /// Its length along the axis of this name.
    pub(crate) fn length(&self, id: &str) -> Option<usize> {
        Some(self.values.shape()[self.axis(id)?])
    }
}
