//! The consumers: one file each, a recipe on top of `applications/`.

/// A command of yours for each job.
pub mod exec;

/// Segmentation of one image.
pub mod image;

/// Segmentation of one image of tissue.
pub mod mesmer;

/// Models in packages of BioImage.IO.
pub mod bioimageio;

/// Cells by the flows that models of Cellpose predict.
pub mod cellpose;

/// Cells that the model has labeled.
pub mod labels;

/// Cells as star-convex polygons.
pub mod stardist;

/// Single-molecule spots, and the cells they lie in.
pub mod polaris;

/// Single-molecule spots in one image.
pub mod spot;

/// Cells of a movie, followed from frame to frame.
pub mod tracking;

/// An archive of images, each of which becomes a job.
pub mod zip;

/// Names of result files.
pub mod output;

mod input;
mod limits;
mod memory;
mod options;
mod preview;
mod recipe;

pub(crate) use self::options::{Channels, JobOptions, options};
use crate::consumer::{ConsumerKind, Registry};

/// Every kind of consumer that this crate brings.
const KINDS: [ConsumerKind; 11] = [
    image::KIND,
    zip::KIND,
    tracking::KIND,
    mesmer::KIND,
    spot::KIND,
    polaris::KIND,
    stardist::KIND,
    cellpose::KIND,
    labels::KIND,
    bioimageio::KIND,
    exec::KIND,
];

/// Whether consumers of this type take an input of this name. Those of a type that this crate does not bring may.
pub(crate) fn takes(kind: &str, reference: &str) -> bool {
    let name = Registry::builtin().find(kind).map(|kind| kind.name);
    let is = |known: &ConsumerKind| name == Some(known.name);
    if is(&zip::KIND) {
        recipe::is_archive(reference)
    } else if is(&tracking::KIND) {
        tracking::takes(reference)
    } else if name.is_none() || is(&exec::KIND) {
        true
    } else {
        !recipe::is_archive(reference)
    }
}

impl Registry {
    /// Every kind that this crate brings.
    pub fn builtin() -> Self {
        Self(KINDS.to_vec())
    }
}
