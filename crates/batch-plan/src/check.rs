//! What is always looked at before a batch is written.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::job::{Expected, RenderError, Renderer};
use crate::list::Lists;
use crate::problem::{Problem, shown};
use crate::resolved::{Items, Resolved};
use crate::template::Engine;
use crate::work::{Expect, Verify};

/// Items that a stage has at most for all of them to be looked at.
const ALL: u64 = 10_000;
/// Items of larger stages that are.
const SOME: u64 = 1000;
/// Problems of a stage that are told.
const TOLD: usize = 20;

/// How closely to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Look at all items, however many there are.
    pub all: bool,
    /// Let a sample have outputs where those of the whole would be.
    pub into_real_outputs: bool,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Items that were rendered, by stage.
    pub looked_at: Vec<u64>,
    /// What is wrong; at most some for each stage.
    pub problems: Vec<Problem>,
}

/// Renders the items of a plan, or a thousand of stages with more than 10,000, and compares identities and expected outputs.
///
/// Lists that are late are not looked at. What a plan says about itself was looked at when it was resolved.
///
/// # Errors
///
/// A text of the plan is no template, which a resolved plan does not have.
pub fn check(
    plan: &Arc<Resolved>,
    lists: &Lists,
    options: CheckOptions,
) -> Result<Report, RenderError> {
    let mut checker = Checker {
        plan,
        lists,
        options,
        report: Report::default(),
        outputs: HashMap::new(),
    };
    for stage in 0..plan.stages.len() {
        checker.stage(stage)?;
    }
    Ok(checker.report)
}

struct Checker<'a> {
    plan: &'a Arc<Resolved>,
    lists: &'a Lists,
    options: CheckOptions,
    report: Report,
    /// Which item expects an output, by 128 bits of what it is.
    outputs: HashMap<(u64, u64), (usize, u64)>,
}

impl Checker<'_> {
    fn stage(&mut self, k: usize) -> Result<(), RenderError> {
        let mut problems = Vec::new();
        self.templates(k, &mut problems);
        let renderer = Renderer::new(Arc::clone(self.plan), k)?;
        let total = self.plan.total(k).unwrap_or(0);
        let whole = total <= ALL
            || self.options.all
            || self.plan.stages[k].work.verify.contains(&Verify::All(true));
        let count = if whole { total } else { SOME };
        let mut ids = HashSet::new();
        for index in 0..count {
            if problems.len() >= TOLD {
                break;
            }
            // Spread evenly, the first and the last among them.
            let position = match count {
                0 | 1 => 0,
                _ => u128::from(index) * u128::from(total - 1) / u128::from(count - 1),
            };
            let position = u64::try_from(position).unwrap_or(0);
            let item = self.plan.item_at(k, position).unwrap_or(position);
            self.item(&renderer, k, item, &mut ids, &mut problems);
        }
        problems.truncate(TOLD);
        self.report.looked_at.push(count);
        self.report.problems.append(&mut problems);
        Ok(())
    }

    fn item(
        &mut self,
        renderer: &Renderer,
        k: usize,
        item: u64,
        ids: &mut HashSet<(u64, u64)>,
        problems: &mut Vec<Problem>,
    ) {
        let rows = self.plan.rows_of(k);
        let row = rows.and_then(|base| self.lists.get(base)?.row(item));
        let rendered = renderer
            .job(item, row.as_ref())
            .and_then(|job| Ok((job, renderer.expected(item, row.as_ref())?)));
        let (job, expected) = match rendered {
            Ok(rendered) => rendered,
            Err(error) => {
                let path = format!("stages.{}.{}", error.stage, error.field);
                problems.push(Problem::new(
                    path,
                    format!("item {item}: {}", error.message),
                ));
                return;
            }
        };
        let name = &self.plan.stages[k].name;
        // Identities of lists were compared when they were read.
        if !ids.insert(hashes(&job.id)) {
            let message = format!(
                "item {item} has the id `{}`, which another one has",
                shown(&job.id)
            );
            problems.push(Problem::new(format!("stages.{name}.id"), message));
        }
        for output in &expected {
            let key = match output {
                Expected::Result => continue,
                Expected::Key { key, .. } => (0_u8, key, None),
                Expected::Prefix {
                    prefix, matches, ..
                } => (1, prefix, matches.as_ref()),
            };
            if let Some(&(other, other_item)) = self.outputs.get(&hashes(&key)) {
                let message = format!(
                    "item {item} expects `{}`, and so does item {other_item} of `{}`",
                    shown(key.1),
                    self.plan.stages[other].name
                );
                problems.push(Problem::new(format!("stages.{name}.expect"), message));
            } else {
                self.outputs.insert(hashes(&key), (k, item));
            }
        }
    }

    /// What can be said of templates without their items.
    fn templates(&self, k: usize, problems: &mut Vec<Problem>) {
        let stage = &self.plan.stages[k];
        if let (Some(Items::Range(_)) | None, Some(id), Some(range)) =
            (&stage.items, &stage.work.id, self.plan.grid(k))
        {
            let names = variables(id);
            for axis in range.axes.iter().filter(|axis| axis.len() > 1) {
                if !names.contains(&axis.name) {
                    let message = format!(
                        "`{}` is not in it, so that items of the grid have the same id",
                        axis.name
                    );
                    problems.push(Problem::new(format!("stages.{}.id", stage.name), message));
                }
            }
        }
        if !self.plan.is_sample() || self.options.into_real_outputs {
            return;
        }
        for (index, expect) in stage.work.expect.iter().enumerate() {
            let source = match expect {
                Expect::Result(_) => continue,
                Expect::Key(expect) => &expect.key,
                Expect::Prefix(expect) => &expect.prefix,
            };
            let names = variables(source);
            if !names.contains("batch") && !names.contains("sample") {
                let message = "the outputs of a sample would be those of the whole: `{{ batch }}` or `{{ sample }}` \
                               keeps them apart";
                let path = format!("stages.{}.expect[{index}]", stage.name);
                problems.push(Problem::new(path, message));
            }
        }
    }
}

fn variables(source: &str) -> BTreeSet<String> {
    let mut engine = Engine::new();
    let text = engine.compile(source);
    text.map(|text| engine.variables(&text)).unwrap_or_default()
}

fn hashes(value: &impl Hash) -> (u64, u64) {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        hasher.finish()
    };
    (hash(0), hash(1))
}
