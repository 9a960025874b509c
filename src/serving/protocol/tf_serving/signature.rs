//! What a model takes, as TensorFlow Serving says it.

use std::collections::HashMap;

use prost::Message;

use super::data_type::{from_wire, to_wire};
use super::proto::tensorflow::TensorInfo;
use super::proto::tensorflow::serving::{GetModelMetadataResponse, SignatureDefMap};
use super::tensor::{sizes, wire_shape};
use crate::serving::model::{DEFAULT_SIGNATURE, Input, Signature, SignatureError};

/// The only fact about models that servers give.
pub(in crate::serving) const SIGNATURE_DEF: &str = "signature_def";

/// Reads a server's answer.
///
/// # Errors
/// [`SignatureError`] if the answer holds no signature `serving_default` or an input without type or shape.
pub(super) fn from_response(
    response: &GetModelMetadataResponse,
) -> Result<Signature, SignatureError> {
    let Some(fact) = response.metadata.get(SIGNATURE_DEF) else {
        return Err(SignatureError::missing("`signature_def`"));
    };
    let mut signatures = SignatureDefMap::decode(fact.value.as_slice())?.signature_def;
    let Some(chosen) = signatures.remove(DEFAULT_SIGNATURE) else {
        return Err(SignatureError::missing("signature `serving_default`"));
    };
    let inputs = chosen.inputs.into_iter();
    let inputs: Result<_, _> = inputs.map(|(name, info)| input(name, info)).collect();
    Ok(Signature::new(inputs?))
}

/// The map of tensors as servers send it.
pub(in crate::serving) fn wire_infos(tensors: &[Input]) -> HashMap<String, TensorInfo> {
    tensors
        .iter()
        .map(|tensor| (tensor.name.clone(), info(tensor)))
        .collect()
}

fn input(name: String, info: TensorInfo) -> Result<Input, SignatureError> {
    Ok(Input {
        dtype: from_wire(info.dtype()).ok_or_else(|| SignatureError::no_type(&name))?,
        shape: info
            .tensor_shape
            .as_ref()
            .and_then(sizes)
            .ok_or_else(|| SignatureError::no_shape(&name))?,
        graph_name: info.name,
        name,
    })
}

fn info(tensor: &Input) -> TensorInfo {
    TensorInfo {
        name: tensor.graph_name.clone(),
        dtype: to_wire(tensor.dtype).into(),
        tensor_shape: Some(wire_shape(&tensor.shape)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_the_default_signature_says_what_is_missing() {
        let error = from_response(&GetModelMetadataResponse::default()).expect_err("empty");
        assert_eq!(error.to_string(), "the metadata has no `signature_def`");
    }
}
