//! Whether a tensor is the expected one, as closely as a package asks.

use ndarray::{ArrayViewD, Dimension};

use crate::error::TensorError;
use crate::tolerance::Tolerance;

/// How far a tensor is from the expected one.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Elements that were compared.
    pub elements: usize,
    /// Elements that differ by more than the tolerance.
    pub differing: usize,
    /// The element that differs most, if one differs at all.
    pub largest: Option<Difference>,
    /// Whether no more elements differ than may.
    pub is_close: bool,
}

/// An element that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where it lies.
    pub at: Vec<usize>,
    /// Its value.
    pub found: f32,
    /// The value that was expected.
    pub expected: f32,
}

impl Difference {
    /// The distance of both values; infinite if one of them is NaN.
    #[must_use]
    pub fn distance(&self) -> f32 {
        distance(self.found, self.expected)
    }
}

impl Comparison {
    /// Compares in f32, as the reference does. Unlike there, NaN differs from any number.
    ///
    /// # Errors
    ///
    /// [`TensorError::Shape`] if the shapes differ.
    pub fn new(
        found: ArrayViewD<'_, f32>,
        expected: ArrayViewD<'_, f32>,
        tolerance: Tolerance,
    ) -> Result<Self, TensorError> {
        if found.shape() != expected.shape() {
            return Err(TensorError::Shape {
                found: found.shape().to_vec(),
                expected: expected.shape().to_vec(),
            });
        }
        let (absolute, relative) = (tolerance.absolute as f32, tolerance.relative as f32);
        let (mut differing, mut largest) = (0, None::<Difference>);
        for ((at, &found), &expected) in found.indexed_iter().zip(&expected) {
            let distance = distance(found, expected);
            let is_close = distance == 0.0 || distance <= absolute + relative * expected.abs();
            differing += usize::from(!is_close);
            if distance > largest.as_ref().map_or(0.0, Difference::distance) {
                let at = at.slice().to_vec();
                largest = Some(Difference {
                    at,
                    found,
                    expected,
                });
            }
        }
        let elements = found.len();
        let per_million = differing as f64 / elements.max(1) as f64 * 1e6;
        Ok(Self {
            elements,
            differing,
            largest,
            is_close: per_million <= tolerance.mismatched_per_million,
        })
    }
}

fn distance(found: f32, expected: f32) -> f32 {
    if found == expected || (found.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    let distance = (found - expected).abs();
    if distance.is_nan() {
        f32::INFINITY
    } else {
        distance
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, arr1};

    use super::*;

    fn compare(found: &[f32], expected: &[f32], tolerance: Tolerance) -> Comparison {
        let (found, expected) = (arr1(found).into_dyn(), arr1(expected).into_dyn());
        Comparison::new(found.view(), expected.view(), tolerance).unwrap()
    }

    #[test]
    fn elements_beyond_the_tolerance_differ_and_some_may() {
        let tolerance = Tolerance {
            relative: 0.1,
            absolute: 0.5,
            mismatched_per_million: 250_000.0,
        };
        let comparison = compare(&[1.0, 11.4, 7.0, 0.0], &[1.0, 10.0, 4.0, 0.4], tolerance);
        assert_eq!((comparison.elements, comparison.differing), (4, 1));
        assert!(comparison.is_close);
        let largest = comparison.largest.unwrap();
        assert_eq!(
            (
                largest.at.clone(),
                largest.found,
                largest.expected,
                largest.distance()
            ),
            (vec![2], 7.0, 4.0, 3.0)
        );
        let comparison = compare(&[1.0, 11.6, 7.0, 0.0], &[1.0, 10.0, 4.0, 0.4], tolerance);
        assert_eq!((comparison.differing, comparison.is_close), (2, false));
    }

    #[test]
    fn equal_tensors_have_no_largest_difference() {
        let numbers = [f32::NAN, f32::INFINITY, 0.0];
        let comparison = compare(&numbers, &numbers, Tolerance::default());
        assert_eq!((comparison.differing, comparison.largest), (0, None));
        assert!(compare(&[], &[], Tolerance::default()).is_close);
    }

    #[test]
    fn numbers_that_are_none_differ_from_any_number() {
        let comparison = compare(
            &[f32::NAN, 1.0, f32::INFINITY],
            &[1.0, f32::NAN, 1.0],
            Tolerance::default(),
        );
        assert_eq!((comparison.differing, comparison.is_close), (3, false));
        assert_eq!(
            comparison.largest.map(|largest| largest.distance()),
            Some(f32::INFINITY)
        );
    }

    #[test]
    fn other_shapes_are_errors() {
        let (found, expected) = (ArrayD::zeros(vec![2, 3]), ArrayD::zeros(vec![3, 2]));
        let comparison = Comparison::new(found.view(), expected.view(), Tolerance::default());
        assert!(matches!(comparison, Err(TensorError::Shape { .. })));
    }
}
