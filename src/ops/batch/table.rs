//! How a batch fares, stage by stage.

use std::io::{self, Write as _};

use super::super::desk::{Age, Desk, Table, ago, grouped};
use crate::batch::{MEMORY_FULL, Standing, obstacles};
use crate::untrusted;
use crate::wire::batch;

/// Causes that are shown.
const CAUSES: usize = 5;

/// Prints how a batch fares.
pub(in super::super) async fn show(desk: &Desk, name: &str) -> anyhow::Result<()> {
    let shown = Standing::of(&desk.admin, name).await?;
    let state = &shown.state;
    let mut out = io::stdout();
    let since = ago(state.created * 1000);
    let by = untrusted::name(&state.created_by);
    let title = untrusted::name(name);
    writeln!(out, "{title}  {}  since {since}  by {by}", state.state)?;
    let mut table = Table::new(&[
        "stage", ">total", ">new", ">ready", ">out", ">done", ">failed", ">blocked", ">%", ">rate",
        ">left",
    ]);
    for number in 0..state.stages.len() {
        table.row(cells(&shown, number));
    }
    table.print()?;
    show_obstacles(&shown)?;
    for obstacle in obstacles(name, state) {
        writeln!(out, "{obstacle}")?;
    }
    for (cause, count) in shown.causes.iter().take(CAUSES) {
        let (count, cause) = (grouped(*count), untrusted::message(cause));
        writeln!(out, "{count} failed: {cause}")?;
    }
    Ok(())
}

/// Says why nothing of the batch gets further.
fn show_obstacles(shown: &Standing) -> io::Result<()> {
    let mut out = io::stdout();
    if let Some(used) = shown.memory.filter(|used| *used > MEMORY_FULL) {
        writeln!(
            out,
            "Redis uses {used} % of its memory: above {MEMORY_FULL} % nothing is fed"
        )?;
    }
    if shown.is_alone && shown.state.state == batch::RUNNING {
        writeln!(
            out,
            "no consumer serves its queues: nothing is fed, unless a janitor or `redis-consumer feed` runs"
        )?;
    }
    Ok(())
}

fn cells(shown: &Standing, number: usize) -> [String; 11] {
    let stage = &shown.state.stages[number];
    let rate = shown.rates[number];
    [
        stage.name.clone(),
        match stage.is_read {
            true => grouped(stage.total),
            false => "–".to_owned(),
        },
        grouped(shown.untouched(number)),
        grouped(stage.ready),
        grouped(stage.out),
        grouped(stage.done),
        grouped(stage.failed),
        grouped(shown.blocked[number]),
        (stage.done * 100 / stage.total.max(1)).to_string(),
        match rate > 0.0 {
            true => format!("{rate:.1}/s"),
            false => "–".to_owned(),
        },
        shown
            .left(number)
            .map_or_else(|| "–".to_owned(), |left| Age(left).to_string()),
    ]
}
