//! What a stage waits for.

use crate::reader::{Fields, Reader};
use crate::yaml::{Node, Spot};

/// One condition of `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AfterForm {
    pub(crate) stage: String,
    pub(crate) how: HowForm,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HowForm {
    Each,
    Grid(Vec<(String, u64)>),
    Text(String),
    All,
}

/// Stages that one waits for.
const MAX_AFTER: usize = 100;

pub(super) fn read(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Vec<AfterForm>> {
    match &spot.node {
        Node::List(items) if items.len() > MAX_AFTER => {
            let message = format!("a stage waits for at most {MAX_AFTER} others");
            reader.problem(spot.at, path, message);
            None
        }
        Node::List(_) => reader.list(spot, path, after),
        _ => after(reader, spot, path).map(|after| vec![after]),
    }
}

fn after(reader: &mut Reader, spot: &Spot, path: &str) -> Option<AfterForm> {
    if let Node::Text(stage) = &spot.node {
        return Some(AfterForm {
            stage: stage.clone(),
            how: HowForm::Each,
        });
    }
    if !matches!(spot.node, Node::Map(_)) {
        return reader.wrong(spot, path, "the name of a stage, or {stage: …}");
    }
    let mut f = Fields::of(reader, spot, path)?;
    let stage = f.need(reader, "stage", Reader::text);
    let group = f.get(reader, "group", group);
    let all = f.get(reader, "all", Reader::truth);
    f.end(reader);
    let how = match (group, all) {
        (Some(_), Some(true)) => {
            reader.problem(spot.at, path, "`group` and `all` exclude each other");
            return None;
        }
        (Some(group), _) => group,
        (None, Some(true)) => HowForm::All,
        (None, _) => HowForm::Each,
    };
    Some(AfterForm { stage: stage?, how })
}

/// A template whose text is the group, or factors by which the axes of a grid are divided.
fn group(reader: &mut Reader, spot: &Spot, path: &str) -> Option<HowForm> {
    match &spot.node {
        Node::Text(text) => Some(HowForm::Text(text.clone())),
        Node::Map(_) => reader.map(spot, path, factor).map(HowForm::Grid),
        _ => reader.wrong(
            spot,
            path,
            "a template, or factors of axes such as {x: 2, y: 2}",
        ),
    }
}

fn factor(reader: &mut Reader, spot: &Spot, path: &str) -> Option<u64> {
    let factor = reader.number(spot, path)?;
    if factor == 0 {
        reader.problem(spot.at, path, "expected a factor of 1 or more");
        return None;
    }
    Some(factor)
}
