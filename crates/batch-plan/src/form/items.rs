//! Sources of items.

use serde_json::Value;

use crate::reader::{Fields, Reader};
use crate::yaml::{Node, Spot};

const MAX_GLOBS: usize = 100;
const SOURCES: &str = "one of range, objects, files, csv, jsonl, list, yaml, command";

/// A source of items, its texts being templates still.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ItemsForm {
    /// Name, first, and one behind the last.
    Range(Vec<(String, String, String)>),
    Objects {
        prefix: String,
        pick: PickForm,
    },
    Files {
        path: String,
        to: String,
        pick: PickForm,
    },
    Csv(String),
    Jsonl(String),
    List(ListForm),
    Yaml {
        path: String,
        each: String,
        except: Option<String>,
    },
    Command(Vec<String>),
}

/// A list, or a template that gives one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ListForm {
    Values(Vec<Value>),
    Template(String),
}

/// Which of many keys are items.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PickForm {
    pub(crate) matches: Option<String>,
    pub(crate) except: Vec<String>,
    pub(crate) capture: Option<String>,
    pub(crate) only_stems: Option<ListForm>,
    pub(crate) except_stems: Option<ListForm>,
}

pub(super) fn read(reader: &mut Reader, spot: &Spot, path: &str) -> Option<ItemsForm> {
    let Node::Map(members) = &spot.node else {
        return reader.wrong(spot, path, SOURCES);
    };
    let found = reader.problems.len();
    let mut f = Fields::of(reader, spot, path)?;
    let sources = [
        f.get(reader, "range", range).map(ItemsForm::Range),
        f.get(reader, "objects", objects),
        f.get(reader, "files", files),
        f.get(reader, "csv", Reader::text).map(ItemsForm::Csv),
        f.get(reader, "jsonl", Reader::text).map(ItemsForm::Jsonl),
        f.get(reader, "list", list).map(ItemsForm::List),
        f.get(reader, "yaml", yaml),
        f.get(reader, "command", |reader, spot, path| {
            let words = reader.list(spot, path, Reader::scalar)?;
            if words.is_empty() {
                return reader.wrong(spot, path, "a program and its arguments");
            }
            Some(ItemsForm::Command(words))
        }),
    ];
    f.end(reader);
    // Two sources, or none, though nothing was wrong with either.
    if members.len() != 1 && reader.problems.len() == found {
        let message = format!("expected {SOURCES}, found {}", members.len());
        reader.problem(spot.at, path, message);
    }
    sources.into_iter().flatten().next()
}

fn range(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Vec<(String, String, String)>> {
    let axes = reader.map(spot, path, |reader, spot, path| match &spot.node {
        Node::List(ends) => {
            let [from, to] = ends.as_slice() else {
                return reader.wrong(spot, path, "[from, to]");
            };
            Some((bound(reader, from, path)?, bound(reader, to, path)?))
        }
        _ => Some(("0".to_owned(), bound(reader, spot, path)?)),
    })?;
    if axes.is_empty() && matches!(&spot.node, Node::Map(axes) if axes.is_empty()) {
        return reader.wrong(spot, path, "an axis, such as {x: 940}");
    }
    Some(
        axes.into_iter()
            .map(|(name, (from, to))| (name, from, to))
            .collect(),
    )
}

/// The end of an axis: a number, or a template of one.
fn bound(reader: &mut Reader, spot: &Spot, path: &str) -> Option<String> {
    match &spot.node {
        Node::Text(text) if text.contains("{{") => Some(text.clone()),
        _ => reader.number(spot, path).map(|number| number.to_string()),
    }
}

fn list(reader: &mut Reader, spot: &Spot, path: &str) -> Option<ListForm> {
    match &spot.node {
        Node::Text(template) if template.contains("{{") => {
            Some(ListForm::Template(template.clone()))
        }
        Node::List(_) => reader
            .list(spot, path, |reader, spot, path| match &spot.node {
                Node::Null | Node::List(_) => {
                    reader.wrong(spot, path, "a text, a number, or names with values")
                }
                // A number is an item by its spelling, as it would be in a field.
                Node::Float(_, text) => Some(text.clone().into()),
                node => Some(node.clone().into_json()),
            })
            .map(ListForm::Values),
        _ => reader.wrong(spot, path, "a list, or a template of one"),
    }
}

fn objects(reader: &mut Reader, spot: &Spot, path: &str) -> Option<ItemsForm> {
    let mut f = Fields::of(reader, spot, path)?;
    let prefix = f.get(reader, "prefix", Reader::scalar);
    let pick = pick(reader, &mut f);
    f.end(reader);
    Some(ItemsForm::Objects {
        prefix: prefix.unwrap_or_default(),
        pick,
    })
}

fn files(reader: &mut Reader, spot: &Spot, path: &str) -> Option<ItemsForm> {
    let mut f = Fields::of(reader, spot, path)?;
    let folder = f.need(reader, "path", Reader::text);
    let to = f.get(reader, "to", Reader::scalar);
    let pick = pick(reader, &mut f);
    f.end(reader);
    Some(ItemsForm::Files {
        path: folder?,
        to: to.unwrap_or_else(|| "uploads/{{ batch }}/".to_owned()),
        pick,
    })
}

fn pick(reader: &mut Reader, f: &mut Fields<'_>) -> PickForm {
    PickForm {
        matches: f.get(reader, "match", Reader::text),
        except: f
            .get(reader, "except", |reader, spot, path| match &spot.node {
                Node::Text(glob) => Some(vec![glob.clone()]),
                Node::List(globs) if globs.len() > MAX_GLOBS => {
                    let message = format!("at most {MAX_GLOBS} globs; `**/{{a,b}}.tif` is one");
                    reader.problem(spot.at, path, message);
                    None
                }
                _ => reader.list(spot, path, Reader::text),
            })
            .unwrap_or_default(),
        capture: f.get(reader, "capture", Reader::text),
        only_stems: f.get(reader, "only_stems", list),
        except_stems: f.get(reader, "except_stems", list),
    }
}

fn yaml(reader: &mut Reader, spot: &Spot, path: &str) -> Option<ItemsForm> {
    let mut f = Fields::of(reader, spot, path)?;
    let files = f.need(reader, "path", Reader::text);
    let each = f.need(reader, "each", Reader::text);
    let except = f.get(reader, "except", Reader::text);
    f.end(reader);
    Some(ItemsForm::Yaml {
        path: files?,
        each: each?,
        except,
    })
}
