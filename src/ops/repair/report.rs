//! What a comparison with the bucket has found, for people and for programs.

use std::io::{self, Write as _};

use serde_json::json;

use super::super::desk::{Table, grouped, print_json};
use crate::batch::{Compared, Comparison, Found, Todo};
use crate::queue::control::Remark;
use crate::untrusted;

/// Items that are named.
const NAMED: usize = 10;

/// Prints a line for each stage, and what is missing.
pub(super) fn show(comparison: &Comparison) -> io::Result<()> {
    let mut table = Table::new(&[
        "stage", ">items", ">present", ">missing", ">partial", ">out", ">failed", ">orphans",
    ]);
    for stage in &comparison.stages {
        let numbers = [
            Some(stage.total),
            Some(stage.count(Found::Present)),
            Some(stage.count(Found::Missing)),
            Some(stage.count(Found::Partial)),
            Some(stage.out),
            Some(stage.failed),
            stage.orphans,
        ];
        let cells = numbers.map(|number| {
            let number = number.filter(|_| stage.is_compared);
            number.map_or_else(|| "–".to_owned(), grouped)
        });
        table.row([stage.name.clone()].into_iter().chain(cells));
    }
    table.print()?;
    comparison.stages.iter().try_for_each(show_names)
}

fn show_names(stage: &Compared) -> io::Result<()> {
    let mut out = io::stdout();
    let mut named: Vec<_> = stage.examples.iter().take(NAMED).cloned().collect();
    if !named.is_empty() {
        if stage.examples.len() > NAMED {
            named.push("…".to_owned());
        }
        let named = untrusted::message(named.join(", ")).to_string();
        writeln!(out, "{} misses: {named}", stage.name)?;
    }
    for key in &stage.orphan_keys {
        writeln!(out, "{} orphan: {}", stage.name, untrusted::name(key))?;
    }
    Ok(())
}

/// Prints an object for each stage.
pub(super) fn print(comparison: &Comparison, todo: &Todo) -> io::Result<()> {
    for (number, stage) in comparison.stages.iter().enumerate() {
        print_json(&json!({
            "stage": stage.name,
            "compared": stage.is_compared,
            "items": stage.total,
            "present": stage.count(Found::Present),
            "missing": stage.count(Found::Missing),
            "partial": stage.count(Found::Partial),
            "out": stage.out,
            "failed": stage.failed,
            "orphans": stage.orphans,
            "orphan_keys": stage.orphan_keys,
            "again": todo.count(number, Remark::Again),
            "follow": todo.count(number, Remark::Clear),
            "adopt": todo.count(number, Remark::Adopt),
            "wrong_counters": todo.counters().contains(&number),
        }))?;
    }
    Ok(())
}

/// What is to be done, in a few words.
pub(super) fn describe(comparison: &Comparison, todo: &Todo) -> String {
    let ways = [
        ("to be worked again", Remark::Again),
        ("to follow by themselves", Remark::Clear),
        ("to be counted as done", Remark::Adopt),
    ];
    let parts = ways.iter().filter_map(|(what, remark)| {
        let counts = each_stage(comparison, |number, _| todo.count(number, *remark) as u64)?;
        Some(format!("{what}: {counts}"))
    });
    let wrong = todo.counters().iter();
    let wrong: Vec<_> = wrong
        .map(|number| comparison.stages[*number].name.as_str())
        .collect();
    let wrong = (!wrong.is_empty()).then(|| format!("to be counted anew: {}", wrong.join(", ")));
    parts.chain(wrong).collect::<Vec<_>>().join("; ")
}

/// A number of each stage where it is not 0, with the stage's name; nothing if there is none.
pub(super) fn each_stage(
    comparison: &Comparison,
    count: impl Fn(usize, &Compared) -> u64,
) -> Option<String> {
    let stages = comparison.stages.iter().enumerate();
    let counts = stages.map(|(number, stage)| (stage, count(number, stage)));
    let counts = counts.filter(|(_, count)| *count > 0);
    let each: Vec<_> = counts
        .map(|(stage, count)| format!("{} {}", stage.name, grouped(count)))
        .collect();
    (!each.is_empty()).then(|| each.join(", "))
}
