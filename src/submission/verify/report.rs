//! What was looked at, and what was found.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use batch_plan::{Job, Stage};
use serde_json::{Value, json};

use super::fault::{Fault, Kind};
use super::rules::named;

/// Problems of one kind that programs are told.
const KEPT: u64 = 1000;

/// What was looked at of a plan, and what was found.
#[derive(Default)]
pub(crate) struct Verified {
    pub(super) stages: Vec<StageReport>,
}

/// The same of a stage.
pub(super) struct StageReport {
    name: String,
    items: Option<u64>,
    looked_at: u64,
    rules: Vec<Rule>,
    counts: BTreeMap<Kind, u64>,
    faults: Vec<Fault>,
    /// Items above that gather some with problems: how many, and of how many.
    pub(super) gatherers: BTreeMap<(usize, u64), (u64, u64)>,
    /// What gathers items with problems here, in words.
    pub(super) uses: Vec<String>,
}

/// A rule, and how often it holds.
struct Rule {
    word: &'static str,
    kind: Kind,
    /// Nothing if it was not looked at.
    holds: Option<u64>,
    /// The setting without which it cannot be.
    left_out: Option<&'static str>,
}

impl StageReport {
    pub(super) fn new(stage: &Stage, items: Option<u64>, looked_at: u64) -> Self {
        let mut known = BTreeSet::new();
        let rules = stage.work.verify.iter().filter_map(named);
        let rules = rules.filter(|(_, kind)| known.insert(*kind));
        let rules = rules.map(|(word, kind)| Rule {
            word,
            kind,
            holds: None,
            left_out: None,
        });
        Self {
            name: stage.name.clone(),
            items,
            looked_at,
            rules: rules.collect(),
            counts: BTreeMap::new(),
            faults: Vec::new(),
            gatherers: BTreeMap::new(),
            uses: Vec::new(),
        }
    }

    /// Says how often a rule holds that is not about items.
    pub(super) fn count(&mut self, kind: Kind, holds: usize) {
        for rule in self.rules.iter_mut().filter(|rule| rule.kind == kind) {
            *rule.holds.get_or_insert(0) += holds as u64;
        }
    }

    /// Says that a rule was not looked at, because this setting is missing.
    pub(super) fn leave_out(&mut self, kind: Kind, setting: &'static str) {
        for rule in self.rules.iter_mut().filter(|rule| rule.kind == kind) {
            rule.left_out = Some(setting);
        }
    }

    pub(super) fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            let count = self.counts.entry(fault.kind).or_default();
            *count += 1;
            if *count <= KEPT {
                self.faults.push(fault);
            }
        }
    }

    /// Counts an item, and adds what is wrong with it.
    pub(super) fn add_item(&mut self, job: &Job, faults: Vec<Fault>) {
        let kinds: BTreeSet<_> = faults.iter().map(|fault| fault.kind).collect();
        let rules = self.rules.iter_mut();
        for rule in rules.filter(|rule| rule.kind.is_of_items()) {
            let is_missing = rule.kind.needs_input() && kinds.contains(&Kind::Missing);
            let holds = !is_missing && !kinds.contains(&rule.kind);
            *rule.holds.get_or_insert(0) += u64::from(holds);
        }
        for up in job
            .ups
            .iter()
            .filter(|up| up.children > 1 && !faults.is_empty())
        {
            let gatherer = self.gatherers.entry((up.stage, up.parent));
            gatherer.or_insert((0, up.children)).0 += 1;
        }
        self.add(faults);
    }

    fn is_told(&self) -> bool {
        !self.rules.is_empty() || !self.uses.is_empty()
    }

    fn problems(&self) -> u64 {
        self.counts.values().sum()
    }

    fn to_json(&self) -> Value {
        let rules = self.rules.iter().map(|rule| match rule.left_out {
            Some(setting) => json!({ "rule": rule.word, "not_set": setting }),
            None => json!({ "rule": rule.word, "holds": rule.holds }),
        });
        let problems = self.faults.iter().map(
            |fault| json!({ "kind": fault.kind.word(), "about": fault.about, "why": fault.why }),
        );
        json!({
            "name": self.name,
            "items": self.items,
            "looked_at": self.looked_at,
            "rules": rules.collect::<Vec<_>>(),
            "problem_count": self.problems(),
            "problems": problems.collect::<Vec<_>>(),
            "uses": self.uses,
        })
    }
}

impl Verified {
    /// Whether nothing was found wrong.
    pub(crate) fn is_right(&self) -> bool {
        self.problems() == 0
    }

    /// How many problems were found.
    pub(crate) fn problems(&self) -> u64 {
        self.stages.iter().map(StageReport::problems).sum()
    }

    /// It as JSON, by stages that have rules.
    pub(crate) fn to_json(&self) -> Value {
        let told = self.stages.iter().filter(|stage| stage.is_told());
        told.map(StageReport::to_json).collect()
    }
}
