//! All batches.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{DeskArguments, Table, grouped, print_json};
use crate::queue::control::BatchState;
use crate::untrusted;

#[derive(Args)]
pub(crate) struct ListArguments {
    /// One JSON object for each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Prints a line for each batch.
pub(super) async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let batches = arguments.desk.open()?.admin.all_batches().await?;
    if arguments.json {
        for (name, state) in &batches {
            print_json(&state.to_json(name))?;
        }
    } else if batches.is_empty() {
        writeln!(io::stdout(), "there is no batch")?;
    } else {
        show(&batches)?;
    }
    Ok(())
}

fn show(batches: &[(String, BatchState)]) -> io::Result<()> {
    let mut table = Table::new(&[
        "batch", "state", ">stages", ">items", ">done", ">failed", "by",
    ]);
    for (name, state) in batches {
        table.row([
            untrusted::name(name).to_string(),
            state.state.clone(),
            grouped(state.stages.len() as u64),
            grouped(state.sum(|stage| stage.total)),
            grouped(state.sum(|stage| stage.done)),
            grouped(state.sum(|stage| stage.failed)),
            untrusted::name(&state.created_by).to_string(),
        ]);
    }
    table.print()
}
