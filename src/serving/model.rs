//! What is known about a model: its name, what it takes, and how much of it at a time.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::str::FromStr;

use prost::Message;
use serde::{Deserialize, Deserializer, Serialize};

use super::proto::tensorflow::serving::{GetModelMetadataResponse, SignatureDefMap};
use super::proto::tensorflow::{DataType, TensorInfo, TensorShapeProto};

/// The only fact about models that servers give.
pub(super) const SIGNATURE_DEF: &str = "signature_def";

/// The way to call a model that servers use when none is named.
pub(super) const DEFAULT_SIGNATURE: &str = "serving_default";

/// A model and its version, `name:version` in text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId {
    /// Name that the server knows the model by.
    pub name: String,
    /// Version; 0 is a version like any other.
    pub version: i64,
}

impl ModelId {
    /// The model of this name and version.
    pub fn new(name: impl Into<String>, version: i64) -> Self {
        Self {
            name: name.into(),
            version,
        }
    }
}

impl Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

/// A text that names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected name:version such as `NuclearSegmentation:6`, found `{0}`")]
pub struct ParseModelIdError(String);

impl FromStr for ModelId {
    type Err = ParseModelIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseModelIdError(text.to_owned());
        let (name, version) = text.split_once(':').ok_or_else(wrong)?;
        let (name, version) = (name.trim(), version.trim());
        let version = version
            .parse()
            .ok()
            .filter(|version| *version >= 0)
            .ok_or_else(wrong)?;
        if name.is_empty() {
            Err(wrong())
        } else {
            Ok(Self::new(name, version))
        }
    }
}

/// One tensor that a model takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Name that requests use.
    pub name: String,
    /// Name inside the model's graph.
    pub graph_name: String,
    /// Type of the elements.
    pub dtype: DataType,
    /// Sizes, first the batch, last the channels; −1 is free.
    pub shape: Vec<i64>,
}

impl Input {
    /// A float32 tensor of this shape, with the graph name that exported models usually have.
    pub fn float(name: &str, shape: &[i64]) -> Self {
        let graph_name = format!("{DEFAULT_SIGNATURE}_{name}:0");
        Self {
            name: name.to_owned(),
            graph_name,
            dtype: DataType::DtFloat,
            shape: shape.to_vec(),
        }
    }

    /// What this input multiplies the size of one batch entry by: its spatial sizes in units of `min_model_size`, times
    /// its channels. Free sizes do not count.
    fn ratio(&self, min_model_size: usize) -> f64 {
        let [_, spatial @ .., channels] = self.shape.as_slice() else {
            return 1.0;
        };
        let sides = spatial
            .iter()
            .filter(|size| **size > 0)
            .map(|size| *size as f64 / min_model_size as f64);
        sides.product::<f64>() * *channels as f64
    }
}

/// What a model takes, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The inputs in byte order of their names.
    pub inputs: Vec<Input>,
}

/// Why an answer or a cached text tells nothing about a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A part is missing.
    #[error("the metadata has no {0}")]
    Missing(String),
    /// The packed signatures cannot be read.
    #[error("the signatures in the metadata cannot be read")]
    Wire(#[from] prost::DecodeError),
    /// The cached text cannot be read.
    #[error("the cached metadata cannot be read")]
    Json(#[from] serde_json::Error),
}

impl Signature {
    /// The signature of these inputs, sorted.
    pub fn new(mut inputs: Vec<Input>) -> Self {
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Self { inputs }
    }

    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// Reads a server's answer.
    ///
    /// # Errors
    /// [`SignatureError`] if the answer holds no signature `serving_default` or an input without type or shape.
    pub(super) fn from_response(
        response: &GetModelMetadataResponse,
    ) -> Result<Self, SignatureError> {
        let missing = |what: &str| SignatureError::Missing(what.to_owned());
        let fact = response
            .metadata
            .get(SIGNATURE_DEF)
            .ok_or_else(|| missing("`signature_def`"))?;
        let mut signatures = SignatureDefMap::decode(fact.value.as_slice())?.signature_def;
        let chosen = signatures
            .remove(DEFAULT_SIGNATURE)
            .ok_or_else(|| missing("signature `serving_default`"))?;
        let inputs = chosen
            .inputs
            .into_iter()
            .map(|(name, info)| Input::from_info(name, info));
        Ok(Self::new(inputs.collect::<Result<_, _>>()?))
    }

    /// Reads the text that consumers share: the protobuf-JSON form of the map of inputs.
    ///
    /// # Errors
    /// [`SignatureError`] if it is no such text.
    pub fn from_json(text: &str) -> Result<Self, SignatureError> {
        let inputs: BTreeMap<String, InfoJson> = serde_json::from_str(text)?;
        let inputs = inputs.into_iter().map(|(name, info)| info.into_input(name));
        Ok(Self::new(inputs.collect::<Result<_, _>>()?))
    }

    /// The text that consumers share, with sizes as strings:
    /// `{"image":{"name":"serving_default_image:0","dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"-1"}]}}}`.
    pub fn to_json(&self) -> String {
        let inputs: BTreeMap<&str, _> = self
            .inputs
            .iter()
            .map(|input| (input.name.as_str(), InfoJson::from(input)))
            .collect();
        serde_json::to_string(&inputs).expect("strings and numbers always have a JSON form")
    }

    /// How many batch entries go into one request, at least 1: `max_batch_size` entries of `min_model_size` pixels a
    /// side and one channel, fewer of larger ones.
    ///
    /// ```
    /// # use redis_consumer::serving::{Input, Signature};
    /// let signature = Signature::new(vec![Input::float("image", &[-1, 256, 256, 1])]);
    /// assert_eq!(signature.batch_size(64, 128), 16);
    /// ```
    pub fn batch_size(&self, max_batch_size: usize, min_model_size: usize) -> usize {
        self.whole_batch_size(max_batch_size, min_model_size).max(1)
    }

    /// [`Self::batch_size`] before it is raised to 1: 0 for a model too large for the limit.
    fn whole_batch_size(&self, max_batch_size: usize, min_model_size: usize) -> usize {
        let ratio: f64 = self
            .inputs
            .iter()
            .map(|input| input.ratio(min_model_size))
            .product();
        floor_quotient(max_batch_size as f64, ratio.abs()) as usize
    }
}

/// The floor of the exact quotient, where rounding the quotient first might step up to the next whole number.
fn floor_quotient(dividend: f64, divisor: f64) -> f64 {
    ((dividend - dividend % divisor) / divisor).round()
}

impl Input {
    fn from_info(name: String, info: TensorInfo) -> Result<Self, SignatureError> {
        let dtype = info.dtype();
        let shape = info
            .tensor_shape
            .ok_or_else(|| SignatureError::Missing(format!("shape of input `{name}`")))?;
        Self::checked(name, info.name, dtype, sizes(&shape))
    }

    fn checked(
        name: String,
        graph_name: String,
        dtype: DataType,
        shape: Option<Vec<i64>>,
    ) -> Result<Self, SignatureError> {
        if dtype == DataType::DtInvalid {
            return Err(SignatureError::Missing(format!("type of input `{name}`")));
        }
        let shape =
            shape.ok_or_else(|| SignatureError::Missing(format!("shape of input `{name}`")))?;
        Ok(Self {
            name,
            graph_name,
            dtype,
            shape,
        })
    }

    /// The form that servers send.
    pub(super) fn to_info(&self) -> TensorInfo {
        let tensor_shape = Some(super::tensor::wire_shape(self.shape.iter().copied()));
        TensorInfo {
            name: self.graph_name.clone(),
            dtype: self.dtype.into(),
            tensor_shape,
        }
    }
}

/// The sizes, unless even their number is free.
fn sizes(shape: &TensorShapeProto) -> Option<Vec<i64>> {
    (!shape.unknown_rank).then(|| shape.dim.iter().map(|dim| dim.size).collect())
}

/// The map of inputs as servers send it.
pub(super) fn wire_infos(inputs: &[Input]) -> HashMap<String, TensorInfo> {
    inputs
        .iter()
        .map(|input| (input.name.clone(), input.to_info()))
        .collect()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InfoJson {
    #[serde(default)]
    name: String,
    dtype: DataTypeJson,
    tensor_shape: ShapeJson,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShapeJson {
    #[serde(default)]
    dim: Vec<DimJson>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unknown_rank: bool,
}

#[derive(Serialize, Deserialize)]
struct DimJson {
    #[serde(default, deserialize_with = "size_from_json")]
    size: String,
}

/// An enumeration in protobuf-JSON: readers take the name and the number.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum DataTypeJson {
    Name(String),
    Number(i32),
}

/// A 64-bit number in protobuf-JSON: readers take strings and numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum SizeJson {
    Text(String),
    Number(i64),
}

fn size_from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match SizeJson::deserialize(deserializer)? {
        SizeJson::Text(text) => text,
        SizeJson::Number(number) => number.to_string(),
    })
}

impl InfoJson {
    fn into_input(self, name: String) -> Result<Input, SignatureError> {
        let dtype = match self.dtype {
            DataTypeJson::Name(word) => DataType::from_str_name(&word),
            DataTypeJson::Number(number) => DataType::try_from(number).ok(),
        };
        let sizes = self.tensor_shape.dim.iter().map(|dim| dim.number());
        let shape = if self.tensor_shape.unknown_rank {
            None
        } else {
            sizes.collect()
        };
        Input::checked(name, self.name, dtype.unwrap_or(DataType::DtInvalid), shape)
    }
}

impl DimJson {
    /// The size; protobuf-JSON leaves a zero out.
    fn number(&self) -> Option<i64> {
        if self.size.is_empty() {
            Some(0)
        } else {
            self.size.parse().ok()
        }
    }
}

impl From<&Input> for InfoJson {
    fn from(input: &Input) -> Self {
        let dim = input
            .shape
            .iter()
            .map(|size| DimJson {
                size: size.to_string(),
            })
            .collect();
        Self {
            name: input.graph_name.clone(),
            dtype: DataTypeJson::Name(input.dtype.as_str_name().to_owned()),
            tensor_shape: ShapeJson {
                dim,
                unknown_rank: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_shape(shape: &[i64]) -> Signature {
        Signature::new(vec![Input::float("image", shape)])
    }

    #[test]
    fn a_model_id_reads_what_it_writes() {
        let model: ModelId = "NuclearSegmentation:6".parse().expect("well formed");
        assert_eq!(
            (model.name.as_str(), model.version),
            ("NuclearSegmentation", 6)
        );
        assert_eq!(model.to_string().parse(), Ok(model));
        assert_eq!(
            "PhaseCytoSegmentation:0".parse(),
            Ok(ModelId::new("PhaseCytoSegmentation", 0))
        );
    }

    #[test]
    fn what_is_no_model_id_is_refused_with_an_example() {
        for text in [
            "",
            "NuclearSegmentation",
            "a:b",
            ":1",
            "a:1:2",
            "a:",
            "a:-1",
            "a:99999999999999999999",
        ] {
            let error = text.parse::<ModelId>().expect_err(text).to_string();
            assert!(
                error.contains("name:version such as `NuclearSegmentation:6`"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_cache_text_has_sizes_as_strings_and_sorted_names() {
        let signature = Signature::new(vec![Input::float("b", &[-1, 2]), Input::float("a", &[-1])]);
        let expected = concat!(
            r#"{"a":{"name":"serving_default_a:0","dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"-1"}]}},"#,
            r#""b":{"name":"serving_default_b:0","dtype":"DT_FLOAT","tensorShape":{"dim":[{"size":"-1"},{"size":"2"}]}}}"#,
        );
        assert_eq!(signature.to_json(), expected);
        assert_eq!(
            Signature::from_json(expected).expect("our own text"),
            signature
        );
    }

    #[test]
    fn every_form_that_protobuf_json_allows_is_read() {
        let text = r#"{"x": {"dtype": 19, "tensorShape": {"dim": [{"size": -1, "name": "n"}, {}, {"size": "3"}]}}}"#;
        let signature = Signature::from_json(text).expect("legal protobuf-JSON");
        let input = signature.input("x").expect("the only input");
        assert_eq!(
            (input.dtype, input.shape.as_slice()),
            (DataType::DtHalf, [-1, 0, 3].as_slice())
        );
    }

    #[test]
    fn a_cached_text_without_type_or_shape_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"x": {"dtype": "DT_FLOAT"}}"#,
            r#"{"x": {"tensorShape": {"dim": []}}}"#,
            r#"{"x": {"dtype": "DT_FLOTE", "tensorShape": {"dim": []}}}"#,
            r#"{"x": {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "many"}]}}}"#,
            r#"{"x": {"dtype": "DT_FLOAT", "tensorShape": {"unknownRank": true}}}"#,
        ] {
            assert!(Signature::from_json(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_without_the_default_signature_says_what_is_missing() {
        let error =
            Signature::from_response(&GetModelMetadataResponse::default()).expect_err("empty");
        assert_eq!(error.to_string(), "the metadata has no `signature_def`");
    }

    #[test]
    fn batch_sizes_equal_the_documented_table() {
        for (shape, max_batch_size, whole) in [
            (&[-1, 128, 128, 1][..], 64, 64),
            (&[-1, 256, 256, 1], 64, 16),
            (&[-1, 512, 512, 1], 64, 4),
            (&[-1, 256, 256, 2], 64, 8),
            (&[-1, 256, 256, 2], 8, 1),
            (&[-1, 512, 512, 1], 8, 0),
            (&[-1, -1, -1, 1], 64, 64),
            (&[-1, 64, 64, 1], 64, 256),
            (&[-1, 2048, 2048, 1], 64, 0),
            (&[-1, 216, 216, 1], 64, 22),
            (&[-1, 300, 200, 3], 64, 5),
            (&[-1, 5, 256, 256, 1], 64, 409),
            (&[-1, 256, 256, -1], 64, 16),
            (&[-1], 64, 64),
            (&[], 64, 64),
        ] {
            let signature = of_shape(shape);
            assert_eq!(
                signature.whole_batch_size(max_batch_size, 128),
                whole,
                "{shape:?}"
            );
            assert_eq!(
                signature.batch_size(max_batch_size, 128),
                whole.max(1),
                "{shape:?}"
            );
        }
    }

    #[test]
    fn all_inputs_count_for_the_batch_size() {
        let two = Signature::new(vec![
            Input::float("a", &[-1, 256, 256, 1]),
            Input::float("b", &[-1, 128, 256, 2]),
        ]);
        assert_eq!(two.batch_size(64, 128), 4);
    }

    #[test]
    fn a_model_without_channels_goes_one_at_a_time() {
        assert_eq!(of_shape(&[-1, 256, 256, 0]).batch_size(64, 128), 1);
    }
}
