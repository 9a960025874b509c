//! Descriptions for tests.

use serde_json::{Value, json};

use crate::description::Description;
use crate::problem::DescriptionError;

/// A network of two channels and one output, both with the axes batch, channel, y, x.
pub(crate) fn plain() -> Value {
    json!({
        "format_version": "0.5.12",
        "type": "model",
        "name": "Plain network",
        "inputs": [{"id": "raw", "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": ["nuclei", "cells"]},
            {"type": "space", "id": "y", "size": {"min": 16, "step": 8}},
            {"type": "space", "id": "x", "size": {"min": 16, "step": 8}},
        ]}],
        "outputs": [{"id": "out", "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": ["inner", "outer"]},
            {"type": "space", "id": "y", "size": {"tensor_id": "raw", "axis_id": "y"}},
            {"type": "space", "id": "x", "size": {"tensor_id": "raw", "axis_id": "x"}},
        ]}],
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": 17}},
    })
}

/// The same with other values at some places, such as `/inputs/0/id`.
pub(crate) fn with(changes: &[(&str, Value)]) -> Value {
    let mut description = plain();
    for (place, value) in changes {
        let (parent, name) = place.rsplit_once('/').expect("a place");
        let parent = description.pointer_mut(parent).expect("the place is there");
        match parent {
            Value::Array(items) => items[name.parse::<usize>().expect("a number")] = value.clone(),
            parent => parent[name] = value.clone(),
        }
    }
    description
}

pub(crate) fn parse(description: &Value) -> Result<Description, DescriptionError> {
    Description::parse(description.to_string().as_bytes())
}

/// The description with changes, which must be good.
pub(crate) fn good(changes: &[(&str, Value)]) -> Description {
    parse(&with(changes)).unwrap_or_else(|error| panic!("{error}"))
}

/// What is told of a description with changes, which must be refused.
pub(crate) fn refused(changes: &[(&str, Value)]) -> String {
    match parse(&with(changes)) {
        Ok(_) => panic!("{changes:?} should be refused"),
        Err(error) => error.to_string(),
    }
}
