//! What was looked at, and what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};

use batch_plan::{Job, Stage};
use serde_json::{Value, json};

use super::super::super::desk::{counted, grouped};
use super::fault::{Fault, Kind};
use super::rules::named;
use crate::untrusted;

/// Problems of one kind that people are told of a stage.
const TOLD: usize = 10;
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

    /// How often each rule holds, and which were not looked at.
    fn summary(&self) -> String {
        let mut text = String::new();
        for rule in &self.rules {
            let _ = match (rule.kind, rule.holds, rule.left_out) {
                (_, _, Some(setting)) => {
                    write!(text, "  {} not looked at: {setting} is not set", rule.word)
                }
                (Kind::Room, Some(0), _) => write!(text, "  no room"),
                (Kind::Room, Some(_), _) => write!(text, "  room"),
                (_, holds, _) => write!(text, "  {} {}", rule.word, grouped(holds.unwrap_or(0))),
            };
        }
        if !self.uses.is_empty() {
            let _ = write!(text, "  uses {}", shortened(&self.uses, self.uses.len()));
        }
        text
    }

    /// What is wrong, at most so many lines for each kind.
    fn lines(&self) -> Vec<String> {
        let width = self.counts.keys().map(|kind| kind.word().len()).max();
        let width = width.unwrap_or(0);
        let mut lines = Vec::new();
        for (kind, count) in &self.counts {
            let mut add = |text: String| lines.push(format!("  {:width$}  {text}", kind.word()));
            let faults = self.faults.iter().filter(|fault| fault.kind == *kind);
            let (plain, told): (Vec<_>, Vec<_>) = faults.partition(|fault| fault.why.is_empty());
            if !plain.is_empty() {
                let names: Vec<_> = plain.iter().map(|fault| fault.about.clone()).collect();
                let count = *count as usize - told.len();
                add(shortened(&names, count));
            }
            for fault in told.iter().take(TOLD) {
                add(format!("{}: {}", fault.about, fault.why));
            }
            if told.len() > TOLD {
                let rest = *count as usize - plain.len() - TOLD;
                add(format!("… {} more", grouped(rest as u64)));
            }
        }
        lines
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

    fn problems(&self) -> u64 {
        self.stages.iter().map(StageReport::problems).sum()
    }

    /// Prints a line for each stage, and below it what is wrong; `after` follows the number of problems.
    pub(crate) fn show(&self, after: &str) -> io::Result<()> {
        let told: Vec<_> = self.stages.iter().filter(|stage| stage.is_told()).collect();
        let items = told
            .iter()
            .map(|stage| stage.items.map_or_else(String::new, grouped));
        let items: Vec<_> = items.collect();
        let name_width = told.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
        let width = items.iter().map(String::len).max().unwrap_or(0);
        let mut out = io::stdout();
        for (stage, items) in told.iter().zip(items) {
            let looked_at = match stage.items == Some(stage.looked_at) || stage.rules.is_empty() {
                true => String::new(),
                false => format!(", {} looked at", grouped(stage.looked_at)),
            };
            let noun = if stage.items == Some(1) {
                "item"
            } else {
                "items"
            };
            let summary = untrusted::message(stage.summary());
            writeln!(
                out,
                "{:name_width$}  {items:>width$} {noun}{looked_at}{summary}",
                stage.name
            )?;
            for line in stage.lines() {
                writeln!(out, "{}", untrusted::message(line))?;
            }
        }
        match self.problems() {
            0 => Ok(()),
            problems => writeln!(out, "{}{after}", counted(problems, "problem")),
        }
    }

    /// The same as JSON, by stages that have rules.
    pub(crate) fn to_json(&self) -> Value {
        let told = self.stages.iter().filter(|stage| stage.is_told());
        told.map(StageReport::to_json).collect()
    }
}

/// The first of so many names.
fn shortened(names: &[String], count: usize) -> String {
    let mut text = names[..names.len().min(TOLD)].join(", ");
    if count > TOLD {
        let _ = write!(text, " and {} more", grouped((count - TOLD) as u64));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(faults: impl Iterator<Item = Fault>) -> StageReport {
        let mut report = StageReport {
            name: "seg".to_owned(),
            items: Some(5000),
            looked_at: 5000,
            rules: Vec::new(),
            counts: BTreeMap::new(),
            faults: Vec::new(),
            gatherers: BTreeMap::new(),
            uses: Vec::new(),
        };
        report.add(faults);
        report
    }

    #[test]
    fn only_some_of_many_problems_are_told() {
        let missing = (0..1200).map(|n| Fault::new(Kind::Missing, format!("k{n}"), ""));
        let image = (0..12).map(|n| Fault::new(Kind::Image, format!("i{n}"), "no"));
        let report = report(missing.chain(image));
        let lines = report.lines();
        assert_eq!(lines.len(), 1 + 11);
        assert!(lines[0].starts_with("  missing  k0, k1, "), "{}", lines[0]);
        assert!(lines[0].ends_with("k9 and 1,190 more"), "{}", lines[0]);
        assert_eq!(lines[1], "  image    i0: no");
        assert_eq!(lines[11], "  image    … 2 more");
        assert_eq!(report.problems(), 1212);
        assert_eq!(
            report.to_json()["problems"].as_array().map(Vec::len),
            Some(1012)
        );
    }
}
