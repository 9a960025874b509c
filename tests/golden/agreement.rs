//! How closely results must agree with what was recorded.

use ndarray::{ArrayD, ArrayViewD, Dimension};
use serde_json::Value;

/// `|got - expected| <= absolute + relative * |expected|`.
#[derive(Clone, Copy)]
pub(crate) struct Agreement {
    pub(crate) absolute: f64,
    pub(crate) relative: f64,
}

impl Agreement {
    /// Equal values.
    pub(crate) const EXACT: Self = Self {
        absolute: 0.0,
        relative: 0.0,
    };

    /// As an index notes it.
    pub(crate) fn new(agreement: &Value) -> Option<Self> {
        let kind = agreement.as_str().or_else(|| agreement["kind"].as_str());
        match kind {
            // Some say of what besides: "exact (ties included)".
            Some(kind) if kind.split([' ', ',']).next() == Some("exact") => Some(Self::EXACT),
            Some("close") => Some(Self {
                absolute: agreement["atol"].as_f64()?,
                relative: agreement["rtol"].as_f64()?,
            }),
            Some(_) => None,
            None => {
                let [absolute, relative] = ["abs", "rel"].map(|key| agreement[key].as_f64());
                absolute.or(relative)?;
                let (absolute, relative) = (absolute.unwrap_or(0.0), relative.unwrap_or(0.0));
                Some(Self { absolute, relative })
            }
        }
    }

    fn holds(self, got: f64, expected: f64) -> bool {
        let equal = got == expected || (got.is_nan() && expected.is_nan());
        equal || (got - expected).abs() <= self.absolute + self.relative * expected.abs()
    }

    /// Shapes must be equal, and values agree; the error says where they do not.
    pub(crate) fn of_arrays<T>(
        self,
        what: &str,
        got: ArrayViewD<'_, T>,
        expected: &ArrayD<f64>,
    ) -> Result<(), String>
    where
        T: Copy + Into<f64>,
    {
        if got.shape() != expected.shape() {
            return Err(format!(
                "`{what}` has shape {:?}, not {:?}",
                got.shape(),
                expected.shape()
            ));
        }
        let pairs = got.indexed_iter().zip(expected);
        let wrong: Vec<_> = pairs
            .map(|((place, &got), &expected)| (place, got.into(), expected))
            .filter(|(_, got, expected)| !self.holds(*got, *expected))
            .collect();
        let Some((place, value, expected)) = wrong.first() else {
            return Ok(());
        };
        let (count, place) = (wrong.len(), place.slice());
        Err(format!(
            "`{what}` differs in {count} values, at {place:?} it is {value}, not {expected}"
        ))
    }

    /// Numbers must agree, everything else must be equal; the error says where it is not.
    pub(crate) fn of_tables(self, got: &Value, expected: &Value) -> Result<(), String> {
        match (got, expected) {
            (Value::Array(got), Value::Array(expected)) if got.len() == expected.len() => {
                for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
                    self.of_tables(got, expected)
                        .map_err(|at| format!("[{index}]{at}"))?;
                }
                Ok(())
            }
            (Value::Object(got), Value::Object(expected)) if got.len() == expected.len() => {
                for (key, expected) in expected {
                    let got = got.get(key).unwrap_or(&Value::Null);
                    self.of_tables(got, expected)
                        .map_err(|at| format!(".{key}{at}"))?;
                }
                Ok(())
            }
            _ => {
                let numbers = got.as_f64().zip(expected.as_f64());
                let agrees = numbers.map_or(got == expected, |(a, b)| self.holds(a, b));
                if agrees {
                    Ok(())
                } else {
                    Err(format!(" is {got}, not {expected}"))
                }
            }
        }
    }
}
