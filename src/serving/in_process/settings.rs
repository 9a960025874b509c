//! How models are run in the process.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How models are run in the process.
#[derive(Clone, Debug)]
pub(in crate::serving) struct InProcessSettings {
    /// The folder of models.
    pub(in crate::serving) directory: PathBuf,
    /// Threads for all models together.
    pub(in crate::serving) threads: NonZeroUsize,
    /// How long a model that nobody uses is kept; for ever without it.
    pub(in crate::serving) idle: Option<Duration>,
    /// Side of the tile by which a model that takes any size is tried, in pixels.
    pub(in crate::serving) tile: usize,
    /// ONNX Runtime, where it is to run them.
    #[cfg_attr(
        not(feature = "ort"),
        expect(dead_code, reason = "the settings are there, and say what is missing")
    )]
    pub(in crate::serving) onnx_runtime: Option<OnnxRuntimeSettings>,
}

/// What ONNX Runtime has to know.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "ort"), expect(dead_code, reason = "likewise"))]
pub(in crate::serving) struct OnnxRuntimeSettings {
    /// Its library.
    pub(in crate::serving) library: PathBuf,
    /// Where it runs models.
    pub(in crate::serving) device: Device,
}

/// What runs models in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::serving) enum ModelRuntime {
    /// rten, which is part of the program.
    Rten,
    /// Microsoft's ONNX Runtime, whose library the user brings.
    OnnxRuntime,
}

impl ModelRuntime {
    /// Whether the program was built with it.
    pub(in crate::serving) fn is_built_in(self) -> bool {
        self == Self::Rten || cfg!(feature = "ort")
    }
}

/// Where models run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::serving) enum Device {
    /// The processor.
    Cpu,
    /// The first GPU of NVIDIA's.
    Cuda,
}
