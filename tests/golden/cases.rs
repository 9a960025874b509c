//! Runs cases that were recorded from the Python libraries of the predecessor.
//!
//! An area is a folder with an `index.json` (and perhaps an `index_legacy.json`) that lists
//! cases: an operation, its parameters, input and output files and how closely results must
//! agree. This module reads and compares; what an operation means is a dispatch function's
//! business, one file an area. It knows no case by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, ArrayViewD, Dimension, IxDyn, ShapeBuilder};
use serde_json::Value;

/// What became of a case that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Results agree.
    Passed,
    /// Nobody here knows the operation, or there is no reference to agree with.
    Skipped,
}

/// A recorded call.
pub(crate) struct Case {
    /// Its name in the index, for messages.
    pub(crate) name: String,
    /// What was called.
    pub(crate) operation: String,
    /// With which parameters.
    pub(crate) params: Value,
    /// How much the case matters: 1 must, 2 should, 3 may agree.
    pub(crate) tier: u64,
    /// Whether the call must fail.
    pub(crate) fails: bool,
    folder: PathBuf,
    inputs: BTreeMap<String, Value>,
    outputs: BTreeMap<String, Value>,
    pub(crate) agreements: BTreeMap<String, Value>,
}

/// Runs all cases of an area, prints a line for each that fails and panics if one did, if one
/// was skipped whose operation is none of these, or if none ran.
pub(crate) fn run(
    area: &str,
    may_be_skipped: &[&str],
    dispatch: impl Fn(&Case) -> Result<Verdict, String>,
) {
    let (mut passed, mut failed) = (0, 0);
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases(area) {
        match dispatch(&case) {
            Ok(Verdict::Passed) => passed += 1,
            Ok(Verdict::Skipped) => *skipped.entry(case.operation.clone()).or_default() += 1,
            Err(reason) => {
                failed += 1;
                println!("failed {}: {reason}", case.name);
            }
        }
    }
    for (operation, count) in &skipped {
        println!("skipped {operation}: {count}");
    }
    let count: usize = skipped.values().sum();
    println!("golden {area}: {passed} passed, {failed} failed, {count} skipped");
    assert_eq!(failed, 0, "{failed} golden cases of {area} failed");
    skipped.retain(|operation, _| !may_be_skipped.contains(&operation.as_str()));
    assert!(
        skipped.is_empty(),
        "golden cases of {area} must not be skipped: {skipped:?}"
    );
    assert!(passed > 0, "no golden case of {area} ran");
}

/// The folder that holds the areas: `GOLDEN_DIR`, else the full set beside the project, else
/// the small set inside it.
#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
pub(crate) fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("GOLDEN_DIR") {
        return folder.into();
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = project.join("../shared/golden");
    if beside.is_dir() {
        beside
    } else {
        project.join("tests/fixtures/golden")
    }
}

fn cases(area: &str) -> Vec<Case> {
    let folder = folder().join(area);
    let indices = ["index.json", "index_legacy.json"].map(|name| folder.join(name));
    let present = indices.iter().filter(|index| index.is_file());
    present
        .flat_map(|index| read_index(index, &folder))
        .collect()
}

fn read_index(index: &Path, folder: &Path) -> Vec<Case> {
    let index = read_json(index).unwrap_or_else(|error| panic!("{error}"));
    let cases = index["cases"].as_array().expect("an index lists cases");
    cases.iter().map(|case| Case::new(case, folder)).collect()
}

fn read_json(path: &Path) -> Result<Value, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

impl Case {
    fn new(case: &Value, folder: &Path) -> Self {
        let either = |a: &str, b: &str| case.get(a).or(case.get(b)).cloned().unwrap_or_default();
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let map = |value: &Value| -> BTreeMap<String, Value> {
            let entries = value.as_object().into_iter().flatten();
            entries
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        let outputs = map(&either("outputs", "expected"));
        let own = outputs
            .iter()
            .filter_map(|(name, output)| Some((name.clone(), output.get("agreement")?.clone())));
        let agreements = own.chain(map(&case["agreement"])).collect();
        Self {
            name: text(either("name", "case")),
            operation: text(either("operation", "op")),
            params: case["params"].clone(),
            tier: case["tier"].as_u64().unwrap_or(1),
            fails: case.get("error").is_some(),
            folder: folder.to_owned(),
            inputs: map(&case["inputs"]),
            outputs,
            agreements,
        }
    }

    /// A numeric parameter.
    pub(crate) fn number(&self, name: &str) -> Result<f64, String> {
        self.params[name]
            .as_f64()
            .ok_or_else(|| format!("parameter `{name}` is no number"))
    }

    /// A parameter that counts.
    pub(crate) fn count(&self, name: &str) -> Result<usize, String> {
        let count = self.params[name].as_u64();
        Ok(count.ok_or_else(|| format!("parameter `{name}` is no count"))? as usize)
    }

    /// A parameter that lists counts.
    pub(crate) fn counts<const N: usize>(&self, name: &str) -> Result<[usize; N], String> {
        let counts = self.params[name].as_array().into_iter().flatten();
        let counts: Vec<usize> = counts
            .filter_map(Value::as_u64)
            .map(|n| n as usize)
            .collect();
        counts
            .try_into()
            .map_err(|_| format!("parameter `{name}` is no list of {N} counts"))
    }

    /// The file of an input.
    pub(crate) fn input_path(&self, name: &str) -> Result<PathBuf, String> {
        let input = self
            .inputs
            .get(name)
            .ok_or_else(|| format!("no input `{name}`"))?;
        self.path_of(input)
            .ok_or_else(|| format!("input `{name}` names no file"))
    }

    /// Whether there is an input of this name.
    pub(crate) fn has_input(&self, name: &str) -> bool {
        self.inputs.contains_key(name)
    }

    /// An input that is noted in the index.
    pub(crate) fn input_value(&self, name: &str) -> Option<&Value> {
        self.inputs.get(name)?.get("value")
    }

    /// An input array.
    pub(crate) fn input(&self, name: &str) -> Result<Npy, String> {
        Npy::read(&self.input_path(name)?)
    }

    /// A recorded result array.
    pub(crate) fn expected(&self, name: &str) -> Result<Npy, String> {
        Npy::read(&self.expected_path(name)?)
    }

    /// A recorded result table.
    pub(crate) fn expected_json(&self, name: &str) -> Result<Value, String> {
        let output = self
            .outputs
            .get(name)
            .ok_or_else(|| format!("no output `{name}`"))?;
        match output.get("value") {
            Some(value) => Ok(value.clone()),
            None => read_json(&self.expected_path(name)?),
        }
    }

    /// Whether an output of this name is recorded.
    pub(crate) fn has_output(&self, name: &str) -> bool {
        self.outputs.contains_key(name)
    }

    /// Whether `got` agrees with the recorded array as closely as the index asks.
    pub(crate) fn agrees<T>(&self, name: &str, got: ArrayViewD<'_, T>) -> Result<(), String>
    where
        T: Copy + Into<f64>,
    {
        let expected = self.expected(name)?.values;
        if got.shape() != expected.shape() {
            return Err(format!(
                "`{name}` has shape {:?}, not {:?}",
                got.shape(),
                expected.shape()
            ));
        }
        let agreement = self.agreement(name)?;
        let pairs = got.indexed_iter().zip(&expected);
        let wrong: Vec<_> = pairs
            .map(|((place, &got), &expected)| (place, got.into(), expected))
            .filter(|(_, got, expected)| !agreement.holds(*got, *expected))
            .collect();
        let Some((place, value, expected)) = wrong.first() else {
            return Ok(());
        };
        let (count, place) = (wrong.len(), place.slice());
        Err(format!(
            "`{name}` differs in {count} values, at {place:?} it is {value}, not {expected}"
        ))
    }

    /// Whether `got` agrees with the recorded table as closely as the index asks.
    pub(crate) fn agrees_json(&self, name: &str, got: &Value) -> Result<(), String> {
        let agreement = self.agreement(name)?;
        json_agrees(got, &self.expected_json(name)?, agreement)
            .map_err(|reason| format!("`{name}`{reason}"))
    }

    fn agreement(&self, name: &str) -> Result<Agreement, String> {
        let agreement = self
            .agreements
            .get(name)
            .ok_or_else(|| format!("no agreement on `{name}`"))?;
        Agreement::new(agreement)
            .ok_or_else(|| format!("unknown agreement {agreement} on `{name}`"))
    }

    pub(crate) fn expected_path(&self, name: &str) -> Result<PathBuf, String> {
        let output = self
            .outputs
            .get(name)
            .ok_or_else(|| format!("no output `{name}`"))?;
        self.path_of(output)
            .ok_or_else(|| format!("output `{name}` names no file"))
    }

    fn path_of(&self, entry: &Value) -> Option<PathBuf> {
        let file = entry.as_str().or_else(|| entry["file"].as_str())?;
        Some(self.folder.join(file))
    }
}

/// How closely results must agree: `|got - expected| <= absolute + relative * |expected|`.
#[derive(Clone, Copy)]
struct Agreement {
    absolute: f64,
    relative: f64,
}

impl Agreement {
    fn new(agreement: &Value) -> Option<Self> {
        let kind = agreement.as_str().or_else(|| agreement["kind"].as_str());
        match kind {
            Some("exact") => Some(Self {
                absolute: 0.0,
                relative: 0.0,
            }),
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
}

/// Numbers must agree, everything else must be equal; the error says where it is not.
fn json_agrees(got: &Value, expected: &Value, agreement: Agreement) -> Result<(), String> {
    match (got, expected) {
        (Value::Array(got), Value::Array(expected)) if got.len() == expected.len() => {
            for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
                json_agrees(got, expected, agreement).map_err(|at| format!("[{index}]{at}"))?;
            }
            Ok(())
        }
        (Value::Object(got), Value::Object(expected)) if got.len() == expected.len() => {
            for (key, expected) in expected {
                let got = got.get(key).unwrap_or(&Value::Null);
                json_agrees(got, expected, agreement).map_err(|at| format!(".{key}{at}"))?;
            }
            Ok(())
        }
        _ => {
            let numbers = got.as_f64().zip(expected.as_f64());
            let agrees = numbers.map_or(got == expected, |(a, b)| agreement.holds(a, b));
            if agrees {
                Ok(())
            } else {
                Err(format!(" is {got}, not {expected}"))
            }
        }
    }
}

/// An array from a `.npy` file; `f64` holds every value of the stored types.
pub(crate) struct Npy {
    /// `NumPy`'s name of the stored type, such as `<f4`.
    pub(crate) dtype: String,
    /// The values.
    pub(crate) values: ArrayD<f64>,
}

impl Npy {
    /// Reads a little-endian file of version 1.0.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&bytes).ok_or_else(|| format!("{}: not a npy file we read", path.display()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00")?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (header, data) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        let header = std::str::from_utf8(header).ok()?;
        let dtype = header
            .split_once("'descr': '")?
            .1
            .split_once('\'')?
            .0
            .to_owned();
        let by_column = !header.contains("'fortran_order': False");
        let shape = header.split_once("'shape': (")?.1.split_once(')')?.0;
        let lengths = shape
            .split(',')
            .map(str::trim)
            .filter(|length| !length.is_empty());
        let shape: Vec<usize> = lengths
            .map(|length| length.parse().ok())
            .collect::<Option<_>>()?;
        let values = numbers(&dtype, data)?;
        Some(Self {
            dtype,
            values: ArrayD::from_shape_vec(IxDyn(&shape).set_f(by_column), values).ok()?,
        })
    }

    /// The values as another type; conversion saturates.
    pub(crate) fn map<T>(&self, convert: impl Fn(f64) -> T) -> ArrayD<T> {
        self.values.map(|&value| convert(value))
    }
}

fn numbers(dtype: &str, data: &[u8]) -> Option<Vec<f64>> {
    fn each<const N: usize>(data: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>()
            .0
            .iter()
            .map(|&bytes| number(bytes))
            .collect()
    }
    Some(match dtype {
        "|u1" | "|b1" => each(data, |[byte]| byte.into()),
        "<u2" => each(data, |bytes| u16::from_le_bytes(bytes).into()),
        "<f2" => each(data, |bytes| half(u16::from_le_bytes(bytes))),
        "<u4" => each(data, |bytes| u32::from_le_bytes(bytes).into()),
        "<i4" => each(data, |bytes| i32::from_le_bytes(bytes).into()),
        "<f4" => each(data, |bytes| f32::from_le_bytes(bytes).into()),
        "<f8" => each(data, f64::from_le_bytes),
        "<i8" => each(data, |bytes| i64::from_le_bytes(bytes) as f64),
        _ => return None,
    })
}

/// A finite number of half precision.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = if exponent == 0 {
        fraction * 2.0_f64.powi(-24)
    } else {
        (1024.0 + fraction) * 2.0_f64.powi(exponent - 25)
    };
    if bits >> 15 == 0 { size } else { -size }
}
