//! Arrays as tensors on the wire and back. Bytes from the network never make it panic.

use bytes::Bytes;
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use super::half::{bfloat16_from_f32, f32_from_bfloat16, f32_from_half, half_from_f32};
use super::proto::tensorflow::tensor_shape_proto::Dim;
use super::proto::tensorflow::{DataType, TensorProto, TensorShapeProto};

/// The largest tensor that is read: 2 GiB of float32. A few bytes on the wire can stand for any number of elements.
const MAX_ELEMENTS: usize = 1 << 29;

/// Why a tensor cannot be sent or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The type has no numbers, or none that are known here.
    #[error("elements of type {0} cannot be turned into numbers")]
    Type(String),
    /// A size is negative or there are too many elements.
    #[error("the shape {0:?} is negative or above {MAX_ELEMENTS} elements")]
    Shape(Vec<i64>),
    /// The number of elements is not the one that the shape asks for.
    #[error("{found} elements do not fill the shape {shape:?}")]
    Count {
        /// The sizes.
        shape: Vec<usize>,
        /// Elements that are there; bytes do not always make up whole elements.
        found: String,
    },
}

/// The tensor of this type with these elements, as little-endian bytes in row-major order.
///
/// Integers are cut off towards zero and saturate, NaN becomes 0; 16-bit floats are rounded to the nearest; everything
/// but 0 is true.
///
/// # Errors
/// [`TensorError::Type`] for types that are no numbers, [`TensorError::Shape`] for more elements than anyone would read.
pub fn encode(array: &ArrayViewD<'_, f32>, dtype: DataType) -> Result<TensorProto, TensorError> {
    let shape = wire_shape(array.shape().iter().map(|size| *size as i64));
    if array.len() > MAX_ELEMENTS {
        return Err(TensorError::Shape(
            shape.dim.iter().map(|dim| dim.size).collect(),
        ));
    }
    let tensor_content = content(array, dtype)?;
    Ok(TensorProto {
        dtype: dtype.into(),
        tensor_shape: Some(shape),
        tensor_content,
        ..TensorProto::default()
    })
}

/// The elements of a tensor of any numeric type as float32, whichever field holds them.
///
/// A list shorter than the shape asks for goes on with its last value, an empty one means zeros.
///
/// # Errors
/// [`TensorError`] if the type is no number, or if shape and elements do not fit each other.
pub fn decode(tensor: TensorProto) -> Result<ArrayD<f32>, TensorError> {
    let shape = array_shape(tensor.tensor_shape.as_ref())?;
    let count = shape.iter().product();
    let values = if tensor.tensor_content.is_empty() {
        fit(listed(tensor)?, count)
    } else {
        contained(&tensor.tensor_content, dtype_of(&tensor)?, count)?
    };
    let found = values
        .as_ref()
        .map_or_else(|found| found.clone(), |values| values.len().to_string());
    let array = values
        .ok()
        .and_then(|values| ArrayD::from_shape_vec(IxDyn(&shape), values).ok());
    array.ok_or(TensorError::Count { shape, found })
}

/// Sizes as messages carry them.
pub(super) fn wire_shape(sizes: impl Iterator<Item = i64>) -> TensorShapeProto {
    let dim = sizes
        .map(|size| Dim {
            size,
            name: String::new(),
        })
        .collect();
    TensorShapeProto {
        dim,
        unknown_rank: false,
    }
}

/// The type of a message's elements.
fn dtype_of(tensor: &TensorProto) -> Result<DataType, TensorError> {
    DataType::try_from(tensor.dtype)
        .map_err(|_| TensorError::Type(format!("number {}", tensor.dtype)))
}

fn no_number(dtype: DataType) -> TensorError {
    TensorError::Type(dtype.as_str_name().to_owned())
}

fn content(array: &ArrayViewD<'_, f32>, dtype: DataType) -> Result<Bytes, TensorError> {
    use DataType as T;
    Ok(match dtype {
        T::DtFloat => pack(array, f32::to_le_bytes),
        T::DtDouble => pack(array, |x| f64::from(x).to_le_bytes()),
        T::DtHalf => pack(array, |x| half_from_f32(x).to_le_bytes()),
        T::DtBfloat16 => pack(array, |x| bfloat16_from_f32(x).to_le_bytes()),
        T::DtInt8 => pack(array, |x| (x as i8).to_le_bytes()),
        T::DtInt16 => pack(array, |x| (x as i16).to_le_bytes()),
        T::DtInt32 => pack(array, |x| (x as i32).to_le_bytes()),
        T::DtInt64 => pack(array, |x| (x as i64).to_le_bytes()),
        T::DtUint8 => pack(array, |x| [x as u8]),
        T::DtUint16 => pack(array, |x| (x as u16).to_le_bytes()),
        T::DtUint32 => pack(array, |x| (x as u32).to_le_bytes()),
        T::DtUint64 => pack(array, |x| (x as u64).to_le_bytes()),
        T::DtBool => pack(array, |x| [u8::from(x != 0.0)]),
        _ => return Err(no_number(dtype)),
    })
}

/// The bytes of all elements, in one pass over the array.
fn pack<const N: usize>(array: &ArrayViewD<'_, f32>, bytes_of: impl Fn(f32) -> [u8; N]) -> Bytes {
    let mut packed = vec![0; array.len() * N];
    let places = packed.as_chunks_mut::<N>().0.iter_mut();
    match array.as_slice() {
        Some(values) => places
            .zip(values)
            .for_each(|(place, value)| *place = bytes_of(*value)),
        None => places
            .zip(array)
            .for_each(|(place, value)| *place = bytes_of(*value)),
    }
    packed.into()
}

/// The shape, if an array of it can be made.
fn array_shape(shape: Option<&TensorShapeProto>) -> Result<Vec<usize>, TensorError> {
    let Some(shape) = shape else {
        return Ok(Vec::new());
    };
    let sizes = shape.dim.iter().map(|dim| dim.size);
    let wrong = || TensorError::Shape(sizes.clone().collect());
    let array: Vec<usize> = sizes
        .clone()
        .map(usize::try_from)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    // An empty axis must not hide that the others are absurd: arrays need the product of all others to fit, too.
    let extent = array
        .iter()
        .try_fold(1_usize, |product, size| product.checked_mul((*size).max(1)));
    if shape.unknown_rank || extent.is_none_or(|extent| extent > MAX_ELEMENTS) {
        Err(wrong())
    } else {
        Ok(array)
    }
}

/// The elements in the bytes; the error is what was found instead.
fn contained(
    bytes: &[u8],
    dtype: DataType,
    count: usize,
) -> Result<Result<Vec<f32>, String>, TensorError> {
    use DataType as T;
    Ok(match dtype {
        T::DtFloat => unpack(bytes, count, f32::from_le_bytes),
        T::DtDouble => unpack(bytes, count, |x| f64::from_le_bytes(x) as f32),
        T::DtHalf => unpack(bytes, count, |x| f32_from_half(u16::from_le_bytes(x))),
        T::DtBfloat16 => unpack(bytes, count, |x| f32_from_bfloat16(u16::from_le_bytes(x))),
        T::DtInt8 => unpack(bytes, count, |x| f32::from(i8::from_le_bytes(x))),
        T::DtInt16 => unpack(bytes, count, |x| f32::from(i16::from_le_bytes(x))),
        T::DtInt32 => unpack(bytes, count, |x| i32::from_le_bytes(x) as f32),
        T::DtInt64 => unpack(bytes, count, |x| i64::from_le_bytes(x) as f32),
        T::DtUint8 => unpack(bytes, count, |[x]| f32::from(x)),
        T::DtUint16 => unpack(bytes, count, |x| f32::from(u16::from_le_bytes(x))),
        T::DtUint32 => unpack(bytes, count, |x| u32::from_le_bytes(x) as f32),
        T::DtUint64 => unpack(bytes, count, |x| u64::from_le_bytes(x) as f32),
        T::DtBool => unpack(bytes, count, |[x]| f32::from(u8::from(x != 0))),
        _ => return Err(no_number(dtype)),
    })
}

fn unpack<const N: usize>(
    bytes: &[u8],
    count: usize,
    number_of: impl Fn([u8; N]) -> f32,
) -> Result<Vec<f32>, String> {
    let (elements, rest) = bytes.as_chunks::<N>();
    if elements.len() != count || !rest.is_empty() {
        return Err(format!("{} bytes of {N}-byte", bytes.len()));
    }
    Ok(elements.iter().map(|element| number_of(*element)).collect())
}

/// The elements in the list of the type.
fn listed(tensor: TensorProto) -> Result<Vec<f32>, TensorError> {
    use DataType as T;
    let dtype = dtype_of(&tensor)?;
    Ok(match dtype {
        T::DtFloat => tensor.float_val,
        T::DtDouble => cast(&tensor.double_val, |x| x as f32),
        T::DtHalf => cast(&tensor.half_val, |x| f32_from_half(x as u16)),
        T::DtBfloat16 => cast(&tensor.half_val, |x| f32_from_bfloat16(x as u16)),
        T::DtInt8 | T::DtInt16 | T::DtInt32 | T::DtUint8 | T::DtUint16 => {
            cast(&tensor.int_val, |x| x as f32)
        }
        T::DtInt64 => cast(&tensor.int64_val, |x| x as f32),
        T::DtUint32 => cast(&tensor.uint32_val, |x| x as f32),
        T::DtUint64 => cast(&tensor.uint64_val, |x| x as f32),
        T::DtBool => cast(&tensor.bool_val, |x| f32::from(u8::from(x))),
        _ => return Err(no_number(dtype)),
    })
}

fn cast<T: Copy>(values: &[T], number_of: impl Fn(T) -> f32) -> Vec<f32> {
    values.iter().map(|value| number_of(*value)).collect()
}

/// The list filled up with its last value; the error is what was found instead.
fn fit(mut values: Vec<f32>, count: usize) -> Result<Vec<f32>, String> {
    if values.len() > count {
        return Err(values.len().to_string());
    }
    let last = values.last().copied().unwrap_or(0.0);
    values.resize(count, last);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array3, Axis, Slice, arr0};
    use proptest::prelude::*;
    use prost::Message;

    const NUMERIC: [DataType; 13] = [
        DataType::DtFloat,
        DataType::DtDouble,
        DataType::DtHalf,
        DataType::DtBfloat16,
        DataType::DtInt8,
        DataType::DtInt16,
        DataType::DtInt32,
        DataType::DtInt64,
        DataType::DtUint8,
        DataType::DtUint16,
        DataType::DtUint32,
        DataType::DtUint64,
        DataType::DtBool,
    ];

    fn tensor(dtype: DataType, sizes: &[i64]) -> TensorProto {
        let tensor_shape = Some(wire_shape(sizes.iter().copied()));
        TensorProto {
            dtype: dtype.into(),
            tensor_shape,
            ..TensorProto::default()
        }
    }

    fn values(tensor: TensorProto) -> Vec<f32> {
        decode(tensor)
            .expect("a good tensor")
            .into_raw_vec_and_offset()
            .0
    }

    fn sent(value: f32, dtype: DataType) -> Vec<u8> {
        encode(&arr0(value).into_dyn().view(), dtype)
            .expect("numeric")
            .tensor_content
            .to_vec()
    }

    #[test]
    fn every_numeric_type_carries_small_whole_numbers_both_ways() {
        let array =
            Array3::from_shape_fn((2, 3, 4), |(i, j, k)| ((i + j + k) % 2) as f32).into_dyn();
        for dtype in NUMERIC {
            let tensor = encode(&array.view(), dtype).expect("numeric");
            assert_eq!(decode(tensor).expect("our own"), array, "{dtype:?}");
        }
    }

    #[test]
    fn bytes_are_little_endian_and_half_precision_is_real() {
        assert_eq!(sent(1.5, DataType::DtFloat), 1.5_f32.to_le_bytes());
        assert_eq!(sent(1.0, DataType::DtHalf), [0x00, 0x3c]);
        assert_eq!(sent(258.0, DataType::DtInt32), [2, 1, 0, 0]);
    }

    #[test]
    fn integers_saturate() {
        assert_eq!(sent(300.0, DataType::DtUint8), [255]);
        assert_eq!(sent(-3.7, DataType::DtUint8), [0]);
        assert_eq!(sent(-200.0, DataType::DtInt8), [0x80]);
        assert_eq!(sent(3.7, DataType::DtInt8), [3]);
        assert_eq!(sent(f32::NAN, DataType::DtInt16), [0, 0]);
        assert_eq!(sent(1e30, DataType::DtInt64), i64::MAX.to_le_bytes());
    }

    #[test]
    fn a_view_that_is_not_contiguous_is_sent_in_row_major_order() {
        let array =
            Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32).into_dyn();
        let turned = array.view().permuted_axes(vec![2, 0, 1]);
        let cut = turned.slice_axis(Axis(0), Slice::from(1..3));
        let tensor = encode(&cut, DataType::DtFloat).expect("numeric");
        assert_eq!(decode(tensor).expect("our own"), cut);
    }

    #[test]
    fn texts_and_unknown_types_are_named_in_the_error() {
        let array = arr0(0.0).into_dyn();
        let error = encode(&array.view(), DataType::DtString).expect_err("no number");
        assert_eq!(
            error.to_string(),
            "elements of type DT_STRING cannot be turned into numbers"
        );
        assert!(
            decode(TensorProto {
                dtype: 999,
                ..TensorProto::default()
            })
            .is_err()
        );
        assert!(decode(tensor(DataType::DtInvalid, &[])).is_err());
        assert!(decode(tensor(DataType::DtComplex64, &[2])).is_err());
    }

    #[test]
    fn every_list_is_read() {
        let of = |dtype| tensor(dtype, &[2]);
        let lists = [
            TensorProto {
                float_val: vec![1.0, 2.0],
                ..of(DataType::DtFloat)
            },
            TensorProto {
                double_val: vec![1.0, 2.0],
                ..of(DataType::DtDouble)
            },
            TensorProto {
                half_val: vec![0x3c00, 0x4000],
                ..of(DataType::DtHalf)
            },
            TensorProto {
                half_val: vec![0x3f80, 0x4000],
                ..of(DataType::DtBfloat16)
            },
            TensorProto {
                int_val: vec![1, 2],
                ..of(DataType::DtInt8)
            },
            TensorProto {
                int_val: vec![1, 2],
                ..of(DataType::DtInt16)
            },
            TensorProto {
                int_val: vec![1, 2],
                ..of(DataType::DtInt32)
            },
            TensorProto {
                int_val: vec![1, 2],
                ..of(DataType::DtUint8)
            },
            TensorProto {
                int_val: vec![1, 2],
                ..of(DataType::DtUint16)
            },
            TensorProto {
                int64_val: vec![1, 2],
                ..of(DataType::DtInt64)
            },
            TensorProto {
                uint32_val: vec![1, 2],
                ..of(DataType::DtUint32)
            },
            TensorProto {
                uint64_val: vec![1, 2],
                ..of(DataType::DtUint64)
            },
        ];
        for list in lists {
            let dtype = list.dtype();
            assert_eq!(values(list), [1.0, 2.0], "{dtype:?}");
        }
        assert_eq!(
            values(TensorProto {
                bool_val: vec![true, false],
                ..of(DataType::DtBool)
            }),
            [1.0, 0.0]
        );
    }

    #[test]
    fn a_short_list_goes_on_with_its_last_value() {
        let short = |float_val| TensorProto {
            float_val,
            ..tensor(DataType::DtFloat, &[2, 2])
        };
        assert_eq!(values(short(vec![7.0])), [7.0; 4]);
        assert_eq!(values(short(vec![1.0, 2.0])), [1.0, 2.0, 2.0, 2.0]);
        assert_eq!(values(short(vec![])), [0.0; 4]);
    }

    #[test]
    fn a_single_number_stays_a_tensor() {
        let one = TensorProto {
            float_val: vec![0.5],
            ..tensor(DataType::DtFloat, &[1])
        };
        assert_eq!(decode(one).expect("good").shape(), [1]);
        let scalar = TensorProto {
            dtype: 1,
            float_val: vec![0.5],
            ..TensorProto::default()
        };
        assert_eq!(decode(scalar).expect("good").ndim(), 0);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let long = TensorProto {
            float_val: vec![0.0; 5],
            ..tensor(DataType::DtFloat, &[2, 2])
        };
        assert_eq!(
            decode(long).expect_err("too long").to_string(),
            "5 elements do not fill the shape [2, 2]"
        );
        let odd = TensorProto {
            tensor_content: vec![0; 15].into(),
            ..tensor(DataType::DtFloat, &[2, 2])
        };
        let error = decode(odd).expect_err("no whole elements").to_string();
        assert_eq!(
            error,
            "15 bytes of 4-byte elements do not fill the shape [2, 2]"
        );
        for sizes in [
            &[-1, 2][..],
            &[i64::MAX, i64::MAX],
            &[1 << 40],
            &[0, i64::MAX, i64::MAX],
        ] {
            assert!(
                matches!(
                    decode(tensor(DataType::DtFloat, sizes)),
                    Err(TensorError::Shape(_))
                ),
                "{sizes:?}"
            );
        }
    }

    #[test]
    fn empty_tensors_are_tensors() {
        let array = decode(tensor(DataType::DtFloat, &[0, 256, 256, 1])).expect("good");
        assert_eq!(array.shape(), [0, 256, 256, 1]);
    }

    proptest! {
        #[test]
        fn floats_arrive_bit_for_bit(list in proptest::collection::vec(any::<f32>(), 0..50)) {
            let array = Array1::from(list.clone()).into_dyn();
            let wire = encode(&array.view(), DataType::DtFloat).expect("numeric").encode_to_vec();
            let back = values(TensorProto::decode(wire.as_slice()).expect("our own"));
            prop_assert!(back.iter().map(|x| x.to_bits()).eq(list.iter().map(|x| x.to_bits())));
        }

        #[test]
        fn no_message_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), dtype in 0..34, size in -2_i64..9) {
            if let Ok(message) = TensorProto::decode(bytes.as_slice()) {
                let _ = decode(message);
            }
            let whole = bytes.clone().into();
            let _ = decode(TensorProto { dtype, tensor_content: whole, ..tensor(DataType::DtFloat, &[size, 2]) });
            let int_val = bytes.iter().map(|x| i32::from(*x)).collect();
            let _ = decode(TensorProto { dtype, int_val, ..tensor(DataType::DtFloat, &[size]) });
        }
    }
}
