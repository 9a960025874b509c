//! Pixel arithmetic of the segmentation jobs, from a decoded image to a label image.
//!
//! Everything here is synchronous, keeps no state and knows arrays only. Images are
//! `[batch, row, column, channel]` in `f32`, planes are `[row, column]`, label images hold
//! `u32` with 0 for the background. Results equal those of the Python libraries of the
//! predecessor to the pixel: each function says which roundings and ties decide.
//!
//! In the order in which a job passes them:
//!
//! ```text
//! resize ─► normalize (clahe) ─► tile ─► [the model] ─► untile ─► deep_watershed ─► resize
//!                                                                  │
//!            gaussian ─► peaks (h-maxima) ─► label ─► watershed ─► region
//! ```

/// Bilinear and nearest-neighbor resizing of images and label images.
pub mod resize;

/// Intensity normalization before a model sees the image.
pub mod normalize;

/// Intensity rescaling.
pub mod rescale;

/// Contrast-limited adaptive histogram equalization.
pub mod clahe;

/// Cutting an image into overlapping tiles and blending the model's answers.
pub mod tile;

/// From two model heads to a label image.
pub mod deep_watershed;

/// Gaussian smoothing.
pub mod gaussian;

/// Disks, square dilation and grayscale reconstruction.
pub mod morphology;

/// h-maxima and local maxima.
pub mod peaks;

/// Connected components.
pub mod label;

/// Seeded watershed.
pub mod watershed;

/// Clean-up of label images: erosion, small objects, holes.
pub mod region;

pub use clahe::{clahe_14bit, clip_histogram, equalize_adapthist, to_14bit};
pub use deep_watershed::{DeepWatershed, DeepWatershedError, ExcludeBorder, MaximaAlgorithm};
pub use gaussian::gaussian_filter;
pub use label::{Connectivity, label, relabel_sequential};
pub use morphology::{dilation_square, disk, reconstruction};
pub use normalize::{
    MesmerPreprocess, histogram_normalization, mesmer_preprocess, normalize, percentile_threshold,
};
pub use peaks::{LocalMaxima, h_maxima, peak_local_max};
pub use region::{erode_edges, fill_holes, remove_small_objects};
pub use rescale::rescale_unit;
pub use resize::{resize_image, resize_labels, resize_nearest, resized_shape};
pub use tile::{PadMode, Tiling, Untiler};
pub use watershed::watershed;
