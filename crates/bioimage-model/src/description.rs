//! A model description, `rdf.yaml`, of format 0.5.

use std::collections::BTreeSet;

use crate::geometry::Geometry;
use crate::problem::{DescriptionError, shown};
use crate::reader::{Reader, Spot, or};
use crate::tensor_description::{Input, Output};
use crate::tolerance::Tolerances;
use crate::weights::{Weights, read_weights};
use crate::yaml;

/// The most outputs of a network.
const MAX_OUTPUTS: usize = 64;

/// A model description of format 0.5 of which everything can be done here.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The version of its format, such as `0.5.12`.
    pub format_version: String,
    /// The model's name; empty if there is none.
    pub name: String,
    /// Who made it.
    pub authors: Vec<String>,
    /// Its license: an SPDX identifier, or the name of a file.
    pub license: Option<String>,
    /// What to cite.
    pub cite: Vec<Citation>,
    /// The network's one input.
    pub input: Input,
    /// The network's outputs, in its order.
    pub outputs: Vec<Output>,
    /// The weights that can be used, at least one, ONNX first.
    pub weights: Vec<Weights>,
    /// How closely test tensors must be met.
    pub tolerances: Tolerances,
    pub(crate) geometry: Geometry,
}

/// Something to cite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    /// What it is.
    pub text: String,
    /// Where it is: a DOI or an address.
    pub at: Option<String>,
}

impl Description {
    /// Reads a description. Fields that are not needed are passed over.
    ///
    /// # Errors
    ///
    /// It is no YAML, larger than 4 MiB, of another format, wrong, or asks for something that is not done here. All that was
    /// found is told, each with its place and with what to do.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptionError> {
        let value = yaml::parse(bytes).map_err(|error| DescriptionError::one("", error))?;
        let root = Spot::root(&value);
        let mut reader = Reader::default();
        let description = read(&mut reader, &root);
        reader.problems.end(description)
    }
}

fn read(reader: &mut Reader, root: &Spot<'_>) -> Option<Description> {
    let format_version = read_version(reader, root)?;
    if let Some(mode) = root.get("run_mode") {
        reader.refuse::<()>(&mode, "a run mode of its own is not supported");
    }
    let weights = reader
        .need(root, "weights")
        .and_then(|spot| read_weights(reader, &spot));
    let config = root
        .get("config")
        .and_then(|config| config.get("bioimageio"));
    let tolerances = or(config, Tolerances::default(), |config| {
        Tolerances::read(reader, config)
    });
    let input = read_input(reader, root)?;
    let outputs = read_outputs(reader, root, &input)?;
    let geometry = Geometry::read(reader, &input, &outputs);
    Some(Description {
        format_version,
        name: printed(root, "name").unwrap_or_default(),
        authors: root
            .items("authors")
            .filter_map(|author| printed(&author, "name"))
            .collect(),
        license: read_license(root),
        cite: root
            .items("cite")
            .filter_map(|entry| read_citation(&entry))
            .collect(),
        weights: weights?,
        tolerances: tolerances?,
        geometry: geometry?,
        input,
        outputs,
    })
}

/// The version, if it is one of 0.5 and the description one of a model.
fn read_version(reader: &mut Reader, root: &Spot<'_>) -> Option<String> {
    let spot = reader.need(root, "format_version")?;
    let version = reader.scalar(&spot)?;
    let mut parts = version.split('.').map(str::parse::<u32>);
    let first = [parts.next(), parts.next()].map(|part| part.and_then(Result::ok));
    let told = shown(&version);
    match first {
        [Some(0), Some(5)] => {}
        [Some(0), Some(0..=4)] => {
            return reader.refuse(
                &spot,
                format!("a description of format {told}: bring it to 0.5 with `bioimageio update-format`"),
            );
        }
        _ => return reader.refuse(&spot, format!("format {told} is not known: expected 0.5")),
    }
    match root.get("type").as_ref().and_then(Spot::as_text) {
        None | Some("model") => Some(version),
        Some(other) => {
            let other = shown(other);
            reader.refuse(
                &root.get_or_nothing("type"),
                format!("a description of a {other}, not of a model"),
            )
        }
    }
}

/// The text of a member, if it has one. What is only printed is no reason to refuse a package.
fn printed(spot: &Spot<'_>, name: &str) -> Option<String> {
    spot.get(name)?.as_text().map(str::to_owned)
}

fn read_license(root: &Spot<'_>) -> Option<String> {
    // A license of one's own is a file.
    let file = root
        .get("license")
        .and_then(|license| printed(&license, "source"));
    printed(root, "license").or(file)
}

fn read_citation(spot: &Spot<'_>) -> Option<Citation> {
    Some(Citation {
        text: printed(spot, "text")?,
        at: printed(spot, "doi").or_else(|| printed(spot, "url")),
    })
}

fn read_input(reader: &mut Reader, root: &Spot<'_>) -> Option<Input> {
    let spot = reader.need(root, "inputs")?;
    match &reader.list(&spot)?[..] {
        [input] => Input::read(reader, input),
        inputs => {
            let count = inputs.len();
            reader.refuse(
                &spot,
                format!("{count} inputs: only models with one input are supported"),
            )
        }
    }
}

fn read_outputs(reader: &mut Reader, root: &Spot<'_>, input: &Input) -> Option<Vec<Output>> {
    let spot = reader.need(root, "outputs")?;
    let count = reader.list(&spot)?.len();
    if !(1..=MAX_OUTPUTS).contains(&count) {
        return reader.refuse(
            &spot,
            format!("{count} outputs: expected 1 to {MAX_OUTPUTS}"),
        );
    }
    let outputs = reader.each(&spot, |reader, output| Output::read(reader, output, input))?;
    let mut ids = BTreeSet::from([&input.id]);
    if let Some(twice) = outputs.iter().find(|output| !ids.insert(&output.id)) {
        let id = shown(&twice.id);
        return reader.refuse(&spot, format!("two tensors are called `{id}`"));
    }
    Some(outputs)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::axis::{AxisKind, Size};
    use crate::dtype::Dtype;
    use crate::operation::Operation;
    use crate::sample::{good, parse, plain, refused};
    use crate::tensor_description::Padding;
    use crate::weights::WeightsFormat;

    /// As the library writes descriptions, with much that is not needed.
    const YAML: &[u8] = b"
format_version: 0.5.12
type: model
name: Nuclei of the lab
timestamp: '2026-01-02T03:04:05+00:00'
tags: [2d, nuclei]
license: MIT
authors:
- {name: A. Author, orcid: 0000-0001-2345-6789}
- {name: B. Author}
cite:
- {text: The paper, doi: 10.1000/xyz123}
- {text: The tool, url: 'https://example.org'}
inputs:
- id: raw
  axes:
  - {type: batch}
  - {type: channel, channel_names: [dapi]}
  - {id: y, type: space, size: {min: 64, step: 16}, unit: micrometer, scale: 0.5, concatenable: true}
  - {id: x, type: space, size: {min: 64, step: 16}, unit: micrometer, scale: 0.5}
  data: {type: uint16, range: [-.inf, .inf]}
  pad: {mode: constant, value: 3}
  preprocessing:
  - id: ensure_dtype
    kwargs: {dtype: float32}
  - id: scale_range
    kwargs: {axes: [c, y, x], min_percentile: 1, max_percentile: 99.8, eps: 1e-06}
  test_tensor: {source: in.npy, sha256: E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855}
outputs:
- axes:
  - {type: batch, size: 1}
  - {type: channel, channel_names: [inner]}
  - {id: y, type: space, unit: micrometer, scale: 1.0, halo: 8, size: {tensor_id: raw, axis_id: y}}
  - {id: x, type: space, unit: micrometer, scale: 1.0, halo: 8, size: {tensor_id: raw, axis_id: x}}
  test_tensor: {source: out.npy}
weights:
  pytorch_state_dict: {source: weights.pt}
  torchscript: {source: weights.ts, parent: pytorch_state_dict}
  onnx: {source: weights.onnx, opset_version: 17, external_data: {source: weights.data}}
config:
  deepimagej: {7: x}
  bioimageio:
    reproducibility_tolerance:
    - {output_ids: [other], absolute_tolerance: 1}
    - {weights_formats: [onnx], relative_tolerance: 0.01}
    test_kwargs: {torchscript: {absolute_tolerance: 0.5}}
";

    #[test]
    fn what_is_needed_is_read_and_the_rest_passed_over() {
        let description = Description::parse(YAML).unwrap();
        assert_eq!(description.authors, ["A. Author", "B. Author"]);
        assert_eq!(description.license.as_deref(), Some("MIT"));
        let at: Vec<_> = description
            .cite
            .iter()
            .map(|cite| cite.at.as_deref())
            .collect();
        assert_eq!(at, [Some("10.1000/xyz123"), Some("https://example.org")]);

        let input = &description.input;
        assert_eq!((input.dtype, input.channels()), (Dtype::Uint16, 1));
        assert_eq!(input.padding, Padding::Constant(3.0));
        let y = &input.axes[2];
        assert_eq!(
            (y.kind, y.scale, y.concatenable),
            (AxisKind::Space, 0.5, true)
        );
        assert_eq!(y.size, Size::Steps { min: 64, step: 16 });
        let sum = input
            .test_tensor
            .as_ref()
            .and_then(|file| file.sha256.clone());
        assert!(sum.is_some_and(|sum| sum.starts_with("e3b0c442")));

        let output = &description.outputs[0];
        assert_eq!((output.id.as_str(), output.axes[3].halo), ("output", 8));
        let formats: Vec<_> = description
            .weights
            .iter()
            .map(|weights| weights.format)
            .collect();
        assert_eq!(formats, [WeightsFormat::Onnx, WeightsFormat::TorchScript]);
        assert_eq!(description.weights[0].opset_version, Some(17));
        assert!(description.weights[0].external_data.is_some());
    }

    #[test]
    fn chains_are_completed_with_casts_as_the_library_does_it() {
        let description = Description::parse(YAML).unwrap();
        let [
            Operation::EnsureDtype(first),
            Operation::ScaleRange(range),
            Operation::EnsureDtype(last),
        ] = &description.input.preprocessing[..]
        else {
            panic!("{:?}", description.input.preprocessing)
        };
        // It ends with the type of the image, even where the network takes floats.
        assert_eq!((*first, *last), (Dtype::Float32, Dtype::Uint16));
        assert_eq!(
            range.axes.as_deref(),
            Some(&["channel".to_owned(), "y".to_owned(), "x".to_owned()][..])
        );
        let behind = &description.outputs[0].postprocessing[..];
        assert_eq!(behind, [Operation::EnsureDtype(Dtype::Float32)]);
    }

    #[test]
    fn the_first_tolerance_that_fits_counts() {
        let tolerances = Description::parse(YAML).unwrap().tolerances;
        let onnx = tolerances.of(WeightsFormat::Onnx, "output");
        assert_eq!(
            (onnx.relative, onnx.absolute, onnx.mismatched_per_million),
            (0.01, 1e-3, 100.0)
        );
        assert_eq!(tolerances.of(WeightsFormat::Onnx, "other").absolute, 1.0);
        assert_eq!(
            tolerances.of(WeightsFormat::TorchScript, "output").absolute,
            0.5
        );
        let saved = tolerances.of(WeightsFormat::SavedModel, "output");
        assert_eq!(saved, crate::tolerance::Tolerance::default());
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name_with_its_place_and_a_way_out() {
        let axis = |id: &str, kind: &str| json!({"type": kind, "id": id, "size": 16});
        let like = |tensor: &str, axis: &str, offset: i64| json!({"type": "space", "id": "y", "size": {"tensor_id": tensor, "axis_id": axis, "offset": offset}});
        let input = &plain()["inputs"][0];
        let cases: Vec<(&str, Value, &str, &str)> = vec![
            (
                "/format_version",
                json!("0.4.10"),
                "format_version",
                "bioimageio update-format",
            ),
            (
                "/format_version",
                json!(0.4),
                "format_version",
                "bioimageio update-format",
            ),
            (
                "/format_version",
                json!("0.6.0"),
                "format_version",
                "expected 0.5",
            ),
            ("/format_version", Value::Null, "format_version", "missing"),
            ("/type", json!("dataset"), "type", "not of a model"),
            (
                "/run_mode",
                json!({"name": "x"}),
                "run_mode",
                "not supported",
            ),
            ("/inputs", json!([input, input]), "inputs", "2 inputs"),
            ("/inputs", json!([]), "inputs", "0 inputs"),
            (
                "/inputs",
                json!("raw"),
                "inputs",
                "expected a list, found a text",
            ),
            (
                "/inputs/0/output_of",
                json!("other"),
                "inputs[0].output_of",
                "another model",
            ),
            (
                "/inputs/0/data",
                json!({"type": "complex64"}),
                "inputs[0].data.type",
                "`complex64` is none of",
            ),
            (
                "/inputs/0/pad",
                json!({"mode": "wrap"}),
                "inputs[0].pad.mode",
                "`wrap` is none of",
            ),
            (
                "/inputs/0/axes/1",
                axis("z", "space"),
                "inputs[0].axes[1]",
                "3-D models are not supported",
            ),
            (
                "/inputs/0/axes/1",
                axis("w", "space"),
                "inputs[0].axes[1]",
                "a space axis `w`",
            ),
            (
                "/inputs/0/axes/1",
                axis("t", "time"),
                "inputs[0].axes[1].type",
                "type `time` is not supported",
            ),
            (
                "/inputs/0/axes/1",
                axis("i", "index"),
                "inputs[0].axes[1].type",
                "type `index` is not supported",
            ),
            (
                "/inputs/0/axes/1",
                axis("f", "frequency"),
                "inputs[0].axes[1].type",
                "`frequency` is none of",
            ),
            (
                "/inputs/0/axes/1",
                json!({"type": "channel"}),
                "inputs[0].axes[1].channel_names",
                "missing",
            ),
            (
                "/inputs/0/axes/1",
                axis("y", "space"),
                "inputs[0].axes",
                "`y` is there beside `y`",
            ),
            (
                "/inputs/0/axes/2",
                json!({"type": "batch"}),
                "inputs[0].axes",
                "no space axis `y`",
            ),
            (
                "/inputs/0/axes/0/size",
                json!(4),
                "inputs[0].axes[0].size",
                "a batch of 4",
            ),
            (
                "/inputs/0/axes/2/size",
                json!(0),
                "inputs[0].axes[2].size",
                "at least 1",
            ),
            (
                "/inputs/0/axes/2/size",
                json!(-3),
                "inputs[0].axes[2].size",
                "found -3",
            ),
            (
                "/inputs/0/axes/2/size",
                json!(1e9),
                "inputs[0].axes[2].size",
                "whole number",
            ),
            (
                "/inputs/0/axes/2/size",
                json!({"min": 1, "max": 9}),
                "inputs[0].axes[2].size",
                "only after the network has run",
            ),
            (
                "/inputs/0/axes/2/size",
                json!({"min": 0, "step": 1}),
                "inputs[0].axes[2].size.min",
                "at least 1",
            ),
            (
                "/inputs/0/axes/2/scale",
                json!(0),
                "inputs[0].axes[2].scale",
                "above 0",
            ),
            (
                "/inputs/0/axes/2",
                like("raw", "y", 0),
                "inputs[0].axes[2].size",
                "the other side of this input",
            ),
            (
                "/inputs/0/axes/2",
                like("out", "x", 0),
                "inputs[0].axes[2].size",
                "the other side of this input",
            ),
            ("/outputs", json!([]), "outputs", "0 outputs"),
            (
                "/outputs/0/id",
                json!("raw"),
                "outputs",
                "two tensors are called `raw`",
            ),
            (
                "/outputs/0/axes/2",
                like("raw", "z", 0),
                "outputs[0].axes[2].size",
                "which is not there",
            ),
            (
                "/outputs/0/axes/2",
                like("row", "y", 0),
                "outputs[0].axes[2].size",
                "which is not there",
            ),
            (
                "/outputs/0/axes/2",
                like("raw", "channel", 0),
                "outputs[0].axes[2].size",
                "no space axis",
            ),
            (
                "/outputs/0/axes/2",
                like("raw", "x", 0),
                "outputs[0].axes[2].size",
                "says nothing of `y`",
            ),
            (
                "/outputs/0/axes/2",
                like("raw", "y", 2),
                "outputs[0].axes[2].size",
                "2 pixels longer",
            ),
            (
                "/outputs/0/axes/2",
                like("raw", "y", -3),
                "outputs[0].axes[2].size",
                "-3 pixels longer",
            ),
            (
                "/outputs/0/axes/2/size",
                json!(16),
                "outputs[0].axes[2].size",
                "cannot be put together from tiles",
            ),
            (
                "/outputs/0/axes/2/scale",
                json!(0.777),
                "outputs[0].axes[2].size",
                "expected a fraction",
            ),
            (
                "/outputs/0/axes/2/unit",
                json!("meter"),
                "outputs[0].axes[2].size",
                "of the same unit",
            ),
            ("/weights", json!({}), "weights", "no weights"),
            (
                "/weights",
                json!({"pytorch_state_dict": {}, "keras_hdf5": {}}),
                "weights",
                "keras_hdf5, pytorch_state_dict only",
            ),
            (
                "/weights/onnx/source",
                Value::Null,
                "weights.onnx.source",
                "missing",
            ),
            (
                "/weights/onnx/sha256",
                json!("abc"),
                "weights.onnx.sha256",
                "64 hexadecimal digits",
            ),
        ];
        for (place, value, path, message) in cases {
            let told = refused(&[(place, value)]);
            let is_told = told.lines().any(|line| {
                line.split_once(": ")
                    .is_some_and(|(at, what)| at == path && what.contains(message))
            });
            assert!(
                is_told,
                "{place}: expected `{path}: …{message}…`, found\n{told}"
            );
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let told = refused(&[
            (
                "/inputs/0/preprocessing",
                json!([{"id": "blur"}, {"id": "sigmoid"}, {"id": "sharpen"}]),
            ),
            ("/weights", json!({})),
        ]);
        assert_eq!(told.lines().count(), 3, "{told}");
        assert!(
            told.contains("inputs[0].preprocessing[2]: no operation `sharpen` is known"),
            "{told}"
        );
    }

    #[test]
    fn what_is_only_printed_is_no_reason_to_refuse() {
        let description = good(&[
            ("/name", Value::Null),
            ("/authors", json!([{"name": 3}, {}, {"name": "C"}])),
            ("/cite", json!("a paper")),
            ("/license", json!({"source": "license.txt"})),
        ]);
        assert_eq!(
            (description.authors, description.cite),
            (vec!["C".to_owned()], vec![])
        );
        assert_eq!(description.license.as_deref(), Some("license.txt"));
    }

    #[test]
    fn texts_that_are_no_description_are_refused() {
        for text in ["", "[]", "3", "a: [", "format_version: [0, 5]", "\u{0}"] {
            assert!(Description::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(parse(&json!({"format_version": "0.5.0"})).is_err());
    }
}
