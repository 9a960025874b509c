//! How outputs become the result of a job.

use std::path::PathBuf;

use super::outputs::Outputs;
use super::scratch::Scratch;
use crate::compute;
use crate::consumer::{Clients, Outcome};
use crate::consumers::memory;
use crate::error_class::InvalidInput;
use crate::job::{Job, Output, Step};
use crate::storage::ObjectWriter;
use crate::storage::archive::pack_files;

/// Objects and the files that they are made from, of which the last is the one that the job names as its result.
pub(super) type Objects = Vec<(String, PathBuf)>;

/// All outputs in one archive.
pub(super) async fn as_archive(
    job: &Job,
    outputs: Outputs,
    scratch: &Scratch,
) -> anyhow::Result<Objects> {
    job.step(Step::Zip);
    let archive = scratch.folder().join("result.zip");
    let to = archive.clone();
    compute::run(move || pack_files(&outputs.files, &to)).await?;
    Ok(vec![(job.output_key(), archive)])
}

/// The one output: at the place of an archive, with the suffix of the file.
pub(super) fn as_file(job: &Job, outputs: Outputs) -> anyhow::Result<Objects> {
    match <[(String, PathBuf); 1]>::try_from(outputs.files) {
        Ok([(path, file)]) => Ok(vec![(key_of(job, &path), file)]),
        Err(files) => {
            let text = format!(
                "EXEC_RESULT is `file`, and the command left {} files",
                files.len()
            );
            Err(InvalidInput(text).into())
        }
    }
}

fn key_of(job: &Job, path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.split_once('.') {
        Some((_, suffix)) if !suffix.is_empty() => format!("output/{}.{suffix}", job.stable_id()),
        _ => format!("output/{}", job.stable_id()),
    }
}

/// Each output under the key that is expected: its path is the end of the key. A key that ends in `/` takes all outputs of the
/// folder that is its end.
pub(super) fn under_keys(expect: &[String], outputs: Outputs) -> anyhow::Result<Objects> {
    if expect.is_empty() {
        let text = "EXEC_RESULT is `keys`, and the job names none in its field `rc_expect`, as jobs of plans do";
        return Err(InvalidInput(text.to_owned()).into());
    }
    let mut files = outputs.files;
    let mut objects = Objects::new();
    for wanted in expect {
        let found: Vec<_> = files
            .iter()
            .enumerate()
            .filter_map(|(at, (path, _))| Some((at, object_key(wanted, path)?)))
            .collect();
        // Of `a/x.csv` and `x.csv`, the longer path is meant.
        let longest = found.iter().map(|(at, _)| files[*at].0.len()).max();
        let Some(longest) = longest else {
            anyhow::bail!("the command left no output for `{wanted}`, which the job expects");
        };
        let is_meant = |at: usize| wanted.ends_with('/') || files[at].0.len() == longest;
        let found: Vec<_> = found.into_iter().filter(|(at, _)| is_meant(*at)).collect();
        for (at, key) in found.into_iter().rev() {
            objects.push((key, files.remove(at).1));
        }
    }
    if let Some((path, _)) = files.first() {
        anyhow::bail!(
            "the command left `{path}`, which is none of the objects that the job expects"
        );
    }
    Ok(objects)
}

/// The key of an output, if it is one that is wanted.
fn object_key(wanted: &str, path: &str) -> Option<String> {
    let Some(folder) = wanted.strip_suffix('/') else {
        return is_end(wanted, path).then(|| wanted.to_owned());
    };
    let parents = path.match_indices('/').map(|(at, _)| at);
    let inside = parents.rev().find(|at| is_end(folder, &path[..*at]))?;
    Some(format!("{wanted}{}", &path[inside + 1..]))
}

/// Whether a path is another, or its last parts.
fn is_end(whole: &str, end: &str) -> bool {
    let rest = whole.strip_suffix(end);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// Stores the objects, and ends the job with them.
pub(super) async fn store(
    job: &Job,
    clients: &Clients,
    objects: Objects,
) -> anyhow::Result<Outcome> {
    job.step(Step::Upload);
    let _memory = memory::reserve(job, clients, ObjectWriter::MEMORY).await?;
    let mut result = None;
    for (key, file) in objects {
        let url = clients.storage.upload_file(&key, &file).await?;
        result = Some(Output { key, url });
    }
    result
        .map(Outcome::Done)
        .ok_or_else(|| anyhow::anyhow!("there is no object to store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(expect: &[&str], files: &[&str]) -> Result<Vec<(String, String)>, String> {
        let expect: Vec<_> = expect.iter().map(|&key| key.to_owned()).collect();
        let files = files.iter().map(|&path| (path.to_owned(), path.into()));
        let outputs = Outputs {
            files: files.collect(),
            ..Outputs::default()
        };
        let objects = under_keys(&expect, outputs).map_err(|error| error.to_string())?;
        let text = |(key, file): (String, PathBuf)| (key, file.display().to_string());
        Ok(objects.into_iter().map(text).collect())
    }

    #[test]
    fn outputs_go_where_they_are_expected() {
        let pair = |key: &str, file: &str| (key.to_owned(), file.to_owned());
        assert_eq!(
            keys(&["a/b/x.csv", "m/y.tif"], &["b/x.csv", "y.tif"]),
            Ok(vec![pair("a/b/x.csv", "b/x.csv"), pair("m/y.tif", "y.tif")])
        );
        assert_eq!(
            keys(&["a/x.csv", "b/x.csv"], &["a/x.csv", "b/x.csv"]),
            Ok(vec![pair("a/x.csv", "a/x.csv"), pair("b/x.csv", "b/x.csv")])
        );
        let mut found = keys(&["f/s1/", "x"], &["s1/a.tif", "s1/d/b.tif", "x"]).expect("objects");
        found[..2].sort();
        assert_eq!(
            found,
            [
                pair("f/s1/a.tif", "s1/a.tif"),
                pair("f/s1/d/b.tif", "s1/d/b.tif"),
                pair("x", "x")
            ]
        );
        for (expect, files, why) in [
            (&["a/x.csv"][..], &["yx.csv"][..], "no output for `a/x.csv`"),
            (&["a/x.csv"], &["x.csv", "y"], "`y`"),
            (&["f/s1/"], &["s2/a.tif"], "no output for `f/s1/`"),
            (&[], &["x"], "rc_expect"),
        ] {
            let error = keys(expect, files).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }
}
