//! Batches that are ended early.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{Consent, DeskArguments, consent, counted, known, stage_of};
use crate::batch::part_of;

#[derive(Args)]
pub(crate) struct CancelArguments {
    batch: String,
    /// Only this stage.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Ends what waits and what runs of a batch, or of one of its stages.
pub(super) async fn cancel(arguments: &CancelArguments) -> anyhow::Result<()> {
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let only = arguments.stage.as_deref();
    let only = only.map(|stage| stage_of(&state, stage)).transpose()?;
    let stages = only.map_or(0..state.stages.len(), |only| only..only + 1);
    let out = stages.clone().map(|stage| state.stages[stage].out).sum();
    let (out, what) = (counted(out, "item"), part_of(name, &state, only));
    let question = format!("End {what}, {out} under way?");
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would be ended: {what}, {out} under way")?;
        return Ok(());
    }
    let text = desk.operator(storage).cancel(name, &state, only).await?;
    writeln!(io::stdout(), "{what}: {text}; batch resume revives it")?;
    Ok(())
}
