#![doc = include_str!("../README.md")]

mod array;
mod axes;
mod bmp;
mod decode;
mod error;
mod gif;
mod header;
mod jpeg;
mod jpeg2000;
mod limits;
mod number;
mod pieces;
mod png;
mod spot_csv;
mod spot_overlay;
mod tiff;

/// Polygons for QuPath.
pub mod geojson;

/// Polygons for ImageJ.
pub mod imagej_roi;

/// `.npy` files, as `NumPy` reads and writes them.
pub mod npy;

/// Time lapses: movies as stacks of frames, and the labels of single frames stacked to a movie.
pub mod time_lapse;

/// Track files (`.trk`, `.trks`): a movie, its labels and its lineage.
pub mod trk;

pub use axes::{
    AxesError, ModelInput, Placed, default_order, detect_dimension_order, placed_by_names,
    spot_batch, squeeze, to_bxyc, to_bxyc_by_file, validate_model_input, with_channels,
};
pub use decode::{Found, decode, header_of, header_of_pieces, pixel_size};
pub use error::Error;
pub use header::{Container, Header};
pub use limits::Limits;
pub use pieces::Pieces;
pub use spot_csv::spot_csv;
pub use spot_overlay::spot_overlay;
pub use tiff::write::{TiffSample, channels, encode_labels, encode_tiff};
pub use time_lapse::{FrameLimits, MovieError};
pub use trk::{TrackFile, TrackFileError, TrackFileSize};
