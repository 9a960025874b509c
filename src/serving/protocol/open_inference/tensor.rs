//! Tensors in answers of the protocol: raw, or as numbers in the field of their type.

use std::iter;

use super::data_type::from_wire;
use super::proto::{InferTensorContents, ModelInferResponse};
use crate::serving::data_type::DataType;
use crate::serving::failure::Failure;
use crate::serving::tensor::{Elements, Tensor, TensorError, no_numbers};

/// The outputs of an answer: raw where it has raw contents, or else typed. MLServer answers as it was asked, Triton always
/// raw, and some servers put into one answer what is raw and what is typed.
///
/// # Errors
/// [`Failure::BadTensor`] for a type without numbers.
pub(in crate::serving) fn outputs(
    response: ModelInferResponse,
) -> Result<Vec<(String, Tensor)>, Failure> {
    let raw = response.raw_output_contents.into_iter().map(Some);
    let mut raw = raw.chain(iter::repeat(None));
    let mut tensors = Vec::with_capacity(response.outputs.len());
    for output in response.outputs {
        let name = output.name;
        let elements = match (output.contents, raw.next().flatten()) {
            (_, Some(bytes)) => dtype(&output.datatype).map(|_| Elements::Packed(bytes)),
            (contents, None) => dtype(&output.datatype)
                .and_then(|dtype| listed(contents.unwrap_or_default(), dtype))
                .and_then(|values| complete(values, &output.shape))
                .map(Elements::Listed),
        };
        match dtype(&output.datatype).and_then(|dtype| Ok((dtype, elements?))) {
            Ok((dtype, elements)) => tensors.push((
                name,
                Tensor {
                    dtype,
                    shape: output.shape,
                    elements,
                },
            )),
            Err(source) => return Err(Failure::BadTensor { name, source }),
        }
    }
    Ok(tensors)
}

fn dtype(word: &str) -> Result<DataType, TensorError> {
    from_wire(word).ok_or_else(|| TensorError::Type(word.to_owned()))
}

/// The numbers from the field that belongs to the type. Half floats have none.
fn listed(contents: InferTensorContents, dtype: DataType) -> Result<Vec<f32>, TensorError> {
    use DataType as T;
    Ok(match dtype {
        T::F32 => contents.fp32_contents,
        T::F64 => cast(&contents.fp64_contents, |x| x as f32),
        T::I8 | T::I16 | T::I32 => cast(&contents.int_contents, |x| x as f32),
        T::I64 => cast(&contents.int64_contents, |x| x as f32),
        T::U8 | T::U16 | T::U32 => cast(&contents.uint_contents, |x| x as f32),
        T::U64 => cast(&contents.uint64_contents, |x| x as f32),
        T::Bool => cast(&contents.bool_contents, |x| f32::from(u8::from(x))),
        T::F16 | T::Bf16 | T::Other(_) => return Err(no_numbers(dtype)),
    })
}

/// The numbers, if none is missing: in this protocol the last does not stand for those after it.
fn complete(values: Vec<f32>, shape: &[i64]) -> Result<Vec<f32>, TensorError> {
    let sizes = shape.iter().map(|size| usize::try_from(*size).ok());
    let mut sizes = sizes;
    let count = sizes.try_fold(1_usize, |count, size| count.checked_mul(size?));
    if count == Some(values.len()) {
        return Ok(values);
    }
    let shape = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0));
    Err(TensorError::Count {
        shape: shape.collect(),
        found: values.len().to_string(),
    })
}

fn cast<T: Copy>(values: &[T], number_of: impl Fn(T) -> f32) -> Vec<f32> {
    values.iter().map(|value| number_of(*value)).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    use super::super::proto::model_infer_response::InferOutputTensor;
    use super::*;

    fn output(datatype: &str, shape: &[i64], contents: InferTensorContents) -> InferOutputTensor {
        InferOutputTensor {
            name: "y".to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
            contents: Some(contents),
        }
    }

    fn values(response: ModelInferResponse) -> Result<Vec<f32>, String> {
        let mut outputs = outputs(response).map_err(|failure| format!("{failure:?}"))?;
        let array = outputs.remove(0).1.unpack();
        let array = array.map_err(|error| error.to_string())?;
        Ok(array.into_raw_vec_and_offset().0)
    }

    #[test]
    fn every_field_is_read() {
        let all = InferTensorContents {
            bool_contents: vec![true, false],
            int_contents: vec![-1, 2],
            int64_contents: vec![-3, 4],
            uint_contents: vec![5, 6],
            uint64_contents: vec![7, 8],
            fp32_contents: vec![0.5, 1.5],
            fp64_contents: vec![2.5, 3.5],
        };
        for (datatype, expected) in [
            ("BOOL", [1.0, 0.0]),
            ("INT8", [-1.0, 2.0]),
            ("INT16", [-1.0, 2.0]),
            ("INT32", [-1.0, 2.0]),
            ("INT64", [-3.0, 4.0]),
            ("UINT8", [5.0, 6.0]),
            ("UINT16", [5.0, 6.0]),
            ("UINT32", [5.0, 6.0]),
            ("UINT64", [7.0, 8.0]),
            ("FP32", [0.5, 1.5]),
            ("FP64", [2.5, 3.5]),
        ] {
            let response = ModelInferResponse {
                outputs: vec![output(datatype, &[2], all.clone())],
                ..ModelInferResponse::default()
            };
            assert_eq!(values(response), Ok(expected.to_vec()), "{datatype}");
        }
    }

    #[test]
    fn raw_contents_go_first() {
        let response = ModelInferResponse {
            outputs: vec![output("FP16", &[1, 2], InferTensorContents::default())],
            raw_output_contents: vec![Bytes::from_static(&[0x00, 0x3c, 0x00, 0x40])],
            ..ModelInferResponse::default()
        };
        assert_eq!(values(response), Ok(vec![1.0, 2.0]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let one = InferTensorContents {
            fp32_contents: vec![1.0],
            ..InferTensorContents::default()
        };
        for (datatype, shape, word) in [
            ("BYTES", &[1][..], "BYTES"),
            ("BF16", &[1], "BF16"),
            ("FP16", &[1], "F16"),
            ("float32", &[1], "float32"),
            ("FP32", &[2], "Count"),
            ("FP32", &[-1], "Count"),
        ] {
            let response = ModelInferResponse {
                outputs: vec![output(datatype, shape, one.clone())],
                ..ModelInferResponse::default()
            };
            let error = values(response).expect_err(datatype);
            assert!(error.contains(word), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in -2_i64..9) {
            if let Ok(response) = ModelInferResponse::decode(bytes.as_slice()) {
                let _ = values_of_all(response);
            }
            let response = ModelInferResponse {
                outputs: vec![output("FP32", &[size, 2], InferTensorContents::default())],
                raw_output_contents: vec![bytes.into()],
                ..ModelInferResponse::default()
            };
            let _ = values_of_all(response);
        }
    }

    fn values_of_all(response: ModelInferResponse) -> Option<usize> {
        let tensors = outputs(response).ok()?;
        Some(
            tensors
                .into_iter()
                .filter_map(|(_, tensor)| tensor.unpack().ok())
                .count(),
        )
    }
}
