//! Where the items of lists come from.

mod pick;
mod table;
mod yaml;

use std::collections::HashSet;
use std::io::{self, BufRead};

use serde_json::{Map, Value};

use crate::list::Arena;
use crate::names::refuse_variable;
use crate::problem::shown;
use crate::resolved::{Items, Resolved};
use crate::row::KEY_PARTS;

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
    if let Some(items) = &plan.stages[stage].items {
        reading.items(items, supply)?;
    }
    Ok(reading.arena)
}

/// An element that has no names in it.
fn item(value: &Value) -> Map<String, Value> {
    Map::from_iter([("item".to_owned(), value.clone())])
}

impl Reading<'_> {
    fn items(&mut self, items: &Items, supply: &mut dyn Supply) -> Result<(), ListError> {
        match items {
            Items::Objects { prefix, pick } => {
                let entries = supply.objects(prefix);
                let entries = entries.map_err(|source| self.unread(prefix, source))?;
                self.pick(entries, prefix, "key", pick)
            }
            Items::Files { path, pick, .. } => {
                let entries = supply.folder(path);
                let entries = entries.map_err(|source| self.unread(path, source))?;
                self.pick(entries, "", "path", pick)
            }
            Items::Csv(file) => {
                let bytes = supply.open(file);
                let bytes = bytes.map_err(|source| self.unread(file, source))?;
                self.csv(file, bytes)
            }
            Items::Jsonl(file) => {
                let bytes = supply.open(file);
                let bytes = bytes.map_err(|source| self.unread(file, source))?;
                self.jsonl(file, bytes)
            }
            Items::Command(words) => {
                let program = words.first().map_or("", String::as_str);
                let bytes = supply.command(words);
                let bytes = bytes.map_err(|source| self.unread(program, source))?;
                self.jsonl(program, bytes)
            }
            Items::List(values) => self.values(values),
            Items::Yaml { path, each, except } => self.yaml(path, each, except.as_deref(), supply),
            Items::Range(_) => Ok(()),
        }
    }

    fn values(&mut self, values: &[Value]) -> Result<(), ListError> {
        for (index, value) in values.iter().enumerate() {
            let place = || format!("list, element {}", index + 1);
            match value {
                Value::Object(vars) => self.push(vars, place)?,
                value => self.push(&item(value), place)?,
            }
        }
        Ok(())
    }

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

    /// An error if names that were given are not there.
    fn unless_missing(&self, list: &str, mut names: Vec<String>) -> Result<(), ListError> {
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable();
        Err(ListError::Names {
            stage: self.name(),
            list: list.to_owned(),
            names,
        })
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
}
