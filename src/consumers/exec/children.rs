//! Jobs that a command asks for, and what it is told of them when they have ended.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::consumer::{Clients, Outcome};
use crate::consumers::memory;
use crate::error_class::InvalidInput;
use crate::job::{Child, ChildInput, ChildSpec, Children, Job, QueueName, Status, Step};
use crate::settings::Parsed;
use crate::storage::ObjectWriter;
use crate::wire;

/// Children at most of one round.
const CHILDREN: usize = 10_000;
/// Rounds at most: a command that asks for children whenever it is told of some never ends.
const ROUNDS: u32 = 10;
/// Bytes of a child's name.
const NAME: usize = 200;
/// Files up to this size are stored a few at a time, and from memory.
const SMALL: u64 = 8 << 20;
const TRANSFERS: usize = 4;
/// How much of the work is done with the children, in per cent: the command has to collect them yet.
const GATHERED: u8 = 90;

/// A job that a command asks for, in `result.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    queue: Parsed<QueueName>,
    name: String,
    /// A file that the command has left, as a path below its folder for results.
    #[serde(default)]
    input: Option<String>,
    /// An object of the bucket in its place.
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
}

/// All jobs that a command asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) children: Vec<Wanted>,
    /// Whether the first failure of one of them ends the wait.
    pub(super) fail_fast: bool,
}

/// Files that a command has left: path below its folder, and place.
type Files = [(String, PathBuf)];

/// A child as the command is told of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ChildLine {
    name: String,
    key: Value,
    state: &'static str,
    reason: Option<String>,
    results: Vec<PathBuf>,
}

impl ChildLine {
    /// `results` are its files, or why it has none.
    pub(super) fn new(child: &Child, results: Result<Vec<PathBuf>, String>) -> Self {
        let (state, reason, results) = match results {
            Ok(results) => ("done", None, results),
            Err(reason) => ("failed", Some(reason), Vec::new()),
        };
        Self {
            name: child.name(),
            key: child.key.to_json(),
            state,
            reason,
            results,
        }
    }
}

/// Whether all of these can be created, given the files that the command has left.
///
/// # Errors
///
/// What is wrong with them.
pub(super) fn check(wanted: &[Wanted], files: &Files) -> Result<(), String> {
    if wanted.len() > CHILDREN {
        return Err(format!("it asks for more than {CHILDREN} children"));
    }
    let files: HashSet<_> = files.iter().map(|(path, _)| path).collect();
    let mut names = HashSet::new();
    for child in wanted {
        let Wanted { name, .. } = child;
        let queue = child.queue();
        if name.is_empty() || name.len() > NAME || name.contains(char::is_control) {
            let text = "the name of a child has 1 to 200 bytes, none of them a control character";
            return Err(text.to_owned());
        }
        if !names.insert((queue, name)) {
            return Err(format!("two children of `{queue}` are called `{name}`"));
        }
        match (&child.input, &child.key) {
            (Some(_), Some(_)) => return Err(format!("`{name}` has an input and a key")),
            (Some(input), None) if !files.contains(input) => {
                return Err(format!("the command left no file `{input}` for `{name}`"));
            }
            _ => {}
        }
        if let Some(field) = child
            .fields
            .keys()
            .find(|field| wire::is_bookkeeping(field))
        {
            return Err(format!(
                "`{field}` of `{name}` is no field that a command may set"
            ));
        }
    }
    Ok(())
}

/// Stores the inputs of the children, and has the job wait for them. `before` are those that it has waited for already.
pub(super) async fn create(
    job: &Job,
    clients: &Clients,
    asked: &Asked,
    files: &Files,
    before: &[Child],
) -> anyhow::Result<Outcome> {
    let round = before.iter().map(Child::round).max().unwrap_or(0) + 1;
    if round > ROUNDS {
        let text = format!("the command asks for children again and again, {ROUNDS} times is all");
        return Err(InvalidInput(text).into());
    }
    job.step(Step::Store);
    let _memory = memory::reserve(job, clients, ObjectWriter::MEMORY).await?;
    let files: BTreeMap<_, _> = files.iter().map(|(path, file)| (path, file)).collect();
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for (at, wanted) in asked.children.iter().enumerate() {
        let file = wanted
            .input
            .as_ref()
            .and_then(|input| files.get(input).copied());
        let is_large = match file {
            Some(file) => tokio::fs::metadata(file).await?.len() > SMALL,
            None => false,
        };
        let all = if is_large { &mut large } else { &mut small };
        all.push((at, wanted, file));
    }
    let spec = |(at, wanted, file): (usize, &Wanted, Option<&PathBuf>)| {
        let (wanted, file) = (wanted.clone(), file.cloned());
        async move {
            let spec = wanted.create(job, clients, file, round).await?;
            anyhow::Ok((at, spec))
        }
    };
    let small = stream::iter(small.into_iter().map(spec)).buffered(TRANSFERS);
    let mut specs: Vec<_> = small.try_collect().await?;
    for child in large {
        specs.push(spec(child).await?);
    }
    specs.sort_by_key(|(at, _)| *at);
    let specs = specs.into_iter().map(|(_, spec)| spec).collect();
    let children = Children::new(specs, Status::Waiting).up_to(GATHERED);
    Ok(Outcome::Wait(match asked.fail_fast {
        true => children.failing_fast(),
        false => children,
    }))
}

impl Wanted {
    pub(super) fn queue(&self) -> &str {
        &self.queue.0.0
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    async fn create(
        self,
        job: &Job,
        clients: &Clients,
        file: Option<PathBuf>,
        round: u32,
    ) -> anyhow::Result<ChildSpec> {
        let (key, url) = match (file, &self.input) {
            (Some(file), Some(input)) => {
                // Those of an earlier round may still be read.
                let key = format!("output/{}/{round}/{input}", job.stable_id());
                let url = store(clients, &key, file).await?;
                (key, Some(url))
            }
            _ => (self.key.unwrap_or_default(), None),
        };
        let fields = self
            .fields
            .into_iter()
            .map(|(name, value)| (name, text_of(value)));
        let queue = self.queue.0.0;
        let input = ChildInput {
            key: &key,
            original_name: &self.name,
            url: url.as_deref(),
        };
        Ok(job.child(&queue, input, fields.collect()).of_round(round))
    }
}

async fn store(clients: &Clients, key: &str, file: PathBuf) -> anyhow::Result<String> {
    if tokio::fs::metadata(&file).await?.len() > SMALL {
        return clients.storage.upload_file(key, &file).await;
    }
    let bytes = tokio::fs::read(&file).await?;
    Ok(clients.storage.upload(key, bytes.into()).await?)
}

fn text_of(value: Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.into_bytes(),
        other => other.to_string().into_bytes(),
    }
}
