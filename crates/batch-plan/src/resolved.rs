//! A plan whose stages are all there: what the batch keeps, and what feeders read.

mod items;
mod stage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::layout::{self, Layout};
use crate::names;
use crate::problem::{PlanError, Problem};
use crate::value::canonical;
use crate::work::is_default;

pub use items::{Items, Pick};
pub use stage::{After, Group, Listed, Stage};

/// Stages that a plan has at most, repetitions counted.
pub const MAX_STAGES: usize = 1000;
/// Items of a list that is worked from the plan.
const INLINE: usize = 1000;
/// Bytes that a stored plan has at most.
pub const MAX_JSON: usize = 1 << 20;

/// A plan with its values: stages are numbered from 0, in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    plan: u32,
    /// The batch.
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) about: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) sample: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) priority: i64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) set: BTreeMap<String, Value>,
    pub(crate) stages: Vec<Stage>,
    #[serde(skip)]
    pub(crate) layouts: Vec<Layout>,
}

impl Resolved {
    /// A plan without stages, to which they are added.
    pub(crate) fn empty(name: String, sample: bool) -> Self {
        Self {
            plan: 1,
            name,
            about: String::new(),
            sample,
            priority: 0,
            set: BTreeMap::new(),
            stages: Vec::new(),
            layouts: Vec::new(),
        }
    }

    /// Adds a stage whose name is new.
    pub(crate) fn push(&mut self, stage: Stage) -> Result<(), Vec<Problem>> {
        layout::push(&self.stages, &stage, &mut self.layouts, &self.set)?;
        self.stages.push(stage);
        Ok(())
    }

    /// The batch's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What people are told of it.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Whether it is a sample of a plan.
    pub fn is_sample(&self) -> bool {
        self.sample
    }

    /// Its priority among the batches of a queue.
    pub fn priority(&self) -> i64 {
        self.priority
    }

    /// Values that templates see.
    pub fn set(&self) -> &BTreeMap<String, Value> {
        &self.set
    }

    /// The stages, by number.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The number of a stage.
    pub fn stage_number(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.name == name)
    }

    /// Whether lists or manifests have to be kept in the bucket: only grids, and lists of the plan itself with up to 1,000 items, are
    /// worked without one.
    pub fn needs_bucket(&self) -> bool {
        self.stages.iter().any(|stage| {
            stage.work.manifest
                || match &stage.items {
                    None | Some(Items::Range(_)) => false,
                    Some(Items::List(values)) => values.len() > INLINE,
                    Some(_) => true,
                }
        })
    }

    /// One text for one plan, to be stored.
    ///
    /// # Errors
    ///
    /// It has more than [`MAX_JSON`] bytes.
    pub fn to_json(&self) -> Result<String, PlanError> {
        let json = canonical(&self.to_value()?);
        if json.len() > MAX_JSON {
            let message = format!(
                "the plan has {} bytes, and may have {MAX_JSON}: put its lists into files",
                json.len()
            );
            return Err(Problem::new("", message).into());
        }
        Ok(json)
    }

    pub(crate) fn to_value(&self) -> Result<Value, PlanError> {
        serde_json::to_value(self).map_err(|error| Problem::new("", error.to_string()).into())
    }

    /// Reads what [`to_json`](Self::to_json) has given.
    ///
    /// # Errors
    ///
    /// The text is none that it gives: a newer form, something that does not fit together, or larger.
    pub fn from_json(json: &str) -> Result<Self, PlanError> {
        let wrong = |message: String| PlanError::from(Problem::new("", message));
        if json.len() > MAX_JSON {
            return Err(wrong(format!("the plan has more than {MAX_JSON} bytes")));
        }
        let value: Value = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        let mut plan: Self =
            serde_json::from_value(value.clone()).map_err(|error| wrong(error.to_string()))?;
        // What this version does not know would be lost, and jobs would be made that the plan does not mean.
        if plan.plan != 1 || plan.to_value()? != value {
            return Err(wrong(
                "the plan is of a form that this version does not know".to_owned(),
            ));
        }
        if plan.stages.len() > MAX_STAGES {
            return Err(wrong(format!("a plan has at most {MAX_STAGES} stages")));
        }
        let mut problems = Vec::new();
        problems.extend(
            names::refuse_batch(plan.batch_stem()).map(|message| Problem::new("name", message)),
        );
        for stage in std::mem::take(&mut plan.stages) {
            let path = format!("stages.{}", stage.name);
            problems.extend(
                names::refuse_stage(&stage.name).map(|message| Problem::new(&path, message)),
            );
            problems.extend(
                names::refuse_queue(&stage.queue).map(|message| Problem::new(&path, message)),
            );
            if plan.stage_number(&stage.name).is_some() {
                problems.push(Problem::new(&path, "two stages have this name"));
            }
            PlanError::unless_empty(std::mem::take(&mut problems))?;
            plan.push(stage)
                .map_err(|problems| PlanError { problems })?;
        }
        Ok(plan)
    }

    /// The name without what marks a sample.
    fn batch_stem(&self) -> &str {
        match self.name.strip_suffix(names::SAMPLE_SUFFIX) {
            Some(stem) if self.sample => stem,
            _ => &self.name,
        }
    }
}
