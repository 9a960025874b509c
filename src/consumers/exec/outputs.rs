//! What a command has left in its folder for results.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use tracing::warn;

use super::children::{self, Asked, Wanted};
use crate::error_class::{InvalidInput, TooLarge};

/// Files at most.
const FILES: usize = 100_000;
/// Folders in folders at most.
const DEPTH: usize = 32;
/// The file that says something about the results, and is none.
pub(super) const ABOUT: &str = "result.json";
/// Bytes of it that are read.
const ABOUT_BYTES: u64 = 8 << 20;
/// Fields of a job's own, and bytes of the value of each.
const FIELDS: usize = 32;
const FIELD_BYTES: usize = 1000;
const QUALITY_BYTES: usize = 300;

/// A pattern of which a file has to be there.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    matcher: GlobMatcher,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        let glob = glob.map_err(|error| error.to_string())?;
        let matcher = glob.compile_matcher();
        let text = text.to_owned();
        Ok(Self { text, matcher })
    }
}

/// What a command has left.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Path below the folder, and the file.
    pub(super) files: Vec<(String, PathBuf)>,
    pub(super) about: About,
}

/// `result.json`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    /// That there are no files is right.
    #[serde(default)]
    pub(super) empty: bool,
    /// Fields for the job's hash, each with `x_` before its name.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub(super) quality: Option<serde_json::Value>,
    /// Jobs that the command wants to be told the results of, in a second run.
    #[serde(default)]
    pub(super) children: Vec<Wanted>,
    /// Whether the first failure of one of them ends the wait.
    #[serde(default)]
    pub(super) fail_fast: bool,
}

/// Only what it says of itself, and what it needs for the jobs that it asks for.
///
/// # Errors
///
/// As with [`look`].
pub(super) fn about(folder: &Path) -> anyhow::Result<Outputs> {
    match folder.join(ABOUT).exists() {
        true => look_for(folder, None),
        false => Ok(Outputs::default()),
    }
}

/// Looks at the folder.
///
/// # Errors
///
/// More files than allowed, a `result.json` that cannot be used, a pattern that no file matches, or nothing at all.
pub(super) fn look(folder: &Path, wanted: &[Pattern]) -> anyhow::Result<Outputs> {
    look_for(folder, Some(wanted))
}

fn look_for(folder: &Path, wanted: Option<&[Pattern]>) -> anyhow::Result<Outputs> {
    let mut outputs = Outputs::default();
    let about = folder.join(ABOUT);
    if about.is_file() {
        outputs.about = read_about(&about)?;
    }
    walk(folder, "", DEPTH, &mut outputs.files)?;
    outputs.files.sort();
    if !outputs.about.children.is_empty() {
        children::check(&outputs.about.children, &outputs.files).map_err(unusable)?;
        return Ok(outputs);
    }
    let Some(wanted) = wanted else {
        return Ok(outputs);
    };
    if let Some(missing) = wanted.iter().find(|pattern| {
        let mut paths = outputs.files.iter().map(|(path, _)| path);
        !paths.any(|path| pattern.matcher.is_match(path))
    }) {
        anyhow::bail!(
            "the command left no output `{}` (EXEC_OUTPUTS)",
            missing.text
        );
    }
    if outputs.files.is_empty() && !outputs.about.empty {
        anyhow::bail!("the command left no output");
    }
    Ok(outputs)
}

fn walk(
    folder: &Path,
    below: &str,
    depth: usize,
    files: &mut Vec<(String, PathBuf)>,
) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        let name = name
            .to_str()
            .filter(|name| !name.starts_with('.') && !name.contains(['\\', '\n', '\r']));
        let Some(name) = name else {
            warn!(path = %path.display(), "an output is left out: its name is hidden, or is none for a result");
            continue;
        };
        if below.is_empty() && name == ABOUT {
            continue;
        }
        let inside = format!("{below}{name}");
        if kind.is_dir() {
            if depth == 0 {
                return Err(
                    TooLarge(format!("the outputs lie more than {DEPTH} folders deep")).into(),
                );
            }
            walk(&path, &format!("{inside}/"), depth - 1, files)?;
        } else if kind.is_file() {
            files.push((inside, path));
            if files.len() > FILES {
                return Err(TooLarge(format!("the command left more than {FILES} files")).into());
            }
        } else {
            warn!(path = %path.display(), "an output is left out: it is no file but a link, a pipe or a device");
        }
    }
    Ok(())
}

fn unusable(why: String) -> InvalidInput {
    InvalidInput(format!("{ABOUT} of the command cannot be used: {why}"))
}

fn read_about(path: &Path) -> anyhow::Result<About> {
    let wrong = unusable;
    let size = fs::symlink_metadata(path)?;
    if !size.is_file() || size.len() > ABOUT_BYTES {
        return Err(wrong(format!("it is no file of at most {ABOUT_BYTES} bytes")).into());
    }
    // A list would do for a struct, too.
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&fs::read(path)?).map_err(|error| wrong(error.to_string()))?;
    let about: About =
        serde_json::from_value(object.into()).map_err(|error| wrong(error.to_string()))?;
    if about.fields.len() > FIELDS {
        return Err(wrong(format!("it has more than {FIELDS} fields")).into());
    }
    for name in about.fields.keys() {
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || name.len() > 64 {
            return Err(wrong(format!(
                "`{name}` is no name of a field: use letters, digits and _"
            ))
            .into());
        }
    }
    if about
        .quality
        .as_ref()
        .is_some_and(|quality| quality.to_string().len() > QUALITY_BYTES)
    {
        return Err(wrong(format!("`quality` has more than {QUALITY_BYTES} bytes")).into());
    }
    Ok(about)
}

impl About {
    /// The jobs that the command asks for, if any.
    pub(super) fn asked(&self) -> Option<Asked> {
        (!self.children.is_empty()).then(|| Asked {
            children: self.children.clone(),
            fail_fast: self.fail_fast,
        })
    }

    /// The fields for the job's hash.
    pub(super) fn fields(&self) -> impl Iterator<Item = (String, String)> {
        self.fields.iter().map(|(name, value)| {
            let mut text = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            while text.len() > FIELD_BYTES {
                text.pop();
            }
            (format!("x_{name}"), text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    #[test]
    fn files_are_results_and_links_and_hidden_ones_are_not() {
        let folder = folder(&[
            ("b/c.csv", "1"),
            ("a.tif", ""),
            (".hidden", ""),
            (ABOUT, "{}"),
        ]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("a link");
        let wanted = ["*.tif", "b/*.csv"].map(|text| Pattern::parse(text).expect(text));
        let outputs = look(folder.path(), &wanted).expect("outputs");
        let paths: Vec<_> = outputs
            .files
            .iter()
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(paths, ["a.tif", "b/c.csv"]);
        let missing = look(
            folder.path(),
            &[Pattern::parse("*.csv").expect("a pattern")],
        );
        assert!(
            missing
                .expect_err("it is below")
                .to_string()
                .contains("`*.csv`")
        );
    }

    #[test]
    fn nothing_is_an_error_unless_it_is_meant() {
        assert!(look(folder(&[]).path(), &[]).is_err());
        assert!(look(folder(&[(ABOUT, "{\"fields\": {\"a\": 1}}")]).path(), &[]).is_err());
        let meant = folder(&[(
            ABOUT,
            r#"{"empty": true, "fields": {"cells": "43", "area": 1.5}}"#,
        )]);
        let about = look(meant.path(), &[]).expect("it is meant").about;
        let fields: Vec<_> = about.fields().collect();
        assert_eq!(
            fields,
            [
                ("x_area".to_owned(), "1.5".to_owned()),
                ("x_cells".to_owned(), "43".to_owned())
            ]
        );
        for wrong in ["[]", "{", "{\"emtpy\": true}", "{\"fields\": {\"a b\": 1}}"] {
            let error = look(folder(&[(ABOUT, wrong)]).path(), &[]).expect_err(wrong);
            assert!(error.to_string().contains(ABOUT), "{error}");
        }
    }
}
