//! The rows of a request: parted into requests that a server takes, and the answers joined again.

use std::ops::Range;

use ndarray::ArrayD;

use super::error::Error;
use super::floats::Floats;
use super::limits::Request;
use super::model::ModelId;
use super::tensor::{Elements, Tensor, TensorError};

/// Named arrays on their way to a model.
pub(super) type Inputs = Vec<(String, ArrayD<f32>)>;

/// Named numbers, as a model answers them.
pub(super) type Outputs = Vec<(String, Floats)>;

/// The tensors of a batch, which can be sent in parts.
pub(super) struct Batch {
    tensors: Vec<(String, Tensor)>,
    request: Request,
    /// Rows of every request, where the model takes no other number.
    fixed: Option<usize>,
}

impl Batch {
    /// The batch of these tensors for a model that takes `fixed` rows, or any number. It has one part if the tensors do not
    /// have one number of rows.
    pub(super) fn new(tensors: Vec<(String, Tensor)>, fixed: Option<usize>) -> Self {
        let rows = rows(&tensors);
        let bytes: usize = tensors.iter().map(|(_, tensor)| packed(tensor)).sum();
        let request = Request {
            rows: rows.unwrap_or(1),
            row_bytes: bytes / rows.unwrap_or(1).max(1),
        };
        Self {
            tensors,
            request,
            fixed: fixed.filter(|_| rows.is_some()),
        }
    }

    /// How much it is.
    pub(super) fn request(&self) -> Request {
        self.request
    }

    /// Rows that go into one request at most, if `allowed` would be taken.
    pub(super) fn step(&self, allowed: usize) -> usize {
        self.fixed.unwrap_or(allowed).max(1)
    }

    /// The tensors of these rows. Nothing is copied, unless rows are missing to what the model takes: the last is repeated.
    pub(super) fn part(&self, rows: Range<usize>) -> Vec<(String, Tensor)> {
        let is_whole = rows.start == 0 && rows.end >= self.request.rows;
        let missing = self
            .fixed
            .map_or(0, |fixed| fixed.saturating_sub(rows.len()));
        if is_whole && missing == 0 {
            return self.tensors.clone();
        }
        let tensors = self.tensors.iter();
        let part = tensors.map(|(name, tensor)| {
            let part = slice(tensor, self.request.rows, rows.clone(), missing);
            (name.clone(), part)
        });
        part.collect()
    }
}

/// The rows of a part out of an answer to it that may have been filled up.
pub(super) fn only(rows: usize, outputs: Outputs) -> Outputs {
    let cut = |(name, floats): (String, Floats)| {
        let has_more = floats.shape().first().is_some_and(|found| *found > rows);
        let floats = if has_more {
            floats.rows(0..rows)
        } else {
            floats
        };
        (name, floats)
    };
    outputs.into_iter().map(cut).collect()
}

/// The answers to all parts as one.
///
/// # Errors
/// [`Error::BadTensor`] if they differ in their names, or in other sizes than their rows.
pub(super) fn join(model: &ModelId, mut parts: Vec<Outputs>) -> Result<Outputs, Error> {
    if parts.len() == 1 {
        return Ok(parts.swap_remove(0));
    }
    let names: Vec<String> = parts
        .first()
        .map(|first| first.iter().map(|(name, _)| name.clone()).collect())
        .unwrap_or_default();
    let joined = names.into_iter().enumerate().map(|(index, name)| {
        let same = parts.iter().map(|part| match part.get(index) {
            Some((found, floats)) if *found == name => Some(floats),
            _ => None,
        });
        let same: Option<Vec<_>> = same.collect();
        match same.and_then(|same| Floats::joined(&same)) {
            Some(floats) => Ok((name, floats)),
            None => Err(Error::BadTensor {
                model: model.clone(),
                tensor: name,
                source: TensorError::Parts,
            }),
        }
    });
    joined.collect()
}

/// The rows that all tensors have.
fn rows(tensors: &[(String, Tensor)]) -> Option<usize> {
    let mut counts = tensors.iter().map(|(_, tensor)| tensor.shape.first());
    let first = counts.next()??;
    let same = counts.all(|count| count == Some(first));
    usize::try_from(*first)
        .ok()
        .filter(|rows| same && *rows > 0)
}

fn packed(tensor: &Tensor) -> usize {
    match &tensor.elements {
        Elements::Packed(bytes) => bytes.len(),
        Elements::Listed(values) => size_of_val(values.as_slice()),
    }
}

/// Some of `count` rows, the last of them `missing` times more.
fn slice(tensor: &Tensor, count: usize, rows: Range<usize>, missing: usize) -> Tensor {
    let mut shape = tensor.shape.clone();
    if let Some(first) = shape.first_mut() {
        *first = (rows.len() + missing) as i64;
    }
    let elements = match &tensor.elements {
        Elements::Packed(bytes) => {
            let row = bytes.len() / count;
            let part = bytes.slice(rows.start * row..rows.end * row);
            if missing == 0 {
                Elements::Packed(part)
            } else {
                let last = &part[part.len() - row..];
                let filled = [&part[..], &last.repeat(missing)].concat();
                Elements::Packed(filled.into())
            }
        }
        Elements::Listed(values) => {
            let row = values.len() / count;
            let mut part = values[rows.start * row..rows.end * row].to_vec();
            for _ in 0..missing {
                part.extend_from_within(part.len() - row..);
            }
            Elements::Listed(part)
        }
    };
    Tensor {
        dtype: tensor.dtype,
        shape,
        elements,
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array;
    use proptest::prelude::*;

    use super::super::data_type::DataType;
    use super::*;

    fn batch(rows: usize, fixed: Option<usize>) -> Batch {
        let array = Array::from_shape_fn(vec![rows, 2, 3], |at| {
            (at[0] * 6 + at[1] * 3 + at[2]) as f32
        });
        let tensor = Tensor::pack(array, DataType::U16).expect("numbers");
        Batch::new(vec![("x".to_owned(), tensor)], fixed)
    }

    /// What a model that gives back what it gets makes of all parts.
    fn echoed(batch: &Batch, allowed: usize) -> (Vec<usize>, Outputs) {
        let (count, step) = (batch.request().rows, batch.step(allowed));
        let mut sent = Vec::new();
        let mut parts = Vec::new();
        for first in (0..count).step_by(step) {
            let rows = first..(first + step).min(count);
            let part = batch.part(rows.clone());
            sent.push(part[0].1.shape[0] as usize);
            let outputs = part
                .into_iter()
                .map(|(name, tensor)| (name, tensor.floats().expect("numbers")));
            parts.push(only(rows.len(), outputs.collect()));
        }
        let joined = join(&ModelId::new("m", 1), parts).expect("they fit");
        (sent, joined)
    }

    proptest! {
        #[test]
        fn parts_joined_are_the_whole(rows in 1_usize..20, allowed in 1_usize..25, fixed in proptest::option::of(1_usize..9)) {
            let batch = batch(rows, fixed);
            let (sent, joined) = echoed(&batch, allowed);
            prop_assert!(sent.iter().all(|rows| fixed.map_or(*rows <= allowed, |fixed| *rows == fixed)));
            let whole = batch.tensors[0].1.clone().floats().expect("numbers");
            prop_assert_eq!(&joined[0].1, &whole);
        }
    }

    #[test]
    fn tensors_of_different_rows_go_in_one_request() {
        let tensor =
            |rows| Tensor::pack(ArrayD::zeros(vec![rows, 2]), DataType::F32).expect("numbers");
        let tensors = vec![("a".to_owned(), tensor(2)), ("b".to_owned(), tensor(3))];
        let batch = Batch::new(tensors, Some(1));
        assert_eq!((batch.request().rows, batch.part(0..1).len()), (1, 2));
        assert_eq!(batch.part(0..1)[1].1.shape, [3, 2]);
    }

    #[test]
    fn answers_that_differ_are_an_error_that_names_the_tensor() {
        let part = |name: &str, columns| {
            vec![(
                name.to_owned(),
                Floats::from(ArrayD::zeros(vec![1, columns])),
            )]
        };
        for second in [part("y", 2), part("x", 3), Vec::new()] {
            let error = join(&ModelId::new("m", 1), vec![part("x", 2), second]);
            let error = error.expect_err("they do not fit").to_string();
            assert_eq!(error, "tensor `x` of model `m:1` cannot be used");
        }
    }
}
