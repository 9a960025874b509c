//! The consumers: one file each, a recipe on top of `applications/`.

/// Segmentation of one image.
pub mod image;

use crate::consumer::Kind;

/// Every kind of consumer that this crate brings.
pub(crate) const KINDS: [Kind; 1] = [image::KIND];
