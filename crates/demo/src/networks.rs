//! What segments the image of the guided run: a trained network in the consumer's own process, or the classical stand-in behind
//! a model server; and how good each is on the two images that come with the project.

use std::fs;
use std::io;
use std::path::Path;

use clap::ValueEnum;

/// Name and version of the trained network; `models/README.md` says what it was trained with.
pub(crate) const TRAINED: &str = "StarNuclei:1";

const NETWORK: &[u8] = include_bytes!("../../../models/StarNuclei/1/model.onnx");
const THRESHOLDS: &[u8] = include_bytes!("../../../models/StarNuclei/thresholds.json");

/// What segments the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// A small trained network for fluorescent nuclei, run by the consumer itself.
    Trained,
    /// Filters and thresholds behind a model server.
    Classical,
}

impl Network {
    /// What it is, for people.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Trained => {
                "a small network trained for fluorescent nuclei (StarDist), run by the consumer itself"
            }
            Self::Classical => {
                "a classical stand-in (filters and thresholds), not a trained network"
            }
        }
    }

    /// F1 at an IoU of 0.5 on the images `777f7c42` and `9ebcfaf2` of `tests/fixtures/nuclei`; a test runs them.
    pub(crate) fn scores(self) -> [f64; 2] {
        match self {
            Self::Trained => [0.825, 0.793],
            Self::Classical => [0.805, 0.604],
        }
    }
}

/// Writes the trained network into a folder, as `MODEL_DIR` wants it.
pub(crate) fn install(folder: &Path) -> io::Result<()> {
    let version = folder.join("StarNuclei/1");
    fs::create_dir_all(&version)?;
    fs::write(version.join("model.onnx"), NETWORK)?;
    fs::write(folder.join("StarNuclei/thresholds.json"), THRESHOLDS)
}
