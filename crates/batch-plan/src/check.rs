//! What is always looked at before a batch is written.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::fingerprint::fingerprint;
use crate::job::{Expected, RenderError, Renderer};
use crate::list::Lists;
use crate::problem::{Problem, shown};
use crate::resolved::{Items, Resolved};
use crate::row::Row;
use crate::template::Engine;
use crate::work::Expect;

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
    outputs: Outputs,
}

/// Which item of which stage expects an output, by 128 bits of what it is.
type Outputs = HashMap<(u64, u64), (usize, u64)>;

impl Checker<'_> {
    fn stage(&mut self, k: usize) -> Result<(), RenderError> {
        let mut check = StageCheck {
            plan: self.plan,
            k,
            renderer: Renderer::new(Arc::clone(self.plan), k)?,
            ids: HashSet::new(),
            outputs: &mut self.outputs,
            problems: Vec::new(),
        };
        check.check_axes();
        if self.plan.is_sample() && !self.options.into_real_outputs {
            check.check_sample_outputs();
        }
        let items = self.plan.looked_at(k, self.options.all);
        let count = items.len();
        let rows = self.plan.rows_of(k).and_then(|base| self.lists.get(base));
        for item in items {
            if check.problems.len() >= TOLD {
                break;
            }
            let row = rows.and_then(|list| list.row(item));
            check.check_item(item, row.as_ref());
        }
        check.problems.truncate(TOLD);
        self.report.looked_at.push(count as u64);
        self.report.problems.append(&mut check.problems);
        Ok(())
    }
}

/// A stage that is being looked at.
struct StageCheck<'a> {
    plan: &'a Resolved,
    k: usize,
    renderer: Renderer,
    /// Identities so far, as 128 bits each.
    ids: HashSet<(u64, u64)>,
    /// Outputs of this stage and those before it.
    outputs: &'a mut Outputs,
    problems: Vec<Problem>,
}

impl StageCheck<'_> {
    fn wrong(&mut self, what: &str, message: impl Into<String>) {
        let name = &self.plan.stages[self.k].name;
        let path = format!("stages.{name}.{what}");
        self.problems.push(Problem::new(path, message));
    }

    /// Items of a grid have different identities only if all axes are in the template.
    fn check_axes(&mut self) {
        let stage = &self.plan.stages[self.k];
        let (Some(Items::Range(_)) | None, Some(id), Some(range)) =
            (&stage.items, &stage.work.id, self.plan.grid(self.k))
        else {
            return;
        };
        let names = variables(id);
        for axis in range.axes.iter().filter(|axis| axis.len() > 1) {
            if !names.contains(&axis.name) {
                let message = format!(
                    "`{}` is not in it, so that items of the grid have the same id",
                    axis.name
                );
                self.wrong("id", message);
            }
        }
    }

    /// A sample must not write where the whole batch will.
    fn check_sample_outputs(&mut self) {
        for (index, expect) in self.plan.stages[self.k].work.expect.iter().enumerate() {
            let source = match expect {
                Expect::Result(_) => continue,
                Expect::Key(expect) => &expect.key,
                Expect::Prefix(expect) => &expect.prefix,
            };
            let names = variables(source);
            if !names.contains("batch") && !names.contains("sample") {
                let message = "the outputs of a sample would be those of the whole: `{{ batch }}` or `{{ sample }}` \
                               keeps them apart";
                self.wrong(&format!("expect[{index}]"), message);
            }
        }
    }

    fn check_item(&mut self, item: u64, row: Option<&Row>) {
        let job = self.renderer.job(item, row);
        let rendered = job.and_then(|job| Ok((job, self.renderer.expected(item, row)?)));
        let (job, expected) = match rendered {
            Ok(rendered) => rendered,
            Err(error) => {
                self.wrong(&error.field, format!("item {item}: {}", error.message));
                return;
            }
        };
        // Identities of lists were compared when they were read.
        if !self.ids.insert(fingerprint(&job.id)) {
            let id = shown(&job.id);
            let message = format!("item {item} has the id `{id}`, which another one has");
            self.wrong("id", message);
        }
        for output in &expected {
            self.check_output(item, output);
        }
    }

    /// An output belongs to one item.
    fn check_output(&mut self, item: u64, output: &Expected) {
        let key = match output {
            Expected::Result => return,
            Expected::Key { key, .. } => (0_u8, key, None),
            Expected::Prefix {
                prefix, matches, ..
            } => (1, prefix, matches.as_ref()),
        };
        if let Some(&(other, other_item)) = self.outputs.get(&fingerprint(&key)) {
            let message = format!(
                "item {item} expects `{}`, and so does item {other_item} of `{}`",
                shown(key.1),
                self.plan.stages[other].name
            );
            self.wrong("expect", message);
        } else {
            self.outputs.insert(fingerprint(&key), (self.k, item));
        }
    }
}

fn variables(source: &str) -> BTreeSet<String> {
    let mut engine = Engine::new();
    let text = engine.compile(source);
    text.map(|text| engine.variables(&text)).unwrap_or_default()
}
