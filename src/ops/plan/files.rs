//! Plans from files, with their values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use batch_plan::{Overrides, Plan, Resolved};

use super::super::desk::Misuse;
use crate::submission::{Wanted, matching};

/// Reads plans, with their values; one that has `with` is one for each of those files.
pub(crate) fn read_plans(paths: &[PathBuf], wanted: &Wanted) -> anyhow::Result<Vec<Resolved>> {
    let mut plans = Vec::new();
    for path in files_of(paths)? {
        plans.extend(read_plan(&path, wanted)?);
    }
    Ok(plans)
}

fn read_plan(path: &Path, wanted: &Wanted) -> anyhow::Result<Vec<Resolved>> {
    let shown = path.display();
    let refused = |error: &dyn Display| Misuse(format!("{shown}: {error}"));
    let text = read(path)?;
    let plan = Plan::parse(&text).map_err(|error| refused(&error))?;
    let mut all = vec![BTreeMap::new()];
    if let Some(pattern) = plan.with() {
        let folder = path.parent().unwrap_or(Path::new("."));
        all = values_of(folder, pattern)?;
    }
    let resolve = |with| {
        let overrides = Overrides {
            set: wanted.values.clone(),
            with,
            sample: wanted.is_sample(),
        };
        let resolved = plan.resolve(&overrides);
        Ok(resolved.map_err(|error| refused(&error))?)
    };
    all.into_iter().map(resolve).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Misuse> {
    fs::read(path).map_err(|error| Misuse(format!("cannot read {}: {error}", path.display())))
}

/// Files of plans; a folder means those in it.
fn files_of(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let suffix = path.extension().and_then(|suffix| suffix.to_str());
            if matches!(suffix, Some("yaml" | "yml" | "json")) {
                inside.push(path);
            }
        }
        if inside.is_empty() {
            return Err(Misuse(format!("there is no plan in {}", path.display())).into());
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

type Values = BTreeMap<String, serde_json::Value>;

/// The values of each file that matches.
fn values_of(folder: &Path, pattern: &str) -> anyhow::Result<Vec<Values>> {
    let files = matching(folder, pattern)?;
    if files.is_empty() {
        return Err(Misuse(format!("no file matches `{pattern}`, which `with` names")).into());
    }
    let values = files.iter().map(|file| {
        let values = batch_plan::parse_values(&read(Path::new(file))?);
        Ok(values.map_err(|error| Misuse(format!("{file}: {error}")))?)
    });
    values.collect()
}
