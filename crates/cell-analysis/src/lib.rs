#![doc = include_str!("../README.md")]

/// From a decoded image to what a model is given, and from its answer to a label image.
pub mod segmentation;

/// Single-molecule spots (FISH): what a detector is given, and positions from its heads.
pub mod spots;

/// The functions that consumers 0.3 to 0.8 chose by name.
pub mod legacy;

/// Cell tracking.
pub mod tracking;

mod plane;

#[cfg(test)]
mod strategies;

pub use plane::finite_range;
