//! Reads a form out of YAML and collects all that is wrong with it, rather than the first thing.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::problem::{Place, Problem, hint, shown};
use crate::yaml::{Node, Spot};

/// Problems that are told.
const TOLD: usize = 200;

/// What has been found so far.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) problems: Vec<Problem>,
    /// Where what stands, for what turns out wrong later.
    pub(crate) places: BTreeMap<String, Place>,
}

impl Reader {
    pub(crate) fn problem(&mut self, at: Place, path: &str, message: impl Into<String>) {
        if self.problems.len() >= TOLD {
            return;
        }
        self.problems.push(Problem {
            at: Some(at),
            path: path.to_owned(),
            message: message.into(),
        });
    }

    pub(crate) fn wrong<T>(&mut self, spot: &Spot, path: &str, expected: &str) -> Option<T> {
        let message = format!("expected {expected}, found {}", spot.node.kind());
        self.problem(spot.at, path, message);
        None
    }

    pub(crate) fn text(&mut self, spot: &Spot, path: &str) -> Option<String> {
        match &spot.node {
            Node::Text(text) => Some(text.clone()),
            _ => self.wrong(spot, path, "a text"),
        }
    }

    /// A text, or a number or truth value as the text that it was written as.
    pub(crate) fn scalar(&mut self, spot: &Spot, path: &str) -> Option<String> {
        match &spot.node {
            Node::Text(text) | Node::Float(_, text) => Some(text.clone()),
            Node::Int(number) => Some(number.to_string()),
            Node::Bool(truth) => Some(truth.to_string()),
            _ => self.wrong(spot, path, "a text or a number"),
        }
    }

    pub(crate) fn truth(&mut self, spot: &Spot, path: &str) -> Option<bool> {
        match spot.node {
            Node::Bool(truth) => Some(truth),
            _ => self.wrong(spot, path, "true or false"),
        }
    }

    pub(crate) fn number(&mut self, spot: &Spot, path: &str) -> Option<u64> {
        match spot.node {
            Node::Int(number) if u64::try_from(number).is_ok() => u64::try_from(number).ok(),
            _ => self.wrong(spot, path, "a whole number of 0 or more"),
        }
    }

    pub(crate) fn signed(&mut self, spot: &Spot, path: &str) -> Option<i64> {
        match spot.node {
            Node::Int(number) if i64::try_from(number).is_ok() => i64::try_from(number).ok(),
            _ => self.wrong(spot, path, "a whole number"),
        }
    }

    /// A quantity with a unit.
    pub(crate) fn unit<T, E: ToString>(
        &mut self,
        spot: &Spot,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.scalar(spot, path)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(spot.at, path, error.to_string());
                None
            }
        }
    }

    pub(crate) fn parsed<T: FromStr<Err: ToString>>(
        &mut self,
        spot: &Spot,
        path: &str,
    ) -> Option<T> {
        self.unit(spot, path, str::parse)
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        spot: &Spot,
        path: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(spot, path)?;
        if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value);
        }
        let names: Vec<_> = words.iter().map(|&(word, _)| word).collect();
        let message = format!(
            "`{}` is none of {}{}",
            shown(&text),
            names.join(", "),
            hint(&text, names.iter().copied())
        );
        self.problem(spot.at, path, message);
        None
    }

    /// A list, whose wrong members are left out.
    pub(crate) fn list<T>(
        &mut self,
        spot: &Spot,
        path: &str,
        mut read: impl FnMut(&mut Self, &Spot, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Node::List(items) = &spot.node else {
            return self.wrong(spot, path, "a list");
        };
        let read_one = |(index, item): (usize, &Spot)| {
            let path = format!("{path}[{index}]");
            self.places.insert(path.clone(), item.at);
            read(self, item, &path)
        };
        Some(items.iter().enumerate().filter_map(read_one).collect())
    }

    /// Names of the user's own with values.
    pub(crate) fn map<T>(
        &mut self,
        spot: &Spot,
        path: &str,
        mut read: impl FnMut(&mut Self, &Spot, &str) -> Option<T>,
    ) -> Option<Vec<(String, T)>> {
        let Node::Map(members) = &spot.node else {
            return self.wrong(spot, path, "names with values");
        };
        let mut all = Vec::new();
        for (key, value) in members {
            let path = format!("{path}.{}", key.name);
            self.places.insert(path.clone(), value.at);
            all.extend(read(self, value, &path).map(|value| (key.name.clone(), value)));
        }
        Some(all)
    }
}

/// The members of a map whose names are the form's.
pub(crate) struct Fields<'a> {
    members: BTreeMap<&'a str, (Place, &'a Spot)>,
    path: String,
    at: Place,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(reader: &mut Reader, spot: &'a Spot, path: &str) -> Option<Self> {
        let Node::Map(members) = &spot.node else {
            return reader.wrong(spot, path, "names with values");
        };
        Some(Self {
            members: members
                .iter()
                .map(|(key, value)| (key.name.as_str(), (key.at, value)))
                .collect(),
            path: path.to_owned(),
            at: spot.at,
            known: Vec::new(),
        })
    }

    /// A member that may be absent. One without a value is.
    pub(crate) fn get<T>(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
        read: impl FnOnce(&mut Reader, &'a Spot, &str) -> Option<T>,
    ) -> Option<T> {
        self.known.push(name);
        let (_, spot) = self.members.remove(name)?;
        if matches!(spot.node, Node::Null) {
            return None;
        }
        let path = self.join(name);
        reader.places.insert(path.clone(), spot.at);
        read(reader, spot, &path)
    }

    /// A member that has to be there.
    pub(crate) fn need<T>(
        &mut self,
        reader: &mut Reader,
        name: &'static str,
        read: impl FnOnce(&mut Reader, &'a Spot, &str) -> Option<T>,
    ) -> Option<T> {
        let there = self
            .members
            .get(name)
            .is_some_and(|(_, spot)| !matches!(spot.node, Node::Null));
        if !there {
            reader.problem(self.at, &self.join(name), "missing");
        }
        self.get(reader, name, read)
    }

    /// Whether a member is there that has not been read.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// What was not asked for has no business there.
    pub(crate) fn end(self, reader: &mut Reader) {
        for (name, (at, _)) in &self.members {
            // Near names take time, and a file may have many that are far.
            if reader.problems.len() >= TOLD {
                break;
            }
            let near = hint(name, self.known.iter().copied());
            let message = if near.is_empty() {
                format!("unknown; known are {}", self.known.join(", "))
            } else {
                format!("unknown{near}")
            };
            reader.problem(*at, &self.join(&shown(name)), message);
        }
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }
}
