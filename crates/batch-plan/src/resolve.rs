//! A plan and its values to stages that are all there.

mod items;
mod repeat;
mod stage;
pub(crate) mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::form::Plan;
use crate::names::{self, SAMPLE_SUFFIX};
use crate::problem::{PlanError, Problem, hint, shown};
use crate::resolved::{MAX_STAGES, Resolved};
use crate::scope::{Scope, Shared};
use crate::template::Engine;

/// Values that templates see.
const MAX_VALUES: usize = 1000;

/// What goes before the values of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Values as `--set` takes them. What is a text in the plan stays one; anything else is read as JSON if it is.
    pub set: Vec<(String, String)>,
    /// Values of the file for which this batch is, see [`Plan::with`].
    pub with: BTreeMap<String, Value>,
    /// Whether this will be a sample: `{{ sample }}` is true, and the batch is called `<name>.sample`.
    pub sample: bool,
}

impl Plan {
    /// The plan with its values: names and sources are rendered, repetitions are made, and it is clear whose items become whose.
    ///
    /// Lists are not read; until they are, their stages have no [`total`](Resolved::total).
    ///
    /// # Errors
    ///
    /// Values that nobody knows; templates that are wrong, or are not defined; names that are not legal or not unique; stages that
    /// do not fit together. Each with the place in the file where it is known.
    pub fn resolve(&self, overrides: &Overrides) -> Result<Resolved, PlanError> {
        let mut maker = Maker {
            plan: self,
            engine: Engine::new(),
            problems: Vec::new(),
            values: Shared::default(),
            bytes: 0,
        };
        let resolved = maker.make(overrides);
        PlanError::unless_empty(maker.problems)?;
        resolved.ok_or_else(|| Problem::new("", "the plan could not be resolved").into())
    }
}

struct Maker<'a> {
    plan: &'a Plan,
    engine: Engine,
    problems: Vec<Problem>,
    /// What all stages see.
    values: Shared,
    /// What the stages so far take as JSON.
    bytes: usize,
}

impl Maker<'_> {
    /// Notes a problem where the form has it.
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        let problem = Problem {
            at: self.plan.place(path),
            ..Problem::new(path, message)
        };
        self.problems.push(problem);
    }

    fn make(&mut self, overrides: &Overrides) -> Option<Resolved> {
        let set = self.values(overrides)?;
        if self.plan.stages.len() > MAX_STAGES {
            self.wrong("stages", format!("a plan has at most {MAX_STAGES} stages"));
            return None;
        }
        for (index, form) in self.plan.stages.iter().enumerate() {
            self.texts(form, &format!("stages[{index}]"));
        }
        let mut shared = Shared::default();
        for (name, value) in &set {
            shared.insert(name, value);
        }
        shared.insert("sample", &overrides.sample.into());
        let name = self.render(&self.plan.name, &Arc::new(shared), "name")?;
        if let Some(message) = names::refuse_batch(&name) {
            self.wrong("name", message);
        }
        let batch = if overrides.sample {
            format!("{name}{SAMPLE_SUFFIX}")
        } else {
            name
        };
        let mut resolved = Resolved::empty(batch, overrides.sample);
        resolved.about.clone_from(&self.plan.about);
        resolved.priority = self.plan.priority;
        resolved.set = set;
        self.values = Shared::of(&resolved);
        for (index, form) in self.plan.stages.iter().enumerate() {
            // What stands above a stage that is wrong cannot be judged.
            self.stages(form, &format!("stages[{index}]"), &mut resolved)?;
        }
        Some(resolved)
    }

    /// The values of the plan, those of the file, and what was given by hand.
    fn values(&mut self, overrides: &Overrides) -> Option<BTreeMap<String, Value>> {
        let mut set = self.plan.set.clone();
        for (name, value) in &overrides.with {
            if set.insert(name.clone(), value.clone()).is_some() {
                let message = format!("`{}` is a value of `set` and of the file", shown(name));
                self.wrong("with", message);
            }
        }
        for (name, text) in &overrides.set {
            let Some(value) = set.get_mut(name) else {
                let known = set.keys().map(String::as_str);
                let message = format!("no value `{}`{}", shown(name), hint(name, known));
                self.wrong("set", message);
                continue;
            };
            *value = match value {
                Value::String(_) => text.as_str().into(),
                _ => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            };
        }
        if set.len() > MAX_VALUES {
            self.wrong("set", format!("a plan has at most {MAX_VALUES} values"));
            return None;
        }
        for (name, value) in &set {
            let path = format!("set.{name}");
            if let Some(why) = names::refuse_variable(name) {
                self.wrong(&path, format!("`{}` {why}", shown(name)));
            }
            if value.is_null() {
                self.wrong(&path, "has no value: give one with --set");
            }
        }
        Some(set)
    }

    fn render(&mut self, source: &str, shared: &Arc<Shared>, path: &str) -> Option<String> {
        let rendered = self
            .engine
            .compile(source)
            .and_then(|text| self.engine.render(&text, &Scope::shared(shared)));
        rendered.map_err(|message| self.wrong(path, message)).ok()
    }
}

impl Shared {
    /// What the templates of all stages see.
    pub(crate) fn of(plan: &Resolved) -> Self {
        let mut shared = Self::default();
        for (name, value) in plan.set() {
            shared.insert(name, value);
        }
        shared.insert("batch", &plan.name().into());
        shared.insert("sample", &plan.is_sample().into());
        shared
    }

    /// What those of one stage see beside its items.
    pub(crate) fn of_stage(&self, vars: &BTreeMap<String, u64>, stage: Option<&str>) -> Self {
        let mut shared = self.clone();
        if let Some(stage) = stage {
            shared.insert("stage", &stage.into());
        }
        for (name, &number) in vars {
            shared.insert(name, &number.into());
        }
        shared
    }
}
