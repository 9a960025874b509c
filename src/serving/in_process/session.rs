//! What runs a model, whichever library does it.

use std::sync::Arc;

use ndarray::ArrayD;

use crate::serving::batch::Outputs;
use crate::serving::model::Input;
use crate::serving::model_directory::Weights;

/// A library that runs ONNX models.
pub(super) trait Runtime: Send + Sync {
    /// Reads a model.
    ///
    /// # Errors
    /// Why it cannot be run here, such as the operator that is missing.
    fn load(&self, weights: Weights) -> Result<Arc<dyn Session>, String>;
}

/// A model that is loaded.
pub(super) trait Session: Send + Sync {
    /// What it takes, as the file says.
    fn inputs(&self) -> Vec<Input>;

    /// Names of what it gives.
    fn outputs(&self) -> Vec<String>;

    /// The number of its weights, where the library tells.
    fn parameters(&self) -> Option<usize>;

    /// What its weights take, in bytes.
    fn bytes(&self) -> u64;

    /// How many runs it takes at once; any number without it.
    fn runs_at_once(&self) -> Option<usize>;

    /// Runs it on arrays in the layout of the file; integers are converted.
    ///
    /// # Errors
    /// Why it does not run on these.
    fn run(&self, inputs: Vec<(String, ArrayD<f32>)>) -> Result<Outputs, String>;
}
