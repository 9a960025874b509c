//! How good a segmentation seems to be: a few numbers, and words for those that are out of the ordinary.
//!
//! They say "look at this", never "wrong": nothing here was compared with annotations.

mod flags;
mod image;
mod numbers;

pub use self::flags::{BatchMedians, QualityFlag, QualityThresholds, RaisedFlag};
pub use self::image::ImageQuality;
pub use self::numbers::Quality;

#[cfg(test)]
mod tests;
