//! Runs cases that were recorded from the Python libraries of the predecessor.
//!
//! An area is a folder with an `index.json` (and perhaps an `index_legacy.json`) that lists
//! cases: an operation, its parameters, input and output files and how closely results must
//! agree. This module reads them and runs them; what an operation means is a dispatch function's
//! business, one file an area. It knows no case by name.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ndarray::{Array, ArrayD, ArrayViewD, Dimension};
use serde_json::Value;

use crate::agreement::Agreement;
use crate::formula;
use crate::npy::Npy;

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
    /// What the reference says then.
    pub(crate) error: String,
    folder: PathBuf,
    inputs: BTreeMap<String, Value>,
    outputs: BTreeMap<String, Value>,
    pub(crate) agreements: BTreeMap<String, Value>,
    /// Outputs that the operation has asked for.
    compared: RefCell<BTreeSet<String>>,
}

/// What became of the cases of an area.
#[derive(Default)]
pub(crate) struct Report {
    passed: usize,
    /// Names and reasons.
    pub(crate) failed: Vec<(String, String)>,
    /// How many, by operation.
    skipped: BTreeMap<String, usize>,
}

/// Outputs that nothing is compared with, for they are different each time.
const NOT_COMPARED: [(&str, &str); 1] = [("zip_files", "name_pattern")];

/// Runs all cases of an area, prints a line for each that fails and panics if one did, if one
/// was skipped whose operation is none of these, or if none ran.
pub(crate) fn run(
    area: &str,
    may_be_skipped: &[&str],
    dispatch: impl Fn(&Case) -> Result<Verdict, String>,
) {
    run_below(&folder(), area, may_be_skipped, dispatch);
}

/// The same with the area that lies in this folder.
pub(crate) fn run_below(
    folder: &Path,
    area: &str,
    may_be_skipped: &[&str],
    dispatch: impl Fn(&Case) -> Result<Verdict, String>,
) {
    let mut report = report(folder, area, dispatch);
    for (name, reason) in &report.failed {
        println!("failed {name}: {reason}");
    }
    for (operation, count) in &report.skipped {
        println!("skipped {operation}: {count}");
    }
    let (passed, failed) = (report.passed, report.failed.len());
    let count: usize = report.skipped.values().sum();
    println!("golden {area}: {passed} passed, {failed} failed, {count} skipped");
    assert_eq!(failed, 0, "{failed} golden cases of {area} failed");
    let skipped = &mut report.skipped;
    skipped.retain(|operation, _| !may_be_skipped.contains(&operation.as_str()));
    assert!(
        skipped.is_empty(),
        "golden cases of {area} must not be skipped: {skipped:?}"
    );
    assert!(
        passed > 0,
        "no golden case of {area} ran: there is none in {}",
        folder.display()
    );
}

/// Runs all cases of the area that lies in this folder.
pub(crate) fn report(
    folder: &Path,
    area: &str,
    dispatch: impl Fn(&Case) -> Result<Verdict, String>,
) -> Report {
    let mut report = Report::default();
    for case in cases(&folder.join(area)) {
        let verdict = dispatch(&case).and_then(|verdict| match verdict {
            Verdict::Passed => case.is_compared().map(|()| verdict),
            Verdict::Skipped => Ok(verdict),
        });
        match verdict {
            Ok(Verdict::Passed) => report.passed += 1,
            Ok(Verdict::Skipped) => *report.skipped.entry(case.operation).or_default() += 1,
            Err(reason) => report.failed.push((case.name, reason)),
        }
    }
    report
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

/// The cases that lie beside the tests: forms of cases that the reference's own set has few of.
pub(crate) fn forms() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden-forms")
}

fn cases(folder: &Path) -> Vec<Case> {
    let indices = ["index.json", "index_legacy.json"].map(|name| folder.join(name));
    let present = indices.iter().filter(|index| index.is_file());
    present
        .flat_map(|index| read_index(index, folder))
        .collect()
}

fn read_index(index: &Path, folder: &Path) -> Vec<Case> {
    let index = read_json(index).unwrap_or_else(|error| panic!("{error}"));
    let cases = index["cases"].as_array().expect("an index lists cases");
    cases.iter().map(|case| Case::new(case, folder)).collect()
}

fn read_json(path: &Path) -> Result<Value, String> {
    serde_json::from_slice(&bytes(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
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
            fails: case.get("error").is_some_and(|error| !error.is_null()),
            error: text(case["error"]["message"].clone()),
            folder: folder.to_owned(),
            inputs: map(&case["inputs"]),
            outputs,
            agreements,
            compared: RefCell::default(),
        }
    }

    /// A numeric parameter.
    pub(crate) fn number(&self, name: &str) -> Result<f64, String> {
        self.params[name]
            .as_f64()
            .ok_or_else(|| format!("parameter `{name}` is no number"))
    }

    /// A parameter that is a text; an empty one if it is not given.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.params[name].as_str().unwrap_or_default()
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
        let input = self.inputs.get(name);
        let input = input.ok_or_else(|| format!("no input `{name}`"))?;
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

    /// An array of numbers that is stored, or noted as a formula under this name or with `_formula` behind it.
    pub(crate) fn formula_or_input(&self, name: &str) -> Result<ArrayD<f64>, String> {
        let noted = [name, &format!("{name}_formula")];
        match noted.iter().find_map(|name| self.input_value(name)) {
            Some(formula) => formula::array(formula, &self.params),
            None => Ok(self.input(name)?.values),
        }
    }

    /// An input array.
    pub(crate) fn input(&self, name: &str) -> Result<Npy, String> {
        Npy::read(&self.input_path(name)?)
    }

    /// An input array of so many axes, in another type.
    pub(crate) fn ranked<T, D: Dimension>(
        &self,
        name: &str,
        convert: impl Fn(f64) -> T,
    ) -> Result<Array<T, D>, String> {
        let array = self.input(name)?.map(convert).into_dimensionality();
        array.map_err(|error| format!("input `{name}`: {error}"))
    }

    /// The content of an input's file.
    pub(crate) fn input_bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        bytes(&self.input_path(name)?)
    }

    /// The content of a recorded file.
    pub(crate) fn expected_bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        bytes(&self.expected_path(name)?)
    }

    /// Whether every output that is recorded has been asked for: the others would agree with anything.
    fn is_compared(&self) -> Result<(), String> {
        let compared = self.compared.borrow();
        let is_left_out = |name: &str| NOT_COMPARED.contains(&(self.operation.as_str(), name));
        let left: Vec<&String> = self
            .outputs
            .keys()
            .filter(|name| !self.fails && !compared.contains(*name) && !is_left_out(name))
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            let operation = &self.operation;
            Err(format!(
                "`{operation}` puts out nothing that is called {left:?}"
            ))
        }
    }

    /// A recorded result array.
    pub(crate) fn expected(&self, name: &str) -> Result<Npy, String> {
        Npy::read(&self.expected_path(name)?)
    }

    /// A recorded result table.
    pub(crate) fn expected_json(&self, name: &str) -> Result<Value, String> {
        match self.output(name)?.get("value") {
            Some(value) => Ok(value.clone()),
            None => read_json(&self.expected_path(name)?),
        }
    }

    /// The names of all recorded outputs.
    pub(crate) fn output_names(&self) -> impl Iterator<Item = &str> {
        self.outputs.keys().map(String::as_str)
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
        self.agreement(name)?.of_arrays(name, got, &expected)
    }

    /// Whether `got` agrees with the recorded table as closely as the index asks.
    pub(crate) fn agrees_json(&self, name: &str, got: &Value) -> Result<(), String> {
        let agreement = self.agreement(name)?;
        agreement
            .of_tables(got, &self.expected_json(name)?)
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

    fn output(&self, name: &str) -> Result<&Value, String> {
        self.compared.borrow_mut().insert(name.to_owned());
        let output = self.outputs.get(name);
        output.ok_or_else(|| format!("no output `{name}`"))
    }

    fn expected_path(&self, name: &str) -> Result<PathBuf, String> {
        self.path_of(self.output(name)?)
            .ok_or_else(|| format!("output `{name}` names no file"))
    }

    fn path_of(&self, entry: &Value) -> Option<PathBuf> {
        let file = entry.as_str().or_else(|| entry["file"].as_str())?;
        Some(self.folder.join(file))
    }
}
