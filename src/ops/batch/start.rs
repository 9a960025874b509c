//! Stages that wait for a person.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{feed_first, known, stage_of};
use super::change::NameArguments;

#[derive(Args)]
pub(crate) struct StartArguments {
    #[command(flatten)]
    of: NameArguments,
    /// The stage.
    #[arg(long)]
    stage: String,
    /// Even if stages below have not ended: with what is there.
    #[arg(long)]
    force: bool,
}

/// Starts a stage.
pub(super) async fn start(arguments: &StartArguments) -> anyhow::Result<()> {
    let StartArguments { of, stage, force } = arguments;
    let (desk, storage) = of.desk.open_with_bucket()?;
    let state = known(&desk, &of.batch).await?;
    let number = stage_of(&state, stage)?;
    let operator = desk.operator(storage.clone());
    let start = operator.check_start((&of.batch, number), &state).await?;
    if let Some(refusal) = start.refusal_of(&state, *force) {
        return Err(refusal.into());
    }
    if of.dry_run {
        writeln!(io::stdout(), "would be started: {stage}")?;
        return Ok(());
    }
    operator.start(&of.batch, &start).await?;
    feed_first(&desk, storage, &of.batch).await?;
    writeln!(io::stdout(), "{stage} of {}: started", of.batch)?;
    Ok(())
}
