//! Label images, spots and tracks from the output of deep-learning models of cells.
//!
//! Everything here is synchronous, keeps no state and knows arrays only: no files, no network. Results equal those of
//! the Python libraries that are in use (scikit-image, `SciPy`, `OpenCV`) to the pixel: each function says which
//! roundings and ties decide.

/// From a decoded image to what a model is given, and from its answer to a label image.
pub mod segmentation;

/// Spots of single molecules.
pub mod spots;

/// The functions that consumers 0.3 to 0.8 chose by name.
pub mod legacy;

/// Cell tracking.
pub mod tracking;

mod plane;

#[cfg(test)]
mod strategies;

pub use plane::finite_range;
