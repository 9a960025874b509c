//! Arrays as the tensors of any protocol, and back. Bytes from the network never make it panic.

use bytes::Bytes;
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use super::data_type::DataType;
use super::floats::Floats;

/// The largest tensor that is read: 2 GiB of float32. A few bytes on the wire can stand for any number of elements.
const MAX_ELEMENTS: usize = 1 << 29;

/// Elements of an answer that its last value may stand for, for each element of the request …
const FILLED_PER_ASKED: usize = 64;

/// … and in any case.
const FILLED: usize = 1 << 24;

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
    /// The bytes are no message of the protocol.
    #[error("the message cannot be read: {0}")]
    Message(String),
    /// The answers to parts of a batch are not alike.
    #[error("the answers to parts of a batch differ in their outputs or sizes")]
    Parts,
    /// A few elements stand for far more than anyone has asked for.
    #[error(
        "{found} elements stand for the {count} of the shape {shape:?}, far more than the request has"
    )]
    Filled {
        /// The sizes.
        shape: Vec<i64>,
        /// Elements that they make.
        count: usize,
        /// Elements that are there.
        found: usize,
    },
}

/// A tensor between an array and a message.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// Type of the elements.
    pub(super) dtype: DataType,
    /// Sizes, outermost first.
    pub(super) shape: Vec<i64>,
    /// The elements in row-major order.
    pub(super) elements: Elements,
}

/// The elements of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Elements {
    /// Little-endian, one after the other.
    Packed(Bytes),
    /// As numbers. Where the list ends early, its last value goes on to the end of the tensor; an empty list means zeros.
    Listed(Vec<f32>),
}

impl Tensor {
    /// The tensor of this type with these elements, packed.
    ///
    /// Integers are cut off towards zero and saturate, NaN becomes 0; 16-bit floats are rounded to the nearest, ties to
    /// even; everything but 0 is true.
    ///
    /// # Errors
    /// [`TensorError::Type`] for types without numbers, [`TensorError::Shape`] for more elements than anyone would read.
    pub(super) fn pack(array: ArrayD<f32>, dtype: DataType) -> Result<Self, TensorError> {
        let shape: Vec<_> = array.shape().iter().map(|size| *size as i64).collect();
        if array.len() > MAX_ELEMENTS {
            return Err(TensorError::Shape(shape));
        }
        let elements = Elements::Packed(packed(array, dtype)?);
        Ok(Self {
            dtype,
            shape,
            elements,
        })
    }

    /// The elements as float32, without a copy where they are that already.
    ///
    /// # Errors
    /// [`TensorError`] if the type has no numbers, or if shape and elements do not fit each other.
    pub(super) fn floats(self) -> Result<Floats, TensorError> {
        let shape = array_shape(&self.shape)?;
        let count = shape.iter().product();
        let values = match self.elements {
            Elements::Packed(bytes) if self.dtype == DataType::F32 => {
                let found = bytes_found(&bytes, size_of::<f32>());
                return Floats::of_bytes(shape.clone(), bytes)
                    .ok_or(TensorError::Count { shape, found });
            }
            Elements::Packed(bytes) => unpacked(&bytes, self.dtype, count)?,
            Elements::Listed(values) => filled_up(values, count),
        };
        match values {
            Ok(values) => ArrayD::from_shape_vec(IxDyn(&shape), values)
                .map(Floats::from)
                .map_err(|error| {
                    let found = error.to_string();
                    TensorError::Count { shape, found }
                }),
            Err(found) => Err(TensorError::Count { shape, found }),
        }
    }

    /// The same as an array.
    ///
    /// # Errors
    /// As [`Self::floats`].
    pub(super) fn unpack(self) -> Result<ArrayD<f32>, TensorError> {
        self.floats().map(Floats::into_array)
    }

    /// Refuses a tensor in an answer whose elements are not there, beyond what a request of `asked` elements makes credible.
    ///
    /// # Errors
    /// [`TensorError::Filled`]
    pub(super) fn check_filling(&self, asked: usize) -> Result<(), TensorError> {
        let missing = self.bytes_to_convert() / size_of::<f32>();
        let Elements::Listed(values) = &self.elements else {
            return Ok(());
        };
        if missing <= FILLED.max(asked.saturating_mul(FILLED_PER_ASKED)) {
            return Ok(());
        }
        Err(TensorError::Filled {
            shape: self.shape.clone(),
            count: missing + values.len(),
            found: values.len(),
        })
    }

    /// The tensor of these float32, if they are as many as the shape wants.
    pub(super) fn of_floats(shape: Vec<i64>, floats: Bytes) -> Option<Self> {
        let count: usize = array_shape(&shape).ok()?.iter().product();
        (floats.len() == count * size_of::<f32>()).then_some(Self {
            dtype: DataType::F32,
            shape,
            elements: Elements::Packed(floats),
        })
    }

    /// How many bytes [`Self::floats`] has to write: none for float32, and for a list that is complete.
    pub(super) fn bytes_to_convert(&self) -> usize {
        match &self.elements {
            Elements::Packed(_) if self.dtype == DataType::F32 => 0,
            Elements::Packed(bytes) => bytes.len(),
            Elements::Listed(values) => {
                let count = array_shape(&self.shape).map_or(0, |shape| shape.iter().product());
                count.saturating_sub(values.len()) * size_of::<f32>()
            }
        }
    }
}

/// How many bytes [`Tensor::pack`] has to write: none for an array that can go out as it is.
pub(super) fn bytes_to_pack(array: &ArrayD<f32>, dtype: DataType) -> usize {
    if goes_out_as_it_is(array, dtype) {
        0
    } else {
        array.len() * size_of::<f32>()
    }
}

/// The error about a type without numbers.
pub(super) fn no_numbers(dtype: DataType) -> TensorError {
    TensorError::Type(match dtype {
        DataType::Other(name) => name.to_owned(),
        numeric => format!("{numeric:?}"),
    })
}

fn packed(array: ArrayD<f32>, dtype: DataType) -> Result<Bytes, TensorError> {
    use DataType as T;
    if goes_out_as_it_is(&array, dtype) {
        return Ok(own_memory(array));
    }
    let array = array.view();
    Ok(match dtype {
        T::F32 => pack(array, f32::to_le_bytes),
        T::F64 => pack(array, |x| f64::from(x).to_le_bytes()),
        T::F16 => pack(array, |x| f16::from_f32(x).to_le_bytes()),
        T::Bf16 => pack(array, |x| bf16::from_f32(x).to_le_bytes()),
        T::I8 => pack(array, |x| (x as i8).to_le_bytes()),
        T::I16 => pack(array, |x| (x as i16).to_le_bytes()),
        T::I32 => pack(array, |x| (x as i32).to_le_bytes()),
        T::I64 => pack(array, |x| (x as i64).to_le_bytes()),
        T::U8 => pack(array, |x| [x as u8]),
        T::U16 => pack(array, |x| (x as u16).to_le_bytes()),
        T::U32 => pack(array, |x| (x as u32).to_le_bytes()),
        T::U64 => pack(array, |x| (x as u64).to_le_bytes()),
        T::Bool => pack(array, |x| [u8::from(x != 0.0)]),
        T::Other(_) => return Err(no_numbers(dtype)),
    })
}

/// Whether the array's memory already holds what goes over the wire.
fn goes_out_as_it_is(array: &ArrayD<f32>, dtype: DataType) -> bool {
    cfg!(target_endian = "little") && dtype == DataType::F32 && array.is_standard_layout()
}

/// The memory of an array in row-major order as bytes, without a copy.
fn own_memory(array: ArrayD<f32>) -> Bytes {
    let count = array.len();
    let (values, offset) = array.into_raw_vec_and_offset();
    // An array that was cut in place begins further back in its memory, and ends before its end.
    let first = offset.unwrap_or(0);
    let bytes = first * size_of::<f32>()..(first + count) * size_of::<f32>();
    Bytes::from_owner(Owned(values)).slice(bytes)
}

/// Numbers that are read as bytes.
struct Owned(Vec<f32>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// The bytes of all elements, in one pass over the array.
fn pack<const N: usize>(array: ArrayViewD<'_, f32>, bytes_of: impl Fn(f32) -> [u8; N]) -> Bytes {
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
fn array_shape(sizes: &[i64]) -> Result<Vec<usize>, TensorError> {
    let shape: Option<Vec<usize>> = sizes
        .iter()
        .map(|size| usize::try_from(*size).ok())
        .collect();
    shape
        .filter(|shape| is_sensible(shape))
        .ok_or_else(|| TensorError::Shape(sizes.to_vec()))
}

/// Whether there are not too many elements. An empty axis must not hide that the others are absurd: arrays need the
/// product of all others to fit, too.
fn is_sensible(shape: &[usize]) -> bool {
    shape
        .iter()
        .try_fold(1_usize, |product, size| product.checked_mul((*size).max(1)))
        .is_some_and(|extent| extent <= MAX_ELEMENTS)
}

/// The elements in the bytes; the inner error is what was found instead.
fn unpacked(
    bytes: &[u8],
    dtype: DataType,
    count: usize,
) -> Result<Result<Vec<f32>, String>, TensorError> {
    use DataType as T;
    Ok(match dtype {
        T::F32 => unpack(bytes, count, f32::from_le_bytes),
        T::F64 => unpack(bytes, count, |x| f64::from_le_bytes(x) as f32),
        T::F16 => unpack(bytes, count, |x| f16::from_le_bytes(x).to_f32()),
        T::Bf16 => unpack(bytes, count, |x| bf16::from_le_bytes(x).to_f32()),
        T::I8 => unpack(bytes, count, |x| f32::from(i8::from_le_bytes(x))),
        T::I16 => unpack(bytes, count, |x| f32::from(i16::from_le_bytes(x))),
        T::I32 => unpack(bytes, count, |x| i32::from_le_bytes(x) as f32),
        T::I64 => unpack(bytes, count, |x| i64::from_le_bytes(x) as f32),
        T::U8 => unpack(bytes, count, |[x]| f32::from(x)),
        T::U16 => unpack(bytes, count, |x| f32::from(u16::from_le_bytes(x))),
        T::U32 => unpack(bytes, count, |x| u32::from_le_bytes(x) as f32),
        T::U64 => unpack(bytes, count, |x| u64::from_le_bytes(x) as f32),
        T::Bool => unpack(bytes, count, |[x]| f32::from(u8::from(x != 0))),
        T::Other(_) => return Err(no_numbers(dtype)),
    })
}

fn unpack<const N: usize>(
    bytes: &[u8],
    count: usize,
    number_of: impl Fn([u8; N]) -> f32,
) -> Result<Vec<f32>, String> {
    let (elements, rest) = bytes.as_chunks::<N>();
    if elements.len() != count || !rest.is_empty() {
        return Err(bytes_found(bytes, N));
    }
    Ok(elements.iter().map(|element| number_of(*element)).collect())
}

fn bytes_found(bytes: &[u8], element: usize) -> String {
    format!("{} bytes of {element}-byte", bytes.len())
}

/// The list filled up with its last value; the error is what was found instead.
fn filled_up(mut values: Vec<f32>, count: usize) -> Result<Vec<f32>, String> {
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

    #[test]
    fn one_value_stands_for_no_more_than_was_asked_for() {
        let tensor = |size: usize| Tensor {
            dtype: DataType::F32,
            shape: vec![size as i64],
            elements: Elements::Listed(vec![1.0]),
        };
        assert_eq!(tensor(FILLED + 1).check_filling(1), Ok(()));
        let asked = FILLED / FILLED_PER_ASKED * 4;
        assert_eq!(tensor(FILLED * 4).check_filling(asked), Ok(()));
        assert!(matches!(
            tensor(FILLED * 5).check_filling(asked),
            Err(TensorError::Filled { found: 1, .. })
        ));
        assert!(tensor(MAX_ELEMENTS).check_filling(1).is_err());
    }

    const NUMERIC: [DataType; 13] = [
        DataType::F32,
        DataType::F64,
        DataType::F16,
        DataType::Bf16,
        DataType::I8,
        DataType::I16,
        DataType::I32,
        DataType::I64,
        DataType::U8,
        DataType::U16,
        DataType::U32,
        DataType::U64,
        DataType::Bool,
    ];

    fn sent(array: ArrayD<f32>, dtype: DataType) -> Vec<u8> {
        match Tensor::pack(array, dtype).expect("numeric").elements {
            Elements::Packed(bytes) => bytes.to_vec(),
            Elements::Listed(_) => panic!("packing gives bytes"),
        }
    }

    fn sent_number(value: f32, dtype: DataType) -> Vec<u8> {
        sent(arr0(value).into_dyn(), dtype)
    }

    fn received(bytes: &[u8], dtype: DataType, shape: &[i64]) -> Result<ArrayD<f32>, TensorError> {
        Tensor {
            dtype,
            shape: shape.to_vec(),
            elements: Elements::Packed(bytes.to_vec().into()),
        }
        .unpack()
    }

    fn list(values: &[f32], shape: &[i64]) -> Tensor {
        Tensor {
            dtype: DataType::F32,
            shape: shape.to_vec(),
            elements: Elements::Listed(values.to_vec()),
        }
    }

    fn counting() -> ArrayD<f32> {
        Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32).into_dyn()
    }

    #[test]
    fn every_numeric_type_carries_small_whole_numbers_both_ways() {
        let array = counting().mapv(|value| value % 2.0);
        for dtype in NUMERIC {
            let tensor = Tensor::pack(array.clone(), dtype).expect("numeric");
            assert_eq!(tensor.unpack().expect("our own"), array, "{dtype:?}");
        }
    }

    #[test]
    fn bytes_are_little_endian_and_half_precision_is_real() {
        assert_eq!(sent_number(1.5, DataType::F32), 1.5_f32.to_le_bytes());
        assert_eq!(sent_number(1.0, DataType::F16), [0x00, 0x3c]);
        assert_eq!(sent_number(258.0, DataType::I32), [2, 1, 0, 0]);
    }

    #[test]
    fn integers_saturate() {
        assert_eq!(sent_number(300.0, DataType::U8), [255]);
        assert_eq!(sent_number(-3.7, DataType::U8), [0]);
        assert_eq!(sent_number(-200.0, DataType::I8), [0x80]);
        assert_eq!(sent_number(3.7, DataType::I8), [3]);
        assert_eq!(sent_number(f32::NAN, DataType::I16), [0, 0]);
        assert_eq!(sent_number(1e30, DataType::I64), i64::MAX.to_le_bytes());
    }

    #[test]
    fn sixteen_bit_floats_are_rounded_to_even_and_overflow_to_infinity() {
        for (value, half, upper) in [
            (65519.0, 0x7bff_u16, 0x4780_u16),
            (65520.0, 0x7c00, 0x4780),
            (f32::NEG_INFINITY, 0xfc00, 0xff80),
            (f32::MAX, 0x7c00, 0x7f80),
            (f32::from_bits(0x3f80_8000), 0x3c04, 0x3f80),
            (f32::from_bits(0x3f81_8000), 0x3c0c, 0x3f82),
            (5.960_464_5e-8, 0x0001, 0x3380),
        ] {
            assert_eq!(sent_number(value, DataType::F16), half.to_le_bytes());
            assert_eq!(sent_number(value, DataType::Bf16), upper.to_le_bytes());
        }
    }

    #[test]
    fn every_sixteen_bit_float_survives_the_way_there_and_back() {
        for bits in 0..=u16::MAX {
            for dtype in [DataType::F16, DataType::Bf16] {
                let value = received(&bits.to_le_bytes(), dtype, &[]).expect("a float")[[]];
                let back = sent_number(value, dtype);
                if value.is_nan() {
                    let again = received(&back, dtype, &[]).expect("a float")[[]];
                    assert!(again.is_nan(), "{bits:#x}");
                } else {
                    assert_eq!(back, bits.to_le_bytes(), "{dtype:?}");
                }
            }
        }
    }

    #[test]
    fn a_nan_stays_a_nan_of_the_same_sign_and_upper_payload() {
        // Whose payload has bits in its lower part only: cut off without care, it would become infinite.
        let faint = [0x7f80_0001_u32, 0xff80_0001, 0x7f80_1fff];
        for bits in faint {
            let value = f32::from_bits(bits);
            for dtype in [DataType::F16, DataType::Bf16] {
                let back = received(&sent_number(value, dtype), dtype, &[]).expect("a float")[[]];
                assert!(back.is_nan(), "{bits:#x}");
                assert_eq!(back.is_sign_negative(), value.is_sign_negative());
            }
        }
        let quiet = f32::from_bits(0x7fda_0000);
        assert_eq!(sent_number(quiet, DataType::F16), 0x7ed0_u16.to_le_bytes());
        assert_eq!(sent_number(quiet, DataType::Bf16), 0x7fda_u16.to_le_bytes());
    }

    #[test]
    fn an_array_in_any_layout_is_sent_in_row_major_order() {
        let turned = counting().permuted_axes(vec![2, 0, 1]);
        let mut cut = counting();
        cut.slice_axis_inplace(Axis(0), Slice::from(1..2));
        let mut flipped = counting();
        flipped.invert_axis(Axis(1));
        let empty = ArrayD::zeros(vec![0, 3]);
        for array in [counting(), turned, cut, flipped, empty] {
            let expected: Vec<u8> = array.iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!(sent(array, DataType::F32), expected);
        }
    }

    #[test]
    fn a_usual_array_and_a_complete_list_cost_nothing() {
        assert_eq!(bytes_to_pack(&counting(), DataType::F32), 0);
        assert_eq!(bytes_to_pack(&counting(), DataType::F16), 96);
        assert_eq!(
            bytes_to_pack(&counting().reversed_axes(), DataType::F32),
            96
        );
        assert_eq!(list(&[1.0; 4], &[2, 2]).bytes_to_convert(), 0);
        assert_eq!(list(&[1.0], &[2, 2]).bytes_to_convert(), 12);
        assert_eq!(list(&[1.0], &[-1, 2]).bytes_to_convert(), 0);
    }

    #[test]
    fn types_without_numbers_are_named_in_the_error() {
        let text = DataType::Other("DT_STRING");
        let error = Tensor::pack(arr0(0.0).into_dyn(), text).expect_err("no number");
        assert_eq!(
            error.to_string(),
            "elements of type DT_STRING cannot be turned into numbers"
        );
        assert_eq!(received(&[0; 4], text, &[1]).expect_err("text"), error);
    }

    #[test]
    fn a_short_list_goes_on_with_its_last_value() {
        for (short, full) in [
            (&[7.0][..], [7.0; 4]),
            (&[1.0, 2.0], [1.0, 2.0, 2.0, 2.0]),
            (&[], [0.0; 4]),
        ] {
            let array = list(short, &[2, 2]).unpack().expect("it is filled up");
            assert_eq!(array.into_raw_vec_and_offset().0, full);
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let error = list(&[0.0; 5], &[2, 2]).unpack().expect_err("too long");
        assert_eq!(error.to_string(), "5 elements do not fill the shape [2, 2]");
        let error = received(&[0; 15], DataType::F32, &[2, 2]).expect_err("no whole elements");
        assert_eq!(
            error.to_string(),
            "15 bytes of 4-byte elements do not fill the shape [2, 2]"
        );
        for sizes in [
            &[-1, 2][..],
            &[i64::MAX, i64::MAX],
            &[1 << 40],
            &[0, i64::MAX, i64::MAX],
        ] {
            assert_eq!(
                list(&[], sizes).unpack(),
                Err(TensorError::Shape(sizes.to_vec()))
            );
        }
    }

    #[test]
    fn empty_tensors_are_tensors() {
        let array = list(&[], &[0, 256, 256, 1]).unpack().expect("good");
        assert_eq!(array.shape(), [0, 256, 256, 1]);
    }

    proptest! {
        #[test]
        fn floats_arrive_bit_for_bit(list in proptest::collection::vec(any::<f32>(), 0..50)) {
            let tensor = Tensor::pack(Array1::from(list.clone()).into_dyn(), DataType::F32).expect("numeric");
            let back = tensor.unpack().expect("our own");
            prop_assert!(back.iter().map(|x| x.to_bits()).eq(list.iter().map(|x| x.to_bits())));
        }

        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            dtype in proptest::sample::select(NUMERIC.to_vec()),
            size in -2_i64..9,
        ) {
            let _ = received(&bytes, dtype, &[size, 2]);
            let values: Vec<f32> = bytes.iter().map(|x| f32::from(*x)).collect();
            let _ = list(&values, &[size]).unpack();
        }
    }
}
