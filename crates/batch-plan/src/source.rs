//! Where the items of lists come from.

mod pick;
mod table;

use std::collections::HashSet;
use std::io::{self, BufRead, Read as _};

use serde_json::{Map, Value};

use crate::list::Arena;
use crate::names::refuse_variable;
use crate::problem::{hint, shown};
use crate::resolved::{Items, Resolved};
use crate::row::KEY_PARTS;
use crate::yaml;

/// What the caller gives: files, folders, the bucket, programs. What it does not have, it refuses.
pub trait Supply {
    /// Opens a file by the plan's word for it: a path, or `bucket:` and a key.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    fn open(&mut self, file: &str) -> io::Result<Box<dyn BufRead + '_>> {
        Err(unsupported(file))
    }

    /// The files that match a glob, in an order that does not change.
    ///
    /// # Errors
    ///
    /// They cannot be listed.
    fn glob(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        Err(unsupported(pattern))
    }

    /// The files of a folder and those in it, in an order that does not change; their names are paths from the folder, with `/`.
    ///
    /// # Errors
    ///
    /// They cannot be listed.
    fn folder(&mut self, path: &str) -> io::Result<Entries<'_>> {
        Err(unsupported(path))
    }

    /// The objects of the bucket whose keys begin so, in an order that does not change; their names are keys.
    ///
    /// # Errors
    ///
    /// They cannot be listed.
    fn objects(&mut self, prefix: &str) -> io::Result<Entries<'_>> {
        Err(unsupported(prefix))
    }

    /// Runs a program and gives what it prints.
    ///
    /// # Errors
    ///
    /// It cannot be run.
    fn command(&mut self, words: &[String]) -> io::Result<Box<dyn BufRead + '_>> {
        Err(unsupported(words.first().map_or("", String::as_str)))
    }
}

/// Has nothing: for plans whose lists stand in them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Supply for Nothing {}

/// Files or objects.
pub type Entries<'a> = Box<dyn Iterator<Item = io::Result<Entry>> + 'a>;

/// A file or an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path or key.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

fn unsupported(what: &str) -> io::Error {
    let message = format!("{} cannot be read here", shown(what));
    io::Error::new(io::ErrorKind::Unsupported, message)
}

/// What is wrong with a list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It could not be read.
    #[error("stage {stage}: reading {what}: {source}")]
    Read {
        /// Name of the stage.
        stage: String,
        /// File, folder, prefix or program.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// One of its rows is wrong.
    #[error("stage {stage}, {place}: {message}")]
    Row {
        /// Name of the stage.
        stage: String,
        /// Which row: a file with a line, or a key.
        place: String,
        /// Why.
        message: String,
    },
    /// Two items have one identity.
    #[error("stage {stage}: rows {first} and {second} have the same id `{id}`")]
    Duplicate {
        /// Name of the stage.
        stage: String,
        /// The identity.
        id: String,
        /// The one, counted from 1 as they were read.
        first: u64,
        /// The other.
        second: u64,
    },
    /// Names to pick or leave out that nothing has.
    #[error("stage {stage}: {list} names what is not there: {}", .names.join(", "))]
    Names {
        /// Name of the stage.
        stage: String,
        /// `only_stems`, `except_stems`, or the list of exceptions.
        list: String,
        /// The names.
        names: Vec<String>,
    },
    /// There is nothing in it, or too much.
    #[error("stage {stage}: {message}")]
    Size {
        /// Name of the stage.
        stage: String,
        /// How much.
        message: String,
    },
    /// An identity, group or order cannot be rendered.
    #[error(transparent)]
    Render(#[from] crate::job::RenderError),
}

/// Rows of one stage that are being read.
struct Reading<'a> {
    plan: &'a Resolved,
    stage: usize,
    arena: Arena,
    /// Names of variables that were looked at.
    names: HashSet<String>,
}

/// Names that all rows of a list have together.
const MAX_NAMES: usize = 1000;

/// Reads the rows of a stage that has a list.
pub(crate) fn read(
    plan: &Resolved,
    stage: usize,
    supply: &mut dyn Supply,
) -> Result<Arena, ListError> {
    let mut reading = Reading {
        plan,
        stage,
        arena: Arena::default(),
        names: HashSet::new(),
    };
    match &plan.stages[stage].items {
        Some(Items::Objects { prefix, pick }) => {
            let entries = supply.objects(prefix);
            let entries = entries.map_err(|source| reading.unread(prefix, source))?;
            reading.pick(entries, prefix, "key", pick)?;
        }
        Some(Items::Files { path, pick, .. }) => {
            let entries = supply.folder(path);
            let entries = entries.map_err(|source| reading.unread(path, source))?;
            reading.pick(entries, "", "path", pick)?;
        }
        Some(Items::Csv(file)) => {
            let bytes = supply.open(file);
            let bytes = bytes.map_err(|source| reading.unread(file, source))?;
            reading.csv(file, bytes)?;
        }
        Some(Items::Jsonl(file)) => {
            let bytes = supply.open(file);
            let bytes = bytes.map_err(|source| reading.unread(file, source))?;
            reading.jsonl(file, bytes)?;
        }
        Some(Items::Command(words)) => {
            let program = words.first().map_or("", String::as_str);
            let bytes = supply.command(words);
            let bytes = bytes.map_err(|source| reading.unread(program, source))?;
            reading.jsonl(program, bytes)?;
        }
        Some(Items::List(values)) => {
            for (index, value) in values.iter().enumerate() {
                let place = || format!("list, element {}", index + 1);
                match value {
                    Value::Object(vars) => reading.push(vars, place)?,
                    value => reading.push(&item(value), place)?,
                }
            }
        }
        Some(Items::Yaml { path, each, except }) => {
            reading.yaml(path, each, except.as_deref(), supply)?;
        }
        Some(Items::Range(_)) | None => {}
    }
    Ok(reading.arena)
}

/// An element that has no names in it.
fn item(value: &Value) -> Map<String, Value> {
    Map::from_iter([("item".to_owned(), value.clone())])
}

impl Reading<'_> {
    fn name(&self) -> String {
        self.plan.stages[self.stage].name.clone()
    }

    fn unread(&self, what: &str, source: io::Error) -> ListError {
        ListError::Read {
            stage: self.name(),
            what: shown(what),
            source,
        }
    }

    fn wrong(&self, place: impl Into<String>, message: impl Into<String>) -> ListError {
        ListError::Row {
            stage: self.name(),
            place: place.into(),
            message: message.into(),
        }
    }

    /// Why a row cannot have a variable of this name.
    fn refuse(&self, name: &str) -> Option<String> {
        let stage = &self.plan.stages[self.stage];
        let of_plan =
            |name: &str| self.plan.set.contains_key(name) || stage.vars.contains_key(name);
        // A key brings its parts along.
        let is_key =
            name == "key" || (name == "path" && matches!(stage.items, Some(Items::Files { .. })));
        let parts = KEY_PARTS.into_iter().chain(["key"]).filter(|_| is_key);
        if let Some(name) = parts.chain([name]).find(|name| of_plan(name)) {
            return Some(format!("`{}` is a value of the plan already", shown(name)));
        }
        refuse_variable(name).map(|why| format!("`{}` {why}", shown(name)))
    }

    fn push(
        &mut self,
        vars: &Map<String, Value>,
        place: impl Fn() -> String,
    ) -> Result<(), ListError> {
        for name in vars.keys() {
            if !self.names.contains(name) {
                if let Some(message) = self.refuse(name) {
                    return Err(self.wrong(place(), message));
                }
                if self.names.len() >= MAX_NAMES {
                    let message = format!("the rows have more than {MAX_NAMES} variables");
                    return Err(self.wrong(place(), message));
                }
                self.names.insert(name.clone());
            }
        }
        self.arena
            .push(vars)
            .map_err(|message| self.wrong(place(), message))
    }

    fn yaml(
        &mut self,
        pattern: &str,
        each: &str,
        except: Option<&str>,
        supply: &mut dyn Supply,
    ) -> Result<(), ListError> {
        let files = supply
            .glob(pattern)
            .map_err(|source| self.unread(pattern, source))?;
        for file in files {
            let mut bytes = Vec::new();
            let limit = yaml::MAX_BYTES as u64 + 1;
            supply
                .open(&file)
                .and_then(|open| open.take(limit).read_to_end(&mut bytes))
                .map_err(|source| self.unread(&file, source))?;
            let mut vars = yaml::parse_values(&bytes)
                .map_err(|problem| self.wrong(&file, problem.to_string()))?;
            let elements = match vars.remove(each) {
                Some(Value::Array(values)) => values,
                _ => {
                    let near = hint(each, vars.keys().map(String::as_str));
                    return Err(self.wrong(&file, format!("has no list `{each}`{near}")));
                }
            };
            // A file may have no exceptions.
            let excepted = match except.and_then(|name| vars.remove(name)) {
                Some(Value::Array(values)) => values,
                None | Some(Value::Null) => Vec::new(),
                Some(_) => return Err(self.wrong(&file, "the exceptions are no list")),
            };
            let there: HashSet<_> = elements.iter().map(Value::to_string).collect();
            let left_out: HashSet<_> = excepted.iter().map(Value::to_string).collect();
            let mut missing: Vec<_> = left_out
                .difference(&there)
                .map(|name| shown(name))
                .collect();
            missing.sort_unstable();
            if !missing.is_empty() {
                return Err(ListError::Names {
                    stage: self.name(),
                    list: format!("{file}, {}", except.unwrap_or_default()),
                    names: missing,
                });
            }
            let vars: Map<_, _> = vars.into_iter().collect();
            for element in elements
                .iter()
                .filter(|element| !left_out.contains(&element.to_string()))
            {
                let mut vars = vars.clone();
                vars.insert("item".to_owned(), element.clone());
                self.push(&vars, || file.clone())?;
            }
        }
        Ok(())
    }
}
