//! Batches of which no more items become jobs, for a while.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{Refused, counted, feed_first, known};
use super::change::{NameArguments, set_state, take_back};
use crate::wire::batch;

#[derive(Args)]
pub(crate) struct PauseArguments {
    #[command(flatten)]
    of: NameArguments,
    /// Take what waits out of the queues as well, so that only what runs is left.
    #[arg(long)]
    now: bool,
}

/// Pauses a batch.
pub(super) async fn pause(arguments: &PauseArguments) -> anyhow::Result<()> {
    let PauseArguments { of, now } = arguments;
    let desk = of.desk.open()?;
    let name = &of.batch;
    let state = known(&desk, name).await?;
    let may_take = *now && state.state == batch::PAUSED;
    if state.state != batch::RUNNING && !may_take {
        let text = format!("batch {name} is {}, not running", state.state);
        return Err(Refused(text).into());
    }
    let out = state.sum(|stage| stage.out);
    if of.dry_run {
        let out = counted(out, "item");
        writeln!(io::stdout(), "would be paused: {name}, {out} under way")?;
        return Ok(());
    }
    set_state(&desk, name, batch::PAUSED).await?;
    let mut taken = 0;
    if *now {
        taken = take_back(&desk, name, &state).await?;
    }
    let left = counted(out.saturating_sub(taken), "item");
    let text = format!("paused, {left} under way");
    desk.record("batch pause", name, &text).await?;
    writeln!(io::stdout(), "{name}: {text}")?;
    Ok(())
}

/// Lets a batch go on that was paused, cancelled or held.
pub(super) async fn resume(arguments: &NameArguments) -> anyhow::Result<()> {
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let stages = state.stages.iter().enumerate();
    let held: Vec<_> = stages
        .filter(|(_, stage)| stage.held.is_some())
        .map(|(number, _)| batch::stage_field(number, batch::HELD))
        .collect();
    if state.state == batch::RUNNING && held.is_empty() {
        writeln!(io::stdout(), "{name} is running, and nothing of it is held")?;
        return Ok(());
    }
    if arguments.dry_run {
        writeln!(io::stdout(), "would be resumed: {name}")?;
        return Ok(());
    }
    if !held.is_empty() {
        desk.admin.unset_batch(name, &held).await?;
    }
    if state.state != batch::FINISHED {
        set_state(&desk, name, batch::RUNNING).await?;
    }
    desk.record("batch resume", name, "resumed").await?;
    feed_first(&desk, storage, name).await?;
    writeln!(io::stdout(), "{name}: resumed")?;
    Ok(())
}
