//! A plan and its values to stages that are all there.

mod items;
pub(crate) mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::form::{HowForm, Plan, Shuffle, StageForm};
use crate::names::{self, SAMPLE_SUFFIX};
use crate::problem::{PlanError, Problem, hint, shown};
use crate::resolved::{After, Group, MAX_JSON, MAX_STAGES, Resolved, Stage};
use crate::scope::{Scope, Shared};
use crate::template::Engine;

/// Values that templates see.
const MAX_VALUES: usize = 1000;
/// Grids of 2³¹ items have become one item long before.
const MAX_REPEATS: u64 = 256;

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

    /// Makes the stages of one entry. Nothing if what follows makes no sense.
    fn stages(&mut self, form: &StageForm, path: &str, resolved: &mut Resolved) -> Option<()> {
        let Some(repeat) = &form.repeat else {
            return self.stage(form, path, None, resolved);
        };
        let at = format!("{path}.repeat");
        if let Some(why) = names::refuse_variable(&repeat.variable) {
            self.wrong(&at, format!("`{}` {why}", shown(&repeat.variable)));
        }
        if resolved.set.contains_key(&repeat.variable) {
            self.wrong(
                &at,
                format!("`{}` is a value of the plan already", repeat.variable),
            );
        }
        let grids = |how: &HowForm| matches!(how, HowForm::Grid(_));
        if repeat.to.is_none()
            && !form
                .after
                .iter()
                .any(|after| after.stage == "previous" && grids(&after.how))
        {
            self.wrong(
                &at,
                "`auto` needs `after: {stage: previous, group: …}` over a grid",
            );
            return None;
        }
        let last = repeat.to.unwrap_or(u64::MAX);
        for number in repeat.from..=last {
            let below = resolved
                .stages
                .len()
                .checked_sub(1)
                .and_then(|k| resolved.grid(k))
                .cloned();
            self.stage(form, path, Some((&repeat.variable, number)), resolved)?;
            let k = resolved.stages.len() - 1;
            if repeat.to.is_none() {
                if resolved.size(k) == Some(1) {
                    break;
                }
                let shrinks = below.as_ref() != resolved.grid(k);
                if !shrinks || number - repeat.from > MAX_REPEATS {
                    self.wrong(
                        &at,
                        "never ends: the factors of `group` leave more than one item",
                    );
                    return None;
                }
            }
        }
        Some(())
    }

    fn stage(
        &mut self,
        form: &StageForm,
        path: &str,
        layer: Option<(&str, u64)>,
        resolved: &mut Resolved,
    ) -> Option<()> {
        if resolved.stages.len() >= MAX_STAGES {
            self.wrong(path, format!("a plan has at most {MAX_STAGES} stages"));
            return None;
        }
        let vars: BTreeMap<String, u64> = layer
            .map(|(name, number)| (name.to_owned(), number))
            .into_iter()
            .collect();
        let shared = Arc::new(self.values.of_stage(&vars, None));
        let name = self.render(&form.name, &shared, &format!("{path}.name"))?;
        let mut refused = names::refuse_stage(&name);
        if refused.is_none() && resolved.stage_number(&name).is_some() {
            refused = Some(match layer {
                Some((variable, _)) if !form.name.contains(variable) => {
                    format!("`{name}` again and again: the name needs {{{{ {variable} }}}}")
                }
                _ => format!("two stages are called `{name}`"),
            });
        }
        if let Some(message) = refused {
            self.wrong(&format!("{path}.name"), message);
            return None;
        }
        let shared = Arc::new(self.values.of_stage(&vars, Some(&name)));
        let queue = self.render(&form.queue, &shared, &format!("{path}.queue"))?;
        if let Some(message) = names::refuse_queue(&queue) {
            self.wrong(&format!("{path}.queue"), message);
        }
        let items = match &form.items {
            Some(items) => Some(self.items(items, &shared, &format!("{path}.items"))?),
            None => None,
        };
        let mut after = Vec::new();
        for condition in &form.after {
            after.push(self.after(condition, path, resolved)?);
        }
        let mut work = form.work.clone();
        if work.id.is_none() {
            // The same items have the same identities.
            let followed = after
                .iter()
                .find(|after| !after.all && after.group.is_none());
            let followed = followed.and_then(|after| resolved.stage_number(&after.stage));
            work.id = followed.and_then(|k| resolved.stages[k].work.id.clone());
        }
        let stage = Stage {
            name,
            queue,
            vars,
            items,
            shuffle: match form.shuffle {
                Shuffle::No => None,
                Shuffle::Yes => Some(seed(resolved.name())),
                Shuffle::Seed(seed) => Some(seed),
            },
            after,
            work,
            listed: None,
            chosen: None,
        };
        // Repetitions could make a small file too large to hold, let alone to store.
        self.bytes += serde_json::to_string(&stage).map_or(0, |json| json.len());
        if self.bytes > MAX_JSON {
            let message =
                format!("the stages have more than {MAX_JSON} bytes: put their lists into files");
            self.wrong(path, message);
            return None;
        }
        let prefix = format!("stages.{}", stage.name);
        if let Err(problems) = resolved.push(stage) {
            for problem in problems {
                let written = problem.path.replacen(&prefix, path, 1);
                let at = self.plan.place(&written);
                self.problems.push(Problem { at, ..problem });
            }
            return None;
        }
        Some(())
    }

    fn after(
        &mut self,
        form: &crate::form::AfterForm,
        path: &str,
        resolved: &Resolved,
    ) -> Option<After> {
        let stage = if form.stage == "previous" {
            let Some(previous) = resolved.stages.last() else {
                self.wrong(&format!("{path}.after"), "no stage stands above the first");
                return None;
            };
            previous.name.clone()
        } else {
            form.stage.clone()
        };
        let group = match &form.how {
            HowForm::Grid(factors) => Some(Group::Grid(factors.iter().cloned().collect())),
            HowForm::Text(text) => Some(Group::Text(text.clone())),
            HowForm::Each | HowForm::All => None,
        };
        Some(After {
            stage,
            group,
            all: form.how == HowForm::All,
        })
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

/// The seed that a batch's name stands for.
fn seed(batch: &str) -> u64 {
    let digest = Sha256::digest(batch.as_bytes());
    digest
        .iter()
        .take(8)
        .fold(0, |seed, &byte| (seed << 8) | u64::from(byte))
}
