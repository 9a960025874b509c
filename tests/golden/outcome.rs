//! What became of an operation, and the comparisons of those that know their expected values themselves.

use ndarray::{ArrayD, ArrayViewD};
use serde_json::{Value, json};

use crate::agreement::Agreement;
use crate::cases::{Case, Verdict};

pub(crate) type Outcome = Result<(), Failure>;

/// Why an operation did not give the expected result.
pub(crate) enum Failure {
    /// It answered with an error.
    Refused(String),
    /// It answered with something else, or the case could not be read.
    Differs(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Differs(reason)
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self::Differs(reason.to_owned())
    }
}

pub(crate) fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

/// A case that must fail is passed by an operation that refuses; others by one that agrees.
pub(crate) fn judged(case: &Case, outcome: Outcome) -> Result<Verdict, String> {
    match (outcome, case.fails) {
        (Ok(()), false) | (Err(Failure::Refused(_)), true) => Ok(Verdict::Passed),
        (Ok(()), true) => Err("should be refused".to_owned()),
        (Err(Failure::Refused(reason) | Failure::Differs(reason)), _) => Err(reason),
    }
}

/// Equal tables.
pub(crate) fn same(what: &str, found: &Value, expected: &Value) -> Outcome {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found} instead of {expected}").into())
    }
}

/// Equal files.
pub(crate) fn same_bytes(found: &[u8], expected: &[u8]) -> Outcome {
    if found == expected {
        return Ok(());
    }
    let first = found
        .iter()
        .zip(expected)
        .position(|(a, b)| a != b)
        .unwrap_or(found.len().min(expected.len()));
    let (found, expected) = (found.len(), expected.len());
    Err(format!("{found} bytes instead of {expected}, the first other one at {first}").into())
}

/// Equal values and shapes.
pub(crate) fn exact<T: Copy + Into<f64>>(
    what: &str,
    got: ArrayViewD<'_, T>,
    expected: &ArrayD<f64>,
) -> Outcome {
    Ok(Agreement::EXACT.of_arrays(what, got, expected)?)
}

/// Equal shapes, and values as close as `[absolute, relative]` says.
pub(crate) fn close<T: Copy + Into<f64>>(
    what: &str,
    got: ArrayViewD<'_, T>,
    expected: &ArrayD<f64>,
    [absolute, relative]: [f64; 2],
) -> Outcome {
    let agreement = Agreement { absolute, relative };
    Ok(agreement.of_arrays(what, got, expected)?)
}

/// What indices note as the method of an archive's entry.
pub(crate) fn method<R: std::io::Read>(entry: &zip::read::ZipFile<'_, R>) -> u16 {
    match entry.compression() {
        zip::CompressionMethod::Deflated => 8,
        _ => 0,
    }
}

/// Names and compression of the entries of an archive.
pub(crate) fn same_archive(case: &Case, archive: &[u8]) -> Outcome {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).map_err(refused)?;
    let (mut names, mut methods) = (Vec::new(), Vec::new());
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(refused)?;
        names.push(entry.name().map_err(refused)?.into_owned());
        methods.push(method(&entry));
    }
    same("names", &json!(names), &case.expected_json("names")?)?;
    if case.has_output("methods") {
        same("methods", &json!(methods), &case.expected_json("methods")?)?;
    }
    Ok(())
}
