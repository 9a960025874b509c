//! `redis-consumer repair`: a batch is compared with what lies in the bucket.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::desk::{DeskArguments, Table, grouped, known, print_json, stage_of};
use crate::batch::{Comparison, Found, Loaded, Repair, Todo};
use crate::exit_code;
use crate::queue::control::Remark;
use crate::storage::{Storage, StorageSettings};
use crate::untrusted;

/// Items that are named.
const NAMED: usize = 10;

#[derive(Args)]
pub(crate) struct RepairArguments {
    /// The batch.
    #[arg(long, value_name = "NAME")]
    batch: String,
    /// Only this stage.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Change what Redis knows: items without their outputs are worked again.
    #[arg(long)]
    apply: bool,
    /// Count items as done whose outputs are there, though nothing is known of them or they have failed.
    #[arg(long)]
    adopt: bool,
    /// Have failed items without outputs worked again, too.
    #[arg(long)]
    failed: bool,
    /// One JSON object for each stage.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Compares, and repairs if it is told to. The status is 4 if something is left to be done.
pub(crate) async fn repair(arguments: RepairArguments) -> anyhow::Result<ExitCode> {
    let (desk, storage) = arguments.desk.open_with(StorageSettings::load)?;
    let storage = Storage::open(&storage)?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let only = arguments.stage.as_deref();
    let only = only.map(|stage| stage_of(&state, stage)).transpose()?;
    let mut loaded = Loaded::fetch(&desk.admin, Some(storage.clone()), name, &state).await?;
    let comparison = Comparison::of(&desk.admin, &storage, &mut loaded, only).await?;
    let todo = comparison.todo(Repair {
        adopts: arguments.adopt,
        with_failed: arguments.failed,
    });
    if arguments.json {
        print(&comparison, &todo)?;
    } else {
        show(&comparison)?;
    }
    let is_applied = arguments.apply && !todo.is_empty();
    let what = describe(&comparison, &todo);
    if is_applied {
        todo.apply(&desk.admin, &mut loaded).await?;
        desk.record("repair", name, &what).await?;
    }
    if !arguments.json {
        let text = match is_applied {
            _ if todo.is_empty() => "nothing is to be done".to_owned(),
            true => format!("{what}: done"),
            false => format!("{what}. Nothing was changed; --apply does it"),
        };
        writeln!(io::stdout(), "{text}")?;
    }
    Ok(ExitCode::from(match is_applied || todo.is_empty() {
        true => exit_code::SUCCESS,
        false => exit_code::FOUND,
    }))
}

/// What is to be done, in a few words.
fn describe(comparison: &Comparison, todo: &Todo) -> String {
    let ways = [
        ("to be worked again", Remark::Again),
        ("to follow by themselves", Remark::Clear),
        ("to be counted as done", Remark::Adopt),
    ];
    let parts = ways.iter().filter_map(|(what, remark)| {
        let stages = comparison.stages.iter().enumerate();
        let counts = stages.map(|(number, stage)| (stage, todo.count(number, *remark)));
        let counts = counts.filter(|(_, count)| *count > 0);
        let each = counts.map(|(stage, count)| format!("{} {}", stage.name, grouped(count as u64)));
        let each: Vec<_> = each.collect();
        (!each.is_empty()).then(|| format!("{what}: {}", each.join(", ")))
    });
    parts.collect::<Vec<_>>().join("; ")
}

fn show(comparison: &Comparison) -> io::Result<()> {
    let mut table = Table::new(&[
        "stage", ">items", ">present", ">missing", ">partial", ">out", ">failed", ">orphans",
    ]);
    for stage in &comparison.stages {
        let numbers = [
            stage.total,
            stage.count(Found::Present),
            stage.count(Found::Missing),
            stage.count(Found::Partial),
            stage.out,
            stage.failed,
            stage.orphans,
        ];
        let cells = numbers.map(|number| match stage.is_compared {
            true => grouped(number),
            false => "–".to_owned(),
        });
        table.row([stage.name.clone()].into_iter().chain(cells));
    }
    table.print()?;
    for stage in &comparison.stages {
        let named: Vec<_> = stage.examples.iter().take(NAMED).cloned().collect();
        if !named.is_empty() {
            let named = untrusted::message(named.join(", ")).to_string();
            writeln!(io::stdout(), "{} misses: {named}", stage.name)?;
        }
    }
    Ok(())
}

fn print(comparison: &Comparison, todo: &Todo) -> io::Result<()> {
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
            "again": todo.count(number, Remark::Again),
            "follow": todo.count(number, Remark::Clear),
            "adopt": todo.count(number, Remark::Adopt),
        }))?;
    }
    Ok(())
}
