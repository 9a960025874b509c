//! `redis-consumer repair`: a batch is compared with what lies in the bucket.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::desk::{Desk, DeskArguments, Refused, Table, grouped, known, print_json, stage_of};
use crate::batch::{Comparison, Feeder, Found, Repair, compare};
use crate::exit_code;
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
    let only = match &arguments.stage {
        Some(stage) => Some(stage_of(&state, stage)?),
        None => None,
    };
    let mut feeder = Feeder::new(desk.admin.clone(), Some(storage.clone()));
    feeder.load(name, &state).await?;
    let loaded = feeder
        .loaded(name)
        .ok_or_else(|| Refused(format!("the plan of {} is gone", untrusted::name(name))))?;
    let comparison = compare(&desk.admin, &storage, loaded, name, only).await?;
    let repair = Repair {
        adopts: arguments.adopt,
        with_failed: arguments.failed,
    };
    let todo = comparison.todo(repair);
    if arguments.json {
        print(&comparison, &todo)?;
    } else {
        show(&comparison)?;
    }
    if todo.is_empty() {
        if !arguments.json {
            writeln!(io::stdout(), "nothing is to be done")?;
        }
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    if !arguments.apply {
        if !arguments.json {
            writeln!(
                io::stdout(),
                "{}. Nothing was changed; --apply does it",
                describe(&comparison, &todo)
            )?;
        }
        return Ok(ExitCode::from(exit_code::FOUND));
    }
    todo.apply(&desk.admin, &storage, loaded, name).await?;
    record(&desk, name, &describe(&comparison, &todo)).await?;
    if !arguments.json {
        writeln!(io::stdout(), "{}: done", describe(&comparison, &todo))?;
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

async fn record(desk: &Desk, name: &str, what: &str) -> anyhow::Result<()> {
    desk.record("repair", name, what).await
}

/// What is to be done, in a few words.
fn describe(comparison: &Comparison, todo: &crate::batch::Todo) -> String {
    let name = |stage: usize| comparison.stages[stage].name.clone();
    let mut parts = Vec::new();
    let sums = [
        ("to be worked again", todo.again()),
        ("to follow by themselves", todo.cleared()),
        ("to be counted as done", todo.adopted()),
    ];
    for (what, counts) in sums {
        let counts: BTreeMap<usize, usize> = counts;
        if counts.is_empty() {
            continue;
        }
        let each: Vec<_> = counts
            .iter()
            .map(|(stage, count)| format!("{} {}", name(*stage), grouped(*count as u64)))
            .collect();
        parts.push(format!("{what}: {}", each.join(", ")));
    }
    parts.join("; ")
}

fn show(comparison: &Comparison) -> io::Result<()> {
    let mut table = Table::new(&[
        "stage", ">items", ">present", ">missing", ">partial", ">out", ">failed", ">orphans",
    ]);
    for stage in &comparison.stages {
        let counts = |found: Found| grouped(stage.count(found));
        match stage.is_compared {
            true => table.row([
                stage.name.clone(),
                grouped(stage.total),
                counts(Found::Present),
                counts(Found::Missing),
                counts(Found::Partial),
                grouped(stage.out),
                grouped(stage.failed),
                grouped(stage.orphans),
            ]),
            false => table.row(
                std::iter::once(stage.name.clone()).chain(std::iter::repeat_n("–".to_owned(), 7)),
            ),
        }
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

fn print(comparison: &Comparison, todo: &crate::batch::Todo) -> io::Result<()> {
    let (again, cleared, adopted) = (todo.again(), todo.cleared(), todo.adopted());
    for (number, stage) in comparison.stages.iter().enumerate() {
        let of = |counts: &BTreeMap<usize, usize>| counts.get(&number).copied().unwrap_or(0);
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
            "again": of(&again),
            "follow": of(&cleared),
            "adopt": of(&adopted),
        }))?;
    }
    Ok(())
}
