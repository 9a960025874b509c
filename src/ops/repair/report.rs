//! What a comparison with the bucket has found, for people and for programs.

use std::io::{self, Write as _};

use super::super::desk::{Table, grouped, print_json};
use crate::batch::{Compared, Comparison, Found, Todo};
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
    comparison.to_json(todo).iter().try_for_each(print_json)
}
