//! Named arrays as tensors and back, away from the async threads where it takes a while.

use std::collections::BTreeMap;

use ndarray::ArrayD;

use super::batch::{Inputs, Outputs};
use super::data_type::DataType;
use super::error::Error;
use super::floats::Floats;
use super::model::{ModelId, Signature};
use super::tensor::{Tensor, TensorError, bytes_to_pack};
use crate::compute;

/// Up to so many bytes are converted where they are. Copying a mebibyte takes some 25 µs, as long as the trip to another
/// thread and back (20 µs): offloading less would only slow down small jobs.
const MAX_INLINE_BYTES: usize = 1 << 20;

/// An array on its way into a request.
struct Given {
    name: String,
    dtype: DataType,
    array: ArrayD<f32>,
}

/// The tensors of a request, in the types that the model wants.
///
/// # Errors
/// [`Error`] if names or number of the inputs are not the model's, or an array cannot be sent.
pub(super) async fn pack(
    model: &ModelId,
    signature: &Signature,
    inputs: Inputs,
) -> Result<Vec<(String, Tensor)>, Error> {
    let given = typed(model, signature, inputs)?;
    let bytes = given
        .iter()
        .map(|input| bytes_to_pack(&input.array, input.dtype))
        .sum();
    let packed = run(bytes, || {
        convert(given, |input| {
            (input.name, Tensor::pack(input.array, input.dtype))
        })
    });
    packed.await.map_err(|bad| bad.into_error(model))
}

/// The numbers of the answer to a request of `asked` elements, in byte order of their names.
///
/// # Errors
/// [`Error::BadTensor`] if one cannot be read.
pub(super) async fn read(
    model: &ModelId,
    outputs: Vec<(String, Tensor)>,
    asked: usize,
) -> Result<Outputs, Error> {
    for (name, tensor) in &outputs {
        tensor
            .check_filling(asked)
            .map_err(|source| Error::BadTensor {
                model: model.clone(),
                tensor: name.clone(),
                source,
            })?;
    }
    let bytes = outputs
        .iter()
        .map(|(_, tensor)| tensor.bytes_to_convert())
        .sum();
    let read = run(bytes, || {
        convert(outputs, |(name, tensor)| (name, tensor.floats()))
    });
    let mut outputs = read.await.map_err(|bad| bad.into_error(model))?;
    outputs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(outputs)
}

/// The numbers of an answer as arrays.
pub(super) async fn arrays(outputs: Outputs) -> Vec<(String, ArrayD<f32>)> {
    let bytes = outputs
        .iter()
        .map(|(_, floats)| floats.bytes_to_copy())
        .sum();
    let of = |(name, floats): (String, Floats)| (name, floats.into_array());
    run(bytes, move || outputs.into_iter().map(of).collect()).await
}

/// Converts here what is small, and on a thread that may be busy what is not.
async fn run<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= MAX_INLINE_BYTES {
        work()
    } else {
        compute::run(work).await
    }
}

/// A tensor that cannot be converted.
struct Bad {
    name: String,
    source: TensorError,
}

impl Bad {
    fn into_error(self, model: &ModelId) -> Error {
        Error::BadTensor {
            model: model.clone(),
            tensor: self.name,
            source: self.source,
        }
    }
}

fn convert<F, T>(
    from: Vec<F>,
    into: impl Fn(F) -> (String, Result<T, TensorError>),
) -> Result<Vec<(String, T)>, Bad> {
    from.into_iter()
        .map(|item| match into(item) {
            (name, Ok(converted)) => Ok((name, converted)),
            (name, Err(source)) => Err(Bad { name, source }),
        })
        .collect()
}

/// The inputs with the types that the model wants.
fn typed(model: &ModelId, signature: &Signature, inputs: Inputs) -> Result<Vec<Given>, Error> {
    let expected: Vec<_> = signature.inputs.iter().map(|it| it.name.as_str()).collect();
    let mut found: Vec<_> = inputs.iter().map(|(name, _)| name.as_str()).collect();
    found.sort_unstable();
    if found != expected {
        return Err(Error::BadInputs {
            model: model.clone(),
            expected: format!("[{}]", expected.join(", ")),
            found: format!("[{}]", found.join(", ")),
        });
    }
    let mut arrays: BTreeMap<_, _> = inputs.into_iter().collect();
    let given = signature.inputs.iter().filter_map(|input| {
        let array = arrays.remove(&input.name)?;
        Some(Given {
            name: input.name.clone(),
            dtype: input.dtype,
            array,
        })
    });
    Ok(given.collect())
}
