//! The consumers: one file each, a recipe on top of `applications/`.

/// Segmentation of one image.
pub mod image;

/// Segmentation of one image of tissue.
pub mod mesmer;

mod input;
mod limits;

use crate::consumer::Kind;
use crate::serving::ModelId;
use crate::settings::Reader;

/// Every kind of consumer that this crate brings.
pub(crate) const KINDS: [Kind; 2] = [image::KIND, mesmer::KIND];

/// Reads a model's `name:version`.
fn model(reader: &mut Reader<'_>, name: &'static str, default: &str, doc: &'static str) -> ModelId {
    let default = default.parse().expect("defaults are `name:version`");
    reader.parsed(name, default, doc)
}
