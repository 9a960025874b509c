//! The text by which consumers share what a model takes: the map of its inputs in the JSON form of protocol buffers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::data_type::DataType;
use super::model::{Input, Signature, SignatureError};
use super::protocol::tf_serving::data_type::{from_wire, to_wire};
use super::protocol::tf_serving::proto::tensorflow::DataType as WireType;

impl Signature {
    /// Reads the text that consumers share: the protobuf-JSON form of the map of inputs.
    ///
    /// # Errors
    /// [`SignatureError`] if it is not such a text.
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
        let dtype = self.dtype.read();
        let shape = self.tensor_shape.sizes();
        Ok(Input {
            dtype: dtype.ok_or_else(|| SignatureError::no_type(&name))?,
            shape: shape.ok_or_else(|| SignatureError::no_shape(&name))?,
            graph_name: self.name,
            name,
        })
    }
}

impl DataTypeJson {
    fn read(&self) -> Option<DataType> {
        from_wire(match self {
            Self::Name(word) => WireType::from_str_name(word)?,
            Self::Number(number) => WireType::try_from(*number).ok()?,
        })
    }
}

impl ShapeJson {
    /// The sizes, unless even their number is free.
    fn sizes(&self) -> Option<Vec<i64>> {
        if self.unknown_rank {
            return None;
        }
        self.dim.iter().map(DimJson::number).collect()
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
        let dim = |size: &i64| DimJson {
            size: size.to_string(),
        };
        Self {
            name: input.graph_name.clone(),
            dtype: DataTypeJson::Name(to_wire(input.dtype).as_str_name().to_owned()),
            tensor_shape: ShapeJson {
                dim: input.shape.iter().map(dim).collect(),
                unknown_rank: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (DataType::F16, [-1, 0, 3].as_slice())
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
}
