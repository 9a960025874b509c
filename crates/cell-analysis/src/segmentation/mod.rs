//! Segmentation of cells and nuclei: from a decoded image to the input of a model, and from its heads to a label image.
//!
//! Images are `[batch, row, column, channel]` in `f32`, planes are `[row, column]`, label images hold `u32` with 0 for the
//! background. Results equal those of scikit-image 0.21, `SciPy` 1.10, `OpenCV` 4 and `NumPy` 1 to the pixel: each function
//! names its original and says which roundings and ties decide.
//!
//! In the order in which an image passes them:
//!
//! ```text
//! resize ─► normalize (clahe) ─► tile ─► [the model] ─► untile ─► deep_watershed ─► resize
//!                                                                  │
//!            gaussian ─► peaks (h-maxima) ─► label ─► watershed ─► region
//! ```

/// Bilinear and nearest-neighbor resizing of images and label images.
mod resize;

/// Intensity normalization before a model sees the image.
mod normalize;

/// Intensity rescaling.
mod rescale;

/// Contrast-limited adaptive histogram equalization.
mod clahe;

/// Cutting an image into overlapping tiles and blending the model's outputs.
mod tile;

/// From two model heads to a label image.
mod deep_watershed;

/// Gaussian smoothing.
mod gaussian;

/// Disks, square dilation and grayscale reconstruction.
mod morphology;

/// h-maxima and local maxima.
mod peaks;

/// Connected components.
mod label;

/// Joining the label images of tiles.
mod mosaic;

/// Seeded watershed.
mod watershed;

/// Clean-up of label images: erosion, small objects, holes.
mod region;

pub use clahe::{clahe_14bit, clip_histogram, equalize_adapthist, to_14bit};
pub use deep_watershed::{DeepWatershed, DeepWatershedError, ExcludeBorder, MaximaAlgorithm};
pub use gaussian::gaussian_filter;
pub use label::{Connectivity, label, relabel_sequential};
pub use morphology::{dilation_square, disk, reconstruction};
pub use mosaic::{LabelMosaic, TilePlace};
pub use normalize::{
    MesmerPreprocess, histogram_normalization, mesmer_preprocess, normalize, percentile_threshold,
};
pub use peaks::{LocalMaxima, h_maxima, peak_local_max};
pub use region::{erode_edges, fill_holes, remove_small_objects};
pub use rescale::rescale_unit;
pub use resize::{resize_image, resize_labels, resize_nearest, resized_shape};
pub use tile::{Number, PadMode, Tiling, Untiler, spline_window};
pub use watershed::watershed;

pub(crate) use morphology::square_maximum;
pub(crate) use normalize::{percentile_neighbors, standardize};
pub(crate) use peaks::spaced;
