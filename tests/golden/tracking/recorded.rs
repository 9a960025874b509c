//! Comparisons with those arrays that a case records, by name; what it does not record is not compared.

use cell_analysis::tracking::{CropMode, CropOptions};
use ndarray::{ArrayD, ArrayViewD, Axis};

use crate::cases::Case;
use crate::outcome::{Failure, Outcome, close, exact};

/// The recorded outputs whose names begin with a prefix, such as `f03_`.
pub(super) struct Recorded<'c> {
    case: &'c Case,
    prefix: String,
}

impl<'c> Recorded<'c> {
    pub(super) fn of(case: &'c Case, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        Self { case, prefix }
    }

    /// What is recorded under this name.
    pub(super) fn expected(&self, name: &str) -> Result<Option<ArrayD<f64>>, Failure> {
        let name = format!("{}{name}", self.prefix);
        if !self.case.has_output(&name) {
            return Ok(None);
        }
        Ok(Some(self.case.expected(&name)?.values))
    }

    pub(super) fn exact<T>(&self, name: &str, got: ArrayViewD<'_, T>) -> Outcome
    where
        T: Copy + Into<f64>,
    {
        let expected = self.expected(name)?;
        expected.map_or(Ok(()), |expected| {
            exact(name, rows(got, &expected), &expected)
        })
    }

    pub(super) fn close(&self, name: &str, got: ArrayViewD<'_, f32>, far: [f64; 2]) -> Outcome {
        let expected = self.expected(name)?;
        expected.map_or(Ok(()), |expected| {
            close(name, rows(got, &expected), &expected, far)
        })
    }

    /// Areas, perimeters and eccentricities, which lie on the last axis.
    pub(super) fn morphologies(&self, name: &str, got: ArrayViewD<'_, f32>) -> Outcome {
        let Some(expected) = self.expected(name)? else {
            return Ok(());
        };
        let got = rows(got, &expected);
        if got.shape() != expected.shape() {
            return close(name, got, &expected, [0.0, 0.0]);
        }
        let last = Axis(got.ndim() - 1);
        for (which, far) in [[0.0, 0.0], [0.0, 1e-6], [1e-6, 0.0]]
            .into_iter()
            .enumerate()
        {
            let column = expected.index_axis(last, which).to_owned();
            close(name, got.index_axis(last, which), &column, far)?;
        }
        Ok(())
    }

    /// Crops of a movie whose brightest pixel is this bright.
    pub(super) fn appearances(
        &self,
        name: &str,
        got: ArrayViewD<'_, f32>,
        options: CropOptions,
        highest: f32,
    ) -> Outcome {
        let absolute = if options.crop == CropMode::Resize {
            2e-5 * f64::from(highest)
        } else {
            2e-4
        };
        self.close(name, got, [absolute, 0.0])
    }
}

/// The first rows, as many as are expected: arrays of a frame are recorded with its cells alone, or as the models take
/// them, filled up to the most cells of a frame.
fn rows<'a, T>(got: ArrayViewD<'a, T>, expected: &ArrayD<f64>) -> ArrayViewD<'a, T> {
    match (got.shape(), expected.shape()) {
        ([has, has_rest @ ..], [wanted, rest @ ..]) if wanted < has && has_rest == rest => {
            got.slice_axis_move(Axis(0), (0..*wanted).into())
        }
        _ => got,
    }
}

/// The brightest of these pixels, whatever its sign.
pub(super) fn highest<'a>(pixels: impl Iterator<Item = &'a f32>) -> f32 {
    pixels.fold(0.0_f32, |highest, value| highest.max(value.abs()))
}
