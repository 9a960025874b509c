//! Cellpose: from an image to the tiles of one of its networks, and from the network's flows to a label image (Stringer,
//! Wang, Michaelos and Pachitariu, "Cellpose: a generalist algorithm for cellular segmentation", Nature Methods 2021).
//!
//! A network answers three planes: flows down and to the right, which lead every pixel of a cell to its middle, and how
//! probably a pixel is inside a cell ([`Network`] says what it is asked). Pixels follow the flows; where many end is a cell.
//!
//! ```text
//! normalize_channels ─► NetworkTiles ─► [the network] ─► TileJoiner ─► Cellpose::segment
//!                                                                      │
//!        follow_flows ─► masks_of_positions ─► remove_bad_flow_masks ─► fill_holes_and_remove_small_masks
//! ```
//!
//! Images are `[channel, row, column]` in `f32`, label images `[row, column]` hold `u32` with 0 for the background. Results
//! equal those of Cellpose 4.2.1 with torch 2.15 and `NumPy` 2.4 to the pixel, as torch's kernels for AVX2 and AVX-512 give
//! them, on a machine that has fused multiply-adds and on one that has not. Cellpose 3 gives the same on a GPU, but for
//! rounding; without one it interpolates flows in another way.
//!
//! The steps follow those of Cellpose, which is Copyright © 2020 Howard Hughes Medical Institute; see `LICENSE-CELLPOSE`
//! in this folder.

/// Runs of pixels, boxes and centers.
mod cells;

/// Comparing the flows of labels with those of a network.
mod check;

/// Holes and small cells.
mod clean;

/// From labels to flows.
mod diffusion;

/// From pixels to where flows lead them.
mod follow;

/// What networks want to see.
mod network;

/// Intensity normalization before a network sees the image.
mod normalize;

/// From where pixels end to labels.
mod peaks;

/// From heads to labels.
mod segment;

/// The order of torch's unstable sort.
mod sort;

/// Cutting an image into overlapping tiles and joining the network's answers.
mod tiles;

pub use check::{flow_errors, remove_bad_flow_masks};
pub use clean::fill_holes_and_remove_small_masks;
pub use diffusion::masks_to_flows;
pub use follow::follow_flows;
pub use network::{Generation, Network};
pub use normalize::{normalize_channels, normalize99};
pub use peaks::masks_of_positions;
pub use segment::{Cellpose, CellposeError};
pub use tiles::{NetworkTiles, TileJoiner, tile_windows};
