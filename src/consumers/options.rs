//! What jobs of each type may say, for those who ask people for it.

use crate::consumer::{ConsumerKind, Registry};

/// Which channels a job may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    /// None.
    None,
    /// One for each of these parts, by position; and how many of them are filled unless somebody says otherwise.
    Parts(&'static [&'static str], usize),
    /// A list in the order that the model takes.
    List,
}

/// What a job may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobOptions {
    pub(crate) channels: Channels,
    /// The scale, and what frontends say unless somebody says otherwise.
    pub(crate) scale: Option<&'static str>,
    pub(crate) dimension_order: bool,
    pub(crate) model: bool,
    pub(crate) compartment: bool,
    pub(crate) label: bool,
    pub(crate) diameter: bool,
    pub(crate) segmentation_type: bool,
    /// Whether each job leaves an archive in the bucket.
    pub(crate) has_result: bool,
    /// Whether a model that is named counts only where no channels and no order of axes are.
    pub(crate) model_stands_alone: bool,
}

const NOTHING: JobOptions = JobOptions {
    channels: Channels::None,
    scale: None,
    dimension_order: false,
    model: false,
    compartment: false,
    label: false,
    diameter: false,
    segmentation_type: false,
    has_result: true,
    model_stands_alone: false,
};

const WITH_MODEL: JobOptions = JobOptions {
    channels: Channels::List,
    model: true,
    ..NOTHING
};

const IMAGE: JobOptions = JobOptions {
    channels: Channels::Parts(&["nuclei", "cytoplasm"], 1),
    scale: Some("1"),
    dimension_order: true,
    model: true,
    label: true,
    model_stands_alone: true,
    ..NOTHING
};

const MESMER: JobOptions = JobOptions {
    channels: Channels::Parts(&["nuclei", "membrane"], 2),
    scale: Some(""),
    compartment: true,
    ..NOTHING
};

const POLARIS: JobOptions = JobOptions {
    channels: Channels::Parts(&["spots", "nuclei", "cytoplasm or membrane"], 3),
    segmentation_type: true,
    ..NOTHING
};

const SPOT: JobOptions = JobOptions {
    channels: Channels::Parts(&["spots"], 1),
    ..NOTHING
};

const TRACKING: JobOptions = JobOptions {
    scale: Some(""),
    ..NOTHING
};

const STARDIST: JobOptions = JobOptions {
    scale: Some(""),
    ..WITH_MODEL
};

const CELLPOSE: JobOptions = JobOptions {
    channels: Channels::Parts(&["cells", "nuclei"], 0),
    diameter: true,
    ..WITH_MODEL
};

/// What `exec` runs, and types of others.
const UNKNOWN: JobOptions = JobOptions {
    has_result: false,
    ..NOTHING
};

/// The types that ask for something.
const ASKING: [(ConsumerKind, JobOptions); 10] = [
    (super::image::KIND, IMAGE),
    (super::zip::KIND, IMAGE),
    (super::mesmer::KIND, MESMER),
    (super::polaris::KIND, POLARIS),
    (super::spot::KIND, SPOT),
    (super::tracking::KIND, TRACKING),
    (super::stardist::KIND, STARDIST),
    (super::cellpose::KIND, CELLPOSE),
    (super::labels::KIND, WITH_MODEL),
    (super::bioimageio::KIND, WITH_MODEL),
];

/// What jobs of consumers of this type may say. Those of a type that this crate does not bring are asked for nothing.
pub(crate) fn options(kind: &str) -> JobOptions {
    let name = Registry::builtin().find(kind).map(|kind| kind.name);
    let mut asking = ASKING.iter();
    let found = asking.find(|(known, _)| name == Some(known.name));
    found.map_or(UNKNOWN, |(_, options)| *options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_asks_for_its_own() {
        assert_eq!(options("segmentation"), options("IMAGE"));
        assert!(options("multiplex").compartment && !options("image").compartment);
        assert!(options("tracking").has_result && !options("exec").has_result);
        assert_eq!(options("of somebody else"), options("exec"));
    }
}
