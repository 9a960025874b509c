//! An entry of `stages`.

use super::after::{self, AfterForm};
use super::items::{self, ItemsForm};
use super::work::work;
use crate::reader::{Fields, Reader};
use crate::work::Work;
use crate::yaml::{Node, Spot};

/// An entry of `stages`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StageForm {
    pub(crate) name: String,
    pub(crate) queue: String,
    pub(crate) items: Option<ItemsForm>,
    pub(crate) shuffle: Shuffle,
    pub(crate) after: Vec<AfterForm>,
    pub(crate) repeat: Option<Repeat>,
    pub(crate) work: Work,
}

/// Whether and how the items of a stage are mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shuffle {
    #[default]
    No,
    /// By the batch's name.
    Yes,
    Seed(u64),
}

/// A stage that is made many times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(crate) variable: String,
    pub(crate) from: u64,
    /// The last, or nothing for as long as there is more than one item.
    pub(crate) to: Option<u64>,
}

pub(super) fn read(reader: &mut Reader, spot: &Spot, path: &str) -> Option<StageForm> {
    let mut f = Fields::of(reader, spot, path)?;
    let name = f.need(reader, "name", Reader::scalar);
    let queue = f.need(reader, "queue", Reader::scalar);
    let items = f.get(reader, "items", items::read);
    let shuffle = f.get(reader, "shuffle", shuffle).unwrap_or_default();
    let after = f.get(reader, "after", after::read).unwrap_or_default();
    let repeat = f.get(reader, "repeat", repeat);
    let work = work(reader, &mut f);
    f.end(reader);
    Some(StageForm {
        name: name?,
        queue: queue?,
        items,
        shuffle,
        after,
        repeat,
        work,
    })
}

fn shuffle(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Shuffle> {
    match spot.node {
        Node::Bool(true) => Some(Shuffle::Yes),
        Node::Bool(false) => Some(Shuffle::No),
        Node::Int(seed) if u64::try_from(seed).is_ok() => {
            u64::try_from(seed).ok().map(Shuffle::Seed)
        }
        _ => reader.wrong(spot, path, "true, false or a seed of 0 or more"),
    }
}

fn repeat(reader: &mut Reader, spot: &Spot, path: &str) -> Option<Repeat> {
    let mut layers = reader.map(spot, path, |reader, spot, path| {
        let Node::List(ends) = &spot.node else {
            return reader.wrong(spot, path, "the first and the last, such as [3, auto]");
        };
        let [from, to] = ends.as_slice() else {
            return reader.wrong(spot, path, "two ends, such as [3, auto] or [3, 12]");
        };
        let from = reader.number(from, path)?;
        let end = match &to.node {
            Node::Text(word) if word == "auto" => None,
            Node::Int(_) => Some(reader.number(to, path)?),
            _ => return reader.wrong(to, path, "`auto` or the last number"),
        };
        if end.is_some_and(|end| end < from) {
            reader.problem(to.at, path, "the last number is smaller than the first");
            return None;
        }
        Some((from, end))
    })?;
    if layers.len() > 1 {
        reader.problem(spot.at, path, "only one variable can be repeated");
    }
    let (variable, (from, to)) = layers.pop()?;
    Some(Repeat { variable, from, to })
}
