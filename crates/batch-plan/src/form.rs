//! The form of a plan: what may stand in its file.

mod items;
pub(crate) mod stage;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::problem::{Place, PlanError, Problem};
use crate::reader::{Fields, Reader};
use crate::work::Work;
use crate::yaml;

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

/// A stage that is made many times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(crate) variable: String,
    pub(crate) from: u64,
    /// The last, or nothing for as long as there is more than one item.
    pub(crate) to: Option<u64>,
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
