//! The messages of TensorFlow Serving, for tests and benchmarks that look at the wire.

use bytes::Bytes;
use ndarray::ArrayD;

pub use super::protocol::tf_serving::proto::tensorflow;
use super::protocol::tf_serving::{message, tensor};
use super::{DataType, TensorError};

/// The message with these elements, as bytes.
///
/// # Errors
/// If the type has no numbers.
pub fn encode(array: ArrayD<f32>, dtype: DataType) -> Result<tensorflow::TensorProto, TensorError> {
    tensor::encode(array, dtype)
}

/// The elements of a message of any numeric type as float32, whichever field holds them.
///
/// # Errors
/// If the type has no numbers, or if shape and elements do not fit each other.
pub fn decode(tensor: tensorflow::TensorProto) -> Result<ArrayD<f32>, TensorError> {
    tensor::decode(tensor)
}

/// The elements of a message as it lies on the wire.
///
/// # Errors
/// If the bytes are no message, and those of [`decode`].
pub fn decode_bytes(message: Bytes) -> Result<ArrayD<f32>, TensorError> {
    message::from_bytes(message)?.unpack()
}
