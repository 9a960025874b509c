//! Stages that wait for a person.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{Refused, feed_first, grouped, known, stage_of};
use super::change::NameArguments;
use crate::batch::Loaded;
use crate::queue::control::StageState;
use crate::wire::batch;

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
    if state.stages[number].is_started {
        let text = format!("{stage} needs no start: it runs as soon as it can");
        return Err(Refused(text).into());
    }
    let loaded = Loaded::fetch(&desk.admin, None, &of.batch, &state).await?;
    let barriers = loaded.plan.barriers(number).iter().copied();
    let mut below = loaded.plan.below(number).chain(barriers);
    let unfinished = below.find(|&below| {
        !state.stages[below].is_read || state.stages[below].done < state.stages[below].total
    });
    if let Some(below) = unfinished.filter(|_| !force) {
        return Err(refuse(&state.stages[below], stage).into());
    }
    if of.dry_run {
        writeln!(io::stdout(), "would be started: {stage}")?;
        return Ok(());
    }
    let field = (batch::stage_field(number, batch::STARTED), "1".to_owned());
    desk.admin.set_batch(&of.batch, &[field]).await?;
    let about = format!("{} {stage}", of.batch);
    desk.record("batch start", &about, "started").await?;
    feed_first(&desk, storage, &of.batch).await?;
    writeln!(io::stdout(), "{stage} of {}: started", of.batch)?;
    Ok(())
}

fn refuse(below: &StageState, stage: &str) -> Refused {
    Refused(format!(
        "{}: {} of {} done, {} failed, {} under way; --force starts {stage} with what is there",
        below.name,
        grouped(below.done),
        grouped(below.total),
        grouped(below.failed),
        grouped(below.out),
    ))
}
