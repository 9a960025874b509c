//! The weights of a model, in the formats that can be used without Python.

use crate::file_ref::FileRef;
use crate::problem::shown;
use crate::reader::{Reader, Spot, or};

/// A format of weights that can be used without Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WeightsFormat {
    /// `onnx`
    Onnx,
    /// `torchscript`
    TorchScript,
    /// `tensorflow_saved_model_bundle`
    SavedModel,
}

impl WeightsFormat {
    const WORDS: [(&'static str, Self); 3] = [
        ("onnx", Self::Onnx),
        ("torchscript", Self::TorchScript),
        ("tensorflow_saved_model_bundle", Self::SavedModel),
    ];

    /// Its name in a description.
    #[must_use]
    pub fn name(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, format)| *format == self);
        word.map_or("", |(name, _)| name)
    }
}

/// Weights in one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Their format.
    pub format: WeightsFormat,
    /// Their file; a zip of a folder if it is a saved model.
    pub file: FileRef,
    /// Version of the set of operators that an ONNX file uses.
    pub opset_version: Option<u64>,
    /// A second file of an ONNX network, with its numbers.
    pub external_data: Option<FileRef>,
}

/// The weights that can be used, ONNX first.
pub(crate) fn read_weights(reader: &mut Reader, spot: &Spot<'_>) -> Option<Vec<Weights>> {
    let entries = WeightsFormat::WORDS
        .iter()
        .filter_map(|&(name, format)| Some((spot.get(name)?, format)));
    let found: Vec<_> = entries
        .map(|(entry, format)| read_entry(reader, &entry, format))
        .collect();
    if found.is_empty() {
        return refuse_others(reader, spot);
    }
    found.into_iter().collect()
}

fn refuse_others<T>(reader: &mut Reader, spot: &Spot<'_>) -> Option<T> {
    let others: Vec<_> = spot.names().into_iter().map(shown).collect();
    let (others, known) = (
        others.join(", "),
        "onnx, torchscript or tensorflow_saved_model_bundle",
    );
    if others.is_empty() {
        return reader.refuse(spot, format!("no weights: expected {known}"));
    }
    reader.refuse(
        spot,
        format!("weights in {others} only, which need Python: add {known}, for instance with `bioimageio add-weights`"),
    )
}

fn read_entry(reader: &mut Reader, spot: &Spot<'_>, format: WeightsFormat) -> Option<Weights> {
    let file = FileRef::read(reader, spot);
    let opset_version = or(spot.get("opset_version"), None, |version| {
        reader.count(version).map(|version| Some(version as u64))
    });
    let external_data = or(spot.get("external_data"), None, |data| {
        FileRef::read(reader, data).map(Some)
    });
    Some(Weights {
        format,
        file: file?,
        opset_version: opset_version?,
        external_data: external_data?,
    })
}
