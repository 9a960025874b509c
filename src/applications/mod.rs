//! A model together with the steps it was trained with: which pixels go in, and what becomes of the answers.
//!
//! Knows the model server's client and the pure code for images and tracks, but no job, no bucket and no queue.

/// Cutting an image into tiles, running the model batch by batch, and joining the answers.
pub mod tiled_inference;

/// Segmentation of single cells in culture and in tissue.
pub mod cells;

/// StarDist models, whose cells are star-convex polygons.
pub mod star_convex;

/// Cellpose models, whose flows lead pixels to the middle of their cells.
pub mod cell_flows;

/// Models whose packages say what is done around them.
pub mod described;

/// Models that answer labels.
pub mod label_heads;

/// Tiles that overlap.
mod overlapping;

/// Tracking of cells through a movie.
pub mod cell_tracking;

/// Detection of single-molecule spots.
pub mod spots;

/// A model that takes several tensors by name, run in batches.
pub mod multi_input;

/// A model that the job names, with functions chosen by name.
pub mod by_name;

/// Scale and type of an image, as a model sees them.
pub mod scale_and_type;

pub use cell_tracking::{Tracked, Tracker, TrackingModels};
pub use cells::{Application, Compartment, SegmentationStep};
pub use multi_input::TensorModel;
pub use spots::SpotDetection;
pub use tiled_inference::Model;
