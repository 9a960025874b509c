//! The numbers that a model answers.

use std::ops::Range;

use bytes::Bytes;
use ndarray::{ArrayD, ArrayViewD, IxDyn};

// Numbers in memory are taken for numbers on the wire.
const _: () = assert!(cfg!(target_endian = "little"));

/// Float32 in row-major order, as they came over the wire or as a model of this process made them. Nothing is copied until
/// somebody wants an array, as most of an answer is read once, or not at all.
#[derive(Clone, Debug)]
pub struct Floats {
    shape: Vec<usize>,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    /// Little-endian, at any address.
    Bytes(Bytes),
    Numbers(Vec<f32>),
}

impl Floats {
    /// These bytes, little-endian, if they are as many as the shape wants.
    pub(super) fn of_bytes(shape: Vec<usize>, bytes: Bytes) -> Option<Self> {
        let count: usize = shape.iter().product();
        (bytes.len() == count * size_of::<f32>()).then_some(Self {
            shape,
            values: Values::Bytes(bytes),
        })
    }

    /// Sizes, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers as little-endian bytes.
    #[must_use]
    pub fn view(&self) -> ArrayViewD<'_, [u8; 4]> {
        let bytes = match &self.values {
            Values::Bytes(bytes) => bytes.as_chunks().0,
            Values::Numbers(numbers) => bytemuck::cast_slice(numbers),
        };
        ArrayViewD::from_shape(IxDyn(&self.shape), bytes).expect("as many as the shape wants")
    }

    /// The numbers as an array.
    #[must_use]
    pub fn into_array(self) -> ArrayD<f32> {
        let numbers = match self.values {
            Values::Numbers(numbers) => numbers,
            Values::Bytes(bytes) => floats(&bytes).collect(),
        };
        ArrayD::from_shape_vec(IxDyn(&self.shape), numbers).expect("as many as the shape wants")
    }

    /// How many bytes [`Self::into_array`] has to copy.
    pub(super) fn bytes_to_copy(&self) -> usize {
        match &self.values {
            Values::Bytes(bytes) => bytes.len(),
            Values::Numbers(_) => 0,
        }
    }

    /// Some of the rows, of which there are enough.
    pub(super) fn rows(&self, rows: Range<usize>) -> Self {
        let row: usize = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        let values = match &self.values {
            Values::Bytes(bytes) => {
                let row = row * size_of::<f32>();
                Values::Bytes(bytes.slice(rows.start * row..rows.end * row))
            }
            Values::Numbers(numbers) => {
                Values::Numbers(numbers[rows.start * row..rows.end * row].to_vec())
            }
        };
        Self { shape, values }
    }

    /// All rows of these, one after the other; none if they differ in other sizes.
    pub(super) fn joined(parts: &[&Self]) -> Option<Self> {
        let (first, rest) = parts.split_first()?;
        let row = first.shape.get(1..)?;
        if rest.iter().any(|part| part.shape.get(1..) != Some(row)) {
            return None;
        }
        let mut shape = first.shape.clone();
        shape[0] = parts.iter().map(|part| part.shape[0]).sum();
        let mut all = Vec::with_capacity(shape.iter().product());
        for part in parts {
            match &part.values {
                Values::Bytes(bytes) => all.extend(floats(bytes)),
                Values::Numbers(numbers) => all.extend_from_slice(numbers),
            }
        }
        Some(Self {
            shape,
            values: Values::Numbers(all),
        })
    }
}

/// The values of an array in the order of its axes, without a copy where they lie so.
pub(super) fn exact(array: ArrayD<f32>) -> Vec<f32> {
    let count = array.len();
    let array = if array.is_standard_layout() {
        array
    } else {
        array.as_standard_layout().into_owned()
    };
    let (values, offset) = array.into_raw_vec_and_offset();
    let first = offset.unwrap_or(0);
    if first == 0 && values.len() == count {
        values
    } else {
        values[first..first + count].to_vec()
    }
}

impl From<ArrayD<f32>> for Floats {
    /// Without a copy, if the array lies in the order of its axes.
    fn from(array: ArrayD<f32>) -> Self {
        Self {
            shape: array.shape().to_vec(),
            values: Values::Numbers(exact(array)),
        }
    }
}

impl PartialEq for Floats {
    fn eq(&self, other: &Self) -> bool {
        self.clone().into_array() == other.clone().into_array()
    }
}

fn floats(bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> {
    let (floats, _) = bytes.as_chunks();
    floats.iter().map(|float| f32::from_le_bytes(*float))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, Axis};
    use proptest::prelude::*;

    use super::*;

    /// The same numbers at an odd address.
    fn as_bytes(array: &ArrayD<f32>) -> Floats {
        let mut bytes = vec![0];
        bytes.extend(array.iter().flat_map(|value| value.to_le_bytes()));
        let bytes = Bytes::from(bytes).slice(1..);
        Floats::of_bytes(array.shape().to_vec(), bytes).expect("they fit")
    }

    proptest! {
        #[test]
        fn bytes_and_arrays_are_the_same(rows in 0_usize..9, columns in 0_usize..5, cut in 0_usize..9) {
            let array = Array::from_shape_fn(vec![rows, columns], |at| (at[0] * 7 + at[1]) as f32);
            let cut = cut.min(rows);
            for floats in [as_bytes(&array), Floats::from(array.clone())] {
                let values = floats.view().mapv(f32::from_le_bytes);
                prop_assert_eq!(&values, &array);
                let parts = [floats.rows(0..cut), floats.rows(cut..rows)];
                let (above, below) = array.view().split_at(Axis(0), cut);
                prop_assert_eq!(parts[0].clone().into_array(), above);
                prop_assert_eq!(parts[1].clone().into_array(), below);
                let joined = Floats::joined(&[&parts[0], &parts[1]]).expect("of one width");
                prop_assert_eq!(&joined, &floats);
                prop_assert_eq!(floats.into_array(), array.clone());
            }
        }
    }

    #[test]
    fn what_differs_is_not_joined() {
        let floats = |shape: &[usize]| Floats::from(ArrayD::zeros(shape));
        let joined = |one: &[usize], other: &[usize]| {
            Floats::joined(&[&floats(one), &floats(other)]).map(|joined| joined.shape)
        };
        assert_eq!(joined(&[1, 2], &[3, 2]), Some(vec![4, 2]));
        assert_eq!(joined(&[1, 2], &[1, 3]), None);
        assert_eq!(joined(&[1, 2], &[1]), None);
        assert_eq!(joined(&[], &[]), None);
    }

    #[test]
    fn bytes_have_to_fill_the_shape() {
        let of = |count: usize| Floats::of_bytes(vec![2, 2], vec![0; count].into());
        assert!(of(16).is_some() && of(15).is_none() && of(20).is_none());
    }
}
