//! Tensors out of the bytes of a message.
//!
//! Servers of TensorFlow answer with `float_val`. A packed list lies in a message as float32 lie in memory, so it is taken as
//! one piece, where a parser looks at number after number. Everything unusual goes the way of the parser.

use bytes::{Buf as _, Bytes};
use prost::{Message as _, decode_length_delimiter};

use super::data_type::to_wire;
use super::proto::tensorflow::{TensorProto, TensorShapeProto};
use super::tensor::{from_proto, sizes};
use crate::serving::data_type::DataType;
use crate::serving::tensor::{Tensor, TensorError};

/// The tensor of a `TensorProto`.
///
/// # Errors
/// [`TensorError`] for bytes that are no message, for a type without numbers and for a shape of unknown rank.
pub(in crate::serving) fn from_bytes(message: Bytes) -> Result<Tensor, TensorError> {
    if let Some(tensor) = packed_floats(message.clone()) {
        return Ok(tensor);
    }
    let proto = TensorProto::decode(message);
    from_proto(proto.map_err(|error| TensorError::Message(error.to_string()))?)
}

/// The tensor of a message that holds type, shape and a packed list of all its float32, each once; none for all others.
fn packed_floats(mut message: Bytes) -> Option<Tensor> {
    let (mut is_float, mut shape, mut floats) = (false, None, None);
    while message.has_remaining() {
        match Field::read(&mut message)? {
            Field::Number { tag: DTYPE, value } => is_float = value == float(),
            Field::Number { tag: VERSION, .. } => {}
            Field::Bytes { tag: SHAPE, bytes } if shape.is_none() => {
                shape = Some(sizes(&TensorShapeProto::decode(bytes).ok()?)?);
            }
            Field::Bytes { tag: FLOATS, bytes } if floats.is_none() => floats = Some(bytes),
            _ => return None,
        }
    }
    let tensor = Tensor::of_floats(shape.unwrap_or_default(), floats?);
    tensor.filter(|_| is_float)
}

/// Numbers of the fields, as in `tensor.proto`.
const DTYPE: usize = 1;
const SHAPE: usize = 2;
const VERSION: usize = 3;
const FLOATS: usize = 5;

fn float() -> usize {
    i32::from(to_wire(DataType::F32)) as usize
}

/// A field of a message, of the two kinds that the usual ones have.
enum Field {
    Number { tag: usize, value: usize },
    Bytes { tag: usize, bytes: Bytes },
}

impl Field {
    /// The next one; none if it is of another kind, or goes on beyond the end. Nothing is copied.
    fn read(message: &mut Bytes) -> Option<Self> {
        // A key is a number like any length: the field's, and in the lower three bits how it is written.
        let key = decode_length_delimiter(&mut *message).ok()?;
        let (tag, value) = (key >> 3, decode_length_delimiter(&mut *message).ok()?);
        match key & 7 {
            0 => Some(Self::Number { tag, value }),
            2 if value <= message.len() => {
                let bytes = message.split_to(value);
                Some(Self::Bytes { tag, bytes })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proto::tensorflow::DataType as WireType;
    use super::super::tensor::wire_shape;
    use super::*;
    use crate::serving::tensor::Elements;

    fn message(values: &[f32], shape: &[i64]) -> TensorProto {
        TensorProto {
            dtype: WireType::DtFloat.into(),
            tensor_shape: Some(wire_shape(shape)),
            float_val: values.to_vec(),
            ..TensorProto::default()
        }
    }

    fn bytes(message: &TensorProto) -> Bytes {
        message.encode_to_vec().into()
    }

    /// The same list as a writer that packs nothing has it: each number with a key of its own.
    fn one_by_one(values: &[f32], shape: &[i64]) -> Bytes {
        let mut written = message(&[], shape).encode_to_vec();
        for value in values {
            written.push(5 << 3 | 5);
            written.extend(value.to_le_bytes());
        }
        written.into()
    }

    #[test]
    fn a_packed_list_is_taken_as_it_lies_there() {
        let whole = bytes(&message(&[1.5, -2.0, f32::NAN, 0.0], &[2, 2]));
        let tensor = packed_floats(whole.clone()).expect("the usual message");
        let Elements::Packed(floats) = &tensor.elements else {
            panic!("packed");
        };
        assert!(whole.as_ptr_range().contains(&floats.as_ptr()), "no copy");
        let values = tensor
            .unpack()
            .expect("numbers")
            .into_raw_vec_and_offset()
            .0;
        assert_eq!(values[..2], [1.5, -2.0]);
        assert!(values[2].is_nan());
    }

    #[test]
    fn what_is_unusual_goes_to_the_parser() {
        let of = |message: &TensorProto| packed_floats(bytes(message)).is_none();
        assert!(of(&message(&[1.0], &[4])), "a short list is filled up");
        assert!(of(&message(&[1.0; 5], &[4])), "a list that is too long");
        assert!(of(&message(&[1.0; 4], &[-1, 4])), "no size");
        let doubles = TensorProto {
            dtype: WireType::DtDouble.into(),
            ..message(&[1.0], &[1])
        };
        assert!(of(&doubles), "another type");
        let listed = one_by_one(&[1.0, 2.0], &[2]);
        assert!(packed_floats(listed.clone()).is_none());
        let values = from_bytes(listed).expect("a message").unpack();
        assert_eq!(values.expect("numbers").as_slice(), Some(&[1.0, 2.0][..]));
        // A list may come in pieces, and a later shape adds to an earlier one.
        let pieces = [bytes(&message(&[1.0], &[2])), bytes(&message(&[2.0], &[]))].concat();
        let values = from_bytes(pieces.into()).expect("a message").unpack();
        assert_eq!(values.expect("numbers").as_slice(), Some(&[1.0, 2.0][..]));
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        for bytes in [&[0x2a, 9, 0][..], &[0x0b], &[0xff; 11]] {
            let error = from_bytes(Bytes::copy_from_slice(bytes)).expect_err("no message");
            assert!(matches!(error, TensorError::Message(_)), "{error}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_read_the_same(
            values in proptest::collection::vec(any::<f32>(), 0..20),
            shape in proptest::collection::vec(-1_i64..6, 0..3),
            version_number in 0..2,
            dtype in 0..4,
        ) {
            let message = TensorProto { version_number, dtype, ..message(&values, &shape) };
            let parsed = from_proto(message.clone()).and_then(Tensor::unpack);
            let read = from_bytes(bytes(&message)).and_then(Tensor::unpack);
            let bits = |array: ndarray::ArrayD<f32>| (array.shape().to_vec(), array.mapv(f32::to_bits));
            prop_assert_eq!(read.map(bits), parsed.map(bits));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let parsed = TensorProto::decode(bytes.as_slice()).is_ok();
            let read = from_bytes(bytes.into());
            prop_assert!(parsed || matches!(read, Err(TensorError::Message(_))));
        }
    }
}
