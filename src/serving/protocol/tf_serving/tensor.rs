//! Tensors as TensorFlow's messages carry them: as bytes, or as a list in the field of their type.

use half::{bf16, f16};
use ndarray::ArrayD;

use super::data_type::{from_wire, to_wire};
use super::proto::tensorflow::tensor_shape_proto::Dim;
use super::proto::tensorflow::{DataType as WireType, TensorProto, TensorShapeProto};
use crate::serving::data_type::DataType;
use crate::serving::tensor::{Elements, Tensor, TensorError, no_numbers};

/// The message with these elements, as bytes.
///
/// # Errors
/// Those of [`Tensor::pack`].
pub(in crate::serving) fn encode(
    array: ArrayD<f32>,
    dtype: DataType,
) -> Result<TensorProto, TensorError> {
    Ok(to_proto(Tensor::pack(array, dtype)?))
}

/// The elements of a message of any numeric type as float32, whichever field holds them.
///
/// # Errors
/// [`TensorError`] if the type has no numbers, or if shape and elements do not fit each other.
pub(in crate::serving) fn decode(proto: TensorProto) -> Result<ArrayD<f32>, TensorError> {
    from_proto(proto)?.unpack()
}

/// The message of a tensor.
pub(in crate::serving) fn to_proto(tensor: Tensor) -> TensorProto {
    let message = TensorProto {
        dtype: to_wire(tensor.dtype).into(),
        tensor_shape: Some(wire_shape(&tensor.shape)),
        ..TensorProto::default()
    };
    match tensor.elements {
        Elements::Packed(tensor_content) => TensorProto {
            tensor_content,
            ..message
        },
        Elements::Listed(float_val) => TensorProto {
            float_val,
            ..message
        },
    }
}

/// The tensor of a message. Without a shape it is a single number.
///
/// # Errors
/// [`TensorError`] for a type without numbers and for a shape of unknown rank.
pub(in crate::serving) fn from_proto(proto: TensorProto) -> Result<Tensor, TensorError> {
    let dtype = dtype_of(&proto)?;
    let shape = match &proto.tensor_shape {
        Some(shape) => sizes(shape).ok_or(TensorError::Shape(Vec::new()))?,
        None => Vec::new(),
    };
    let elements = if proto.tensor_content.is_empty() {
        Elements::Listed(listed(proto, dtype)?)
    } else {
        Elements::Packed(proto.tensor_content)
    };
    Ok(Tensor {
        dtype,
        shape,
        elements,
    })
}

/// Sizes as messages carry them.
pub(in crate::serving) fn wire_shape(sizes: &[i64]) -> TensorShapeProto {
    let dim = |size: &i64| Dim {
        size: *size,
        name: String::new(),
    };
    TensorShapeProto {
        dim: sizes.iter().map(dim).collect(),
        unknown_rank: false,
    }
}

/// The sizes, unless even their number is free.
pub(super) fn sizes(shape: &TensorShapeProto) -> Option<Vec<i64>> {
    (!shape.unknown_rank).then(|| shape.dim.iter().map(|dim| dim.size).collect())
}

/// The type of a message's elements.
fn dtype_of(proto: &TensorProto) -> Result<DataType, TensorError> {
    let wire = WireType::try_from(proto.dtype)
        .map_err(|_| TensorError::Type(format!("number {}", proto.dtype)))?;
    from_wire(wire).ok_or_else(|| TensorError::Type(wire.as_str_name().to_owned()))
}

/// The elements from the list that belongs to the type, such as `float_val`.
fn listed(proto: TensorProto, dtype: DataType) -> Result<Vec<f32>, TensorError> {
    use DataType as T;
    Ok(match dtype {
        T::F32 => proto.float_val,
        T::F64 => cast(&proto.double_val, |x| x as f32),
        T::F16 => cast(&proto.half_val, |x| f16::from_bits(x as u16).to_f32()),
        T::Bf16 => cast(&proto.half_val, |x| bf16::from_bits(x as u16).to_f32()),
        T::I8 | T::I16 | T::I32 | T::U8 | T::U16 => cast(&proto.int_val, |x| x as f32),
        T::I64 => cast(&proto.int64_val, |x| x as f32),
        T::U32 => cast(&proto.uint32_val, |x| x as f32),
        T::U64 => cast(&proto.uint64_val, |x| x as f32),
        T::Bool => cast(&proto.bool_val, |x| f32::from(u8::from(x))),
        T::Other(_) => return Err(no_numbers(dtype)),
    })
}

fn cast<T: Copy>(values: &[T], number_of: impl Fn(T) -> f32) -> Vec<f32> {
    values.iter().map(|value| number_of(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    fn message(dtype: WireType, sizes: &[i64]) -> TensorProto {
        TensorProto {
            dtype: dtype.into(),
            tensor_shape: Some(wire_shape(sizes)),
            ..TensorProto::default()
        }
    }

    fn values(message: TensorProto) -> Vec<f32> {
        let array = decode(message).expect("a good tensor");
        array.into_raw_vec_and_offset().0
    }

    #[test]
    fn types_without_numbers_and_unknown_ones_are_errors() {
        for (dtype, word) in [
            (999, "number 999"),
            (WireType::DtInvalid.into(), "DT_INVALID"),
            (WireType::DtString.into(), "DT_STRING"),
            (WireType::DtComplex64.into(), "DT_COMPLEX64"),
        ] {
            let error = decode(TensorProto {
                dtype,
                ..TensorProto::default()
            });
            assert_eq!(error, Err(TensorError::Type(word.to_owned())));
        }
    }

    #[test]
    fn every_list_is_read() {
        let of = |dtype| message(dtype, &[2]);
        let mut lists = vec![
            TensorProto {
                float_val: vec![1.0, 2.0],
                ..of(WireType::DtFloat)
            },
            TensorProto {
                double_val: vec![1.0, 2.0],
                ..of(WireType::DtDouble)
            },
            TensorProto {
                half_val: vec![0x3c00, 0x4000],
                ..of(WireType::DtHalf)
            },
            TensorProto {
                half_val: vec![0x3f80, 0x4000],
                ..of(WireType::DtBfloat16)
            },
            TensorProto {
                int64_val: vec![1, 2],
                ..of(WireType::DtInt64)
            },
            TensorProto {
                uint32_val: vec![1, 2],
                ..of(WireType::DtUint32)
            },
            TensorProto {
                uint64_val: vec![1, 2],
                ..of(WireType::DtUint64)
            },
        ];
        lists.extend(
            [
                WireType::DtInt8,
                WireType::DtInt16,
                WireType::DtInt32,
                WireType::DtUint8,
                WireType::DtUint16,
            ]
            .map(|dtype| TensorProto {
                int_val: vec![1, 2],
                ..of(dtype)
            }),
        );
        for list in lists {
            let dtype = list.dtype();
            assert_eq!(values(list), [1.0, 2.0], "{dtype:?}");
        }
        let truths = TensorProto {
            bool_val: vec![true, false],
            ..of(WireType::DtBool)
        };
        assert_eq!(values(truths), [1.0, 0.0]);
    }

    #[test]
    fn a_single_number_stays_a_tensor() {
        let one = TensorProto {
            float_val: vec![0.5],
            ..message(WireType::DtFloat, &[1])
        };
        assert_eq!(decode(one.clone()).expect("good").shape(), [1]);
        let scalar = TensorProto {
            tensor_shape: None,
            ..one
        };
        assert_eq!(decode(scalar).expect("good").ndim(), 0);
    }

    #[test]
    fn a_shape_of_unknown_rank_is_an_error() {
        let shape = TensorShapeProto {
            unknown_rank: true,
            ..TensorShapeProto::default()
        };
        let unknown = TensorProto {
            tensor_shape: Some(shape),
            ..message(WireType::DtFloat, &[])
        };
        assert!(matches!(decode(unknown), Err(TensorError::Shape(_))));
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            dtype in 0..34,
            size in -2_i64..9,
        ) {
            if let Ok(message) = TensorProto::decode(bytes.as_slice()) {
                let _ = decode(message);
            }
            let of = |sizes: &[i64]| TensorProto {
                dtype,
                ..message(WireType::DtFloat, sizes)
            };
            let _ = decode(TensorProto {
                tensor_content: bytes.clone().into(),
                ..of(&[size, 2])
            });
            let int_val = bytes.iter().map(|x| i32::from(*x)).collect();
            let _ = decode(TensorProto { int_val, ..of(&[size]) });
        }
    }
}
