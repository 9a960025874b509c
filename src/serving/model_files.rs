//! What a model is as files, in the folder of models and in the bucket alike.

/// Name of the file of a model.
pub(super) const FILE: &str = "model.onnx";

/// Name of the description of a package.
pub(super) const DESCRIPTION: &str = "rdf.yaml";

/// Bytes of a model.
pub(super) const MAX_BYTES: u64 = 4 << 30;
