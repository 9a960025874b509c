//! Plans from files, with the lists that they name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;
use batch_plan::{
    CheckOptions, Choice, Entries, Entry, Items, Lists, Overrides, Plan, Problem, Resolved, Supply,
};
use clap::Args;
use globset::GlobBuilder;
use tokio::runtime::Handle;

use super::desk::Misuse;
use crate::settings::Loader;
use crate::storage::{Storage, StorageSettings};

/// What is wanted of plans beyond what stands in them.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// A value of the plan, in place of the one that stands there.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "plans", value_parser = parse_value)]
    values: Vec<(String, String)>,
    /// Only so many items of the first stage, and what follows from them: a batch of its own, called NAME.sample.
    #[arg(long, value_name = "N", conflicts_with = "sample_group")]
    sample: Option<u64>,
    /// The same with the members of this group.
    #[arg(long, value_name = "ID")]
    sample_group: Option<String>,
    /// Let a sample write where the whole batch would.
    #[arg(long)]
    into_real_outputs: bool,
}

/// A plan with its values.
pub(crate) struct Named {
    resolved: Resolved,
}

/// A plan that is ready to be stored.
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Resolved>,
    pub(crate) lists: Lists,
    pub(crate) digest: String,
    pub(crate) problems: Vec<Problem>,
}

/// Reads plans, with their values; one that has `with` is one for each of those files.
pub(crate) fn read_plans(paths: &[PathBuf], wanted: &Wanted) -> anyhow::Result<Vec<Named>> {
    let mut named = Vec::new();
    for path in files_of(paths)? {
        let shown = path.display();
        let text = fs::read(&path).with_context(|| format!("cannot read {shown}"))?;
        let refused = |error: &dyn std::fmt::Display| Misuse(format!("{shown}: {error}"));
        let plan = Plan::parse(&text).map_err(|error| refused(&error))?;
        let mut all = vec![BTreeMap::new()];
        if let Some(pattern) = plan.with() {
            let folder = path.parent().unwrap_or(Path::new("."));
            all = values_of(folder, pattern)?;
        }
        for with in all {
            let overrides = Overrides {
                set: wanted.values.clone(),
                with,
                sample: wanted.is_sample(),
            };
            let resolved = plan.resolve(&overrides).map_err(|error| refused(&error))?;
            named.push(Named { resolved });
        }
    }
    Ok(named)
}

/// The bucket, if one of the plans needs it.
pub(crate) fn open_bucket(
    plans: &[Named],
    loader: &mut Loader<'_>,
) -> Option<Result<Storage, BucketError>> {
    let is_needed = plans.iter().any(|plan| plan.resolved.needs_bucket());
    let settings = is_needed.then(|| StorageSettings::load(loader))?;
    Some(Storage::open(&settings).map_err(|error| BucketError(error.to_string())))
}

/// Why there is no bucket.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BucketError(String);

impl Wanted {
    fn is_sample(&self) -> bool {
        self.sample.is_some() || self.sample_group.is_some()
    }

    fn choice(&self) -> Option<Choice> {
        let group = self.sample_group.clone().map(Choice::Group);
        group.or(self.sample.map(Choice::Count))
    }
}

impl Prepared {
    /// Reads the lists of a plan, and looks at all that can be said of it.
    pub(crate) async fn read(
        plan: Named,
        wanted: &Wanted,
        storage: Option<Storage>,
    ) -> anyhow::Result<Self> {
        let (choice, handle) = (wanted.choice(), Handle::current());
        let options = CheckOptions {
            all: false,
            into_real_outputs: wanted.into_real_outputs,
        };
        let prepared = tokio::task::spawn_blocking(move || {
            let mut plan = plan.resolved;
            let mut lists = plan.read_lists(&mut Local { storage, handle })?;
            if let Some(choice) = choice {
                plan.choose(&mut lists, &choice)?;
            }
            let plan = Arc::new(plan);
            let report = batch_plan::check(&plan, &lists, options)?;
            let mut problems = report.problems;
            problems.extend(unsupported(&plan));
            anyhow::Ok(Self {
                digest: plan.digest()?,
                problems,
                plan,
                lists,
            })
        });
        prepared.await?
    }
}

/// What a plan may say and this program cannot do: it is refused, not passed over.
fn unsupported(plan: &Resolved) -> Vec<Problem> {
    let mut problems = Vec::new();
    for stage in plan.stages() {
        let mut refuse = |what: &str, advice: &str| {
            problems.push(Problem {
                at: None,
                path: format!("stages.{}.{what}", stage.name),
                message: format!("{what} is not supported yet: {advice}"),
            });
        };
        if matches!(stage.items, Some(Items::Files { .. })) {
            refuse("files", "upload them first, and name them by `objects`");
        }
        if !stage.work.verify.is_empty() {
            refuse("verify", "leave it out");
        }
        if stage.work.late {
            refuse("late", "submit a second plan when the list is there");
        }
    }
    problems
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
        let text = fs::read(file).with_context(|| format!("cannot read {file}"))?;
        let values = batch_plan::parse_values(&text);
        Ok(values.map_err(|error| Misuse(format!("{file}: {error}")))?)
    });
    values.collect()
}

/// The files that match a glob, which is taken from this folder, in the order of their names.
fn matching(folder: &Path, pattern: &str) -> io::Result<Vec<String>> {
    let whole = folder.join(pattern);
    let fixed: PathBuf = whole
        .components()
        .take_while(|part| {
            !part
                .as_os_str()
                .to_string_lossy()
                .contains(['*', '?', '[', '{'])
        })
        .collect();
    let glob = GlobBuilder::new(&whole.to_string_lossy())
        .literal_separator(true)
        .build()
        .map_err(io::Error::other)?
        .compile_matcher();
    if fixed.is_file() {
        return Ok(vec![fixed.to_string_lossy().into_owned()]);
    }
    let mut files = Vec::new();
    walk(&fixed, &mut |path, _| {
        if glob.is_match(path) {
            files.push(path.to_string_lossy().into_owned());
        }
    })?;
    files.sort();
    Ok(files)
}

/// Visits all files of a folder and those in it.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path, u64)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            walk(&entry.path(), each)?;
        } else if found.is_file() {
            each(&entry.path(), found.len());
        }
    }
    Ok(())
}

/// Files of this machine, the bucket, and programs.
struct Local {
    storage: Option<Storage>,
    handle: Handle,
}

/// What names an object where a file could stand.
const OBJECT: &str = "bucket:";

impl Supply for Local {
    fn open(&mut self, file: &str) -> io::Result<Box<dyn BufRead + '_>> {
        let Some(key) = file.strip_prefix(OBJECT) else {
            return Ok(Box::new(BufReader::new(File::open(file)?)));
        };
        let storage = self.storage.as_ref();
        let storage = storage.ok_or_else(|| io::Error::other("there is no bucket"))?;
        let fetched = self.handle.block_on(storage.download(key));
        Ok(Box::new(Cursor::new(fetched.map_err(io::Error::other)?)))
    }

    fn glob(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        matching(Path::new(""), pattern)
    }

    fn folder(&mut self, path: &str) -> io::Result<Entries<'_>> {
        let root = Path::new(path);
        let mut entries = Vec::new();
        walk(root, &mut |file, size| {
            let name = file.strip_prefix(root).unwrap_or(file);
            let name = name.to_string_lossy().into_owned();
            entries.push(Entry { name, size });
        })?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Box::new(entries.into_iter().map(Ok)))
    }

    fn objects(&mut self, prefix: &str) -> io::Result<Entries<'_>> {
        let storage = self.storage.as_ref();
        let storage = storage.ok_or_else(|| io::Error::other("there is no bucket"))?;
        let mut listing = storage.listing(prefix);
        let handle = &self.handle;
        let pages = std::iter::from_fn(move || {
            let page = handle.block_on(listing.next_page());
            page.map_err(io::Error::other).transpose()
        });
        Ok(Box::new(pages.flat_map(|page| {
            match page {
                Err(error) => vec![Err(error)],
                Ok(page) => page
                    .into_iter()
                    .filter(|found| found.size_bytes > 0)
                    .map(|found| {
                        Ok(Entry {
                            name: found.key,
                            size: found.size_bytes,
                        })
                    })
                    .collect(),
            }
        })))
    }

    fn command(&mut self, words: &[String]) -> io::Result<Box<dyn BufRead + '_>> {
        let (program, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::other("there is no program"))?;
        let output = Command::new(program).args(arguments).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("{}: {said}", output.status)));
        }
        Ok(Box::new(Cursor::new(output.stdout)))
    }
}

fn parse_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
