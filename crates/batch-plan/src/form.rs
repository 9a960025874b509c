//! The form of a plan: what may stand in its file.

mod after;
mod items;
mod stage;
pub(crate) mod work;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::problem::{Place, PlanError, Problem};
use crate::reader::{Fields, Reader};
use crate::yaml;

pub(crate) use after::{AfterForm, HowForm};
pub(crate) use items::{ItemsForm, ListForm, PickForm};
pub(crate) use stage::{Repeat, Shuffle, StageForm};

/// A plan as it was written; its texts are templates still.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) set: BTreeMap<String, Value>,
    pub(crate) with: Option<String>,
    pub(crate) priority: i64,
    pub(crate) stages: Vec<StageForm>,
    pub(crate) places: BTreeMap<String, Place>,
}

impl Plan {
    /// Reads a plan, YAML or JSON.
    ///
    /// Time and memory are bounded for any bytes: files of more than 4 MiB are refused, and so is what nests deeper than 32 levels,
    /// has more than 400,000 values or 8 MiB of texts, all counted after aliases are resolved.
    ///
    /// # Errors
    ///
    /// All that is wrong with the form, each with its line and column; names that are nearly right with the right one.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlanError> {
        let root = yaml::parse(bytes)?;
        let mut reader = Reader::default();
        let plan = read(&mut reader, &root);
        PlanError::unless_empty(reader.problems)?;
        plan.ok_or_else(|| Problem::new("", "the plan could not be read").into())
            .map(|plan| Self {
                places: reader.places,
                ..plan
            })
    }

    /// The glob of files of which each makes a batch: their names are values of templates.
    pub fn with(&self) -> Option<&str> {
        self.with.as_deref()
    }

    /// Values that templates see, before anything overrides them.
    pub fn set(&self) -> &BTreeMap<String, Value> {
        &self.set
    }

    pub(crate) fn place(&self, path: &str) -> Option<Place> {
        // What is not there stands where it would stand.
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = path.rsplit_once(['.', '['])?.0;
        }
    }
}

fn read(reader: &mut Reader, root: &yaml::Spot) -> Option<Plan> {
    let mut fields = Fields::of(reader, root, "")?;
    let version = fields.need(reader, "plan", Reader::number);
    if version.is_some_and(|version| version != 1) {
        let at = reader.places.get("plan").copied().unwrap_or(root.at);
        reader.problem(at, "plan", "only plans of version 1 are understood");
    }
    let name = fields.need(reader, "name", Reader::scalar);
    let about = fields.get(reader, "about", Reader::text);
    let set = fields.get(reader, "set", |reader, spot, path| {
        reader.map(spot, path, |_, spot, _| Some(spot.node.clone().into_json()))
    });
    let with = fields.get(reader, "with", Reader::text);
    let priority = fields.get(reader, "priority", Reader::signed);
    let stages = fields.need(reader, "stages", |reader, spot, path| {
        let stages = reader.list(spot, path, stage::read)?;
        if stages.is_empty() && matches!(&spot.node, yaml::Node::List(items) if items.is_empty()) {
            reader.problem(spot.at, path, "a plan needs a stage");
        }
        Some(stages)
    });
    fields.end(reader);
    Some(Plan {
        name: name?,
        about: about.unwrap_or_default(),
        set: set.unwrap_or_default().into_iter().collect(),
        with,
        priority: priority.unwrap_or_default(),
        stages: stages?,
        places: BTreeMap::new(),
    })
}
