//! StarDist in two dimensions: from the heads of a model to star-convex polygons and a label image (Schmidt et al., "Cell
//! detection with star-convex polygons", MICCAI 2018).
//!
//! The steps follow those of StarDist, which is Copyright (c) 2018-2024, Uwe Schmidt, Martin Weigert; see `LICENSE-STARDIST`
//! beside this file. Results equal those of stardist 0.9 and csbdeep 0.8 to the pixel, but for the order of equal scores, which there depends on
//! the processor.
//!
//! ```text
//! normalize ─► pad ─► [the model] ─► candidates, tile by tile ─► suppression ─► labels
//! ```

/// Why heads cannot be made into polygons.
mod error;

/// Normalization by percentiles, and padding.
mod prepare;

/// Thresholds, grid and margin.
mod options;

/// Cells of the heads that may become polygons.
mod candidates;

/// Polygons and their label image.
mod polygons;

/// All of it in one call.
mod segment;

/// Which candidates stay.
mod suppression;

/// Boxes by place and size.
mod neighbors;

/// Corners of polygons.
mod rays;

/// Painting of polygons.
mod paint;

/// The area that two polygons have in common.
mod clipper;

pub use candidates::{Candidates, StarHeads};
pub use error::StarDistError;
pub use options::StarDist;
pub use polygons::StarPolygons;
pub use prepare::{ChannelScaling, PercentileNormalization, pad_to_multiple};
pub use segment::{StarInstances, suppress_ranked};
