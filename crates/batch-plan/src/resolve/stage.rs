//! One stage with its values.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Maker;
use crate::form::{AfterForm, HowForm, Repeat, Shuffle, StageForm};
use crate::names;
use crate::problem::Problem;
use crate::resolved::{After, Group, MAX_JSON, MAX_STAGES, Resolved, Stage};
use crate::scope::Shared;

/// An entry of the file, of which one stage is made.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) form: &'a StageForm,
    /// Where the file has it.
    pub(super) path: &'a str,
    /// The variable of its repetition, and the number that it has now.
    pub(super) layer: Option<(&'a str, u64)>,
}

impl<'a> Entry<'a> {
    pub(super) fn at(&self, what: &str) -> String {
        format!("{}.{what}", self.path)
    }

    /// One of its repetitions.
    pub(super) fn layer(self, repeat: &'a Repeat, number: u64) -> Self {
        Self {
            layer: Some((&repeat.variable, number)),
            ..self
        }
    }
}

impl Maker<'_> {
    /// Makes one stage. Nothing if what follows makes no sense.
    pub(super) fn stage(&mut self, entry: &Entry<'_>, resolved: &mut Resolved) -> Option<()> {
        if resolved.stages.len() >= MAX_STAGES {
            let message = format!("a plan has at most {MAX_STAGES} stages");
            self.wrong(entry.path, message);
            return None;
        }
        let stage = self.with_values(entry, resolved)?;
        self.weigh(&stage, entry.path)?;
        self.push(stage, entry.path, resolved)
    }

    fn with_values(&mut self, entry: &Entry<'_>, resolved: &Resolved) -> Option<Stage> {
        let form = entry.form;
        let vars: BTreeMap<_, _> = entry
            .layer
            .map(|(name, number)| (name.to_owned(), number))
            .into_iter()
            .collect();
        let name = self.stage_name(entry, &vars, resolved)?;
        let shared = Arc::new(self.values.of_stage(&vars, Some(&name)));
        let queue = self.queue(entry, &shared)?;
        let items = match &form.items {
            Some(items) => Some(self.items(items, &shared, &entry.at("items"))?),
            None => None,
        };
        let mut after = Vec::new();
        for condition in &form.after {
            after.push(self.after(condition, &entry.at("after"), resolved)?);
        }
        let mut work = form.work.clone();
        work.id = work.id.or_else(|| id_of_followed(&after, resolved));
        Some(Stage {
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
        })
    }

    fn stage_name(
        &mut self,
        entry: &Entry<'_>,
        vars: &BTreeMap<String, u64>,
        resolved: &Resolved,
    ) -> Option<String> {
        let path = entry.at("name");
        let shared = Arc::new(self.values.of_stage(vars, None));
        let name = self.render(&entry.form.name, &shared, &path)?;
        let mut refused = names::refuse_stage(&name);
        if refused.is_none() && resolved.stage_number(&name).is_some() {
            refused = Some(match entry.layer {
                Some((variable, _)) if !entry.form.name.contains(variable) => {
                    format!("`{name}` again and again: the name needs {{{{ {variable} }}}}")
                }
                _ => format!("two stages are called `{name}`"),
            });
        }
        match refused {
            Some(message) => {
                self.wrong(&path, message);
                None
            }
            None => Some(name),
        }
    }

    fn queue(&mut self, entry: &Entry<'_>, shared: &Arc<Shared>) -> Option<String> {
        let path = entry.at("queue");
        let queue = self.render(&entry.form.queue, shared, &path)?;
        if let Some(message) = names::refuse_queue(&queue) {
            self.wrong(&path, message);
        }
        Some(queue)
    }

    fn after(&mut self, form: &AfterForm, path: &str, resolved: &Resolved) -> Option<After> {
        let stage = if form.stage == "previous" {
            let Some(previous) = resolved.stages.last() else {
                self.wrong(path, "no stage stands above the first");
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

    /// Repetitions could make a small file too large to hold, let alone to store.
    fn weigh(&mut self, stage: &Stage, path: &str) -> Option<()> {
        self.bytes += serde_json::to_string(stage).map_or(0, |json| json.len());
        if self.bytes > MAX_JSON {
            let message =
                format!("the stages have more than {MAX_JSON} bytes: put their lists into files");
            self.wrong(path, message);
            return None;
        }
        Some(())
    }

    /// Adds a stage to those before it. What is wrong with it is told where the file has it.
    fn push(&mut self, stage: Stage, path: &str, resolved: &mut Resolved) -> Option<()> {
        let prefix = format!("stages.{}", stage.name);
        let Err(problems) = resolved.push(stage) else {
            return Some(());
        };
        for problem in problems {
            let written = problem.path.replacen(&prefix, path, 1);
            let at = self.plan.place(&written);
            self.problems.push(Problem { at, ..problem });
        }
        None
    }
}

/// The template of the identities of a stage that is followed one by one: the same items have the same identities.
fn id_of_followed(after: &[After], resolved: &Resolved) -> Option<String> {
    let followed = after
        .iter()
        .find(|after| !after.all && after.group.is_none())?;
    let k = resolved.stage_number(&followed.stage)?;
    resolved.stages[k].work.id.clone()
}

/// The seed that a batch's name stands for.
fn seed(batch: &str) -> u64 {
    let digest = Sha256::digest(batch.as_bytes());
    digest
        .iter()
        .take(8)
        .fold(0, |seed, &byte| (seed << 8) | u64::from(byte))
}
