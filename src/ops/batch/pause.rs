//! Batches of which no more items become jobs, for a while.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{Desk, counted, feed_first, known, stage_of};
use super::change::NameArguments;
use crate::batch::{Pausing, can_resume, check_pause, check_pause_of_stage};
use crate::queue::control::BatchState;

#[derive(Args)]
pub(crate) struct PauseArguments {
    #[command(flatten)]
    of: NameArguments,
    /// Only this stage. What is queued of it is worked.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Take what waits out of the queues as well, so that only what runs is left.
    #[arg(long, conflicts_with = "stage")]
    now: bool,
}

#[derive(Args)]
pub(crate) struct ResumeArguments {
    #[command(flatten)]
    of: NameArguments,
    /// Only this stage, be it paused or held.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
}

/// Pauses a batch.
pub(super) async fn pause(arguments: &PauseArguments) -> anyhow::Result<()> {
    let PauseArguments { of, stage, now } = arguments;
    let desk = of.desk.open()?;
    let name = &of.batch;
    let state = known(&desk, name).await?;
    if let Some(stage) = stage {
        return pause_stage(&desk, of, &state, stage).await;
    }
    let what = match now {
        true => Pausing::Waiting,
        false => Pausing::Feeding,
    };
    check_pause(name, &state, what)?;
    if of.dry_run {
        let out = counted(state.sum(|stage| stage.out), "item");
        writeln!(io::stdout(), "would be paused: {name}, {out} under way")?;
        return Ok(());
    }
    let text = desk.operator(None).pause(name, &state, what).await?;
    writeln!(io::stdout(), "{name}: {text}")?;
    Ok(())
}

/// Holds a stage, as its breaker would.
async fn pause_stage(
    desk: &Desk,
    of: &NameArguments,
    state: &BatchState,
    stage: &str,
) -> anyhow::Result<()> {
    let (name, number) = (&of.batch, stage_of(state, stage)?);
    check_pause_of_stage(name, state, number)?;
    let out = counted(state.stages[number].out, "item");
    if of.dry_run {
        writeln!(
            io::stdout(),
            "would be paused: {stage} of {name}, {out} under way"
        )?;
        return Ok(());
    }
    desk.operator(None).pause_stage(name, state, number).await?;
    writeln!(io::stdout(), "{stage} of {name}: paused, {out} under way")?;
    Ok(())
}

/// Lets a batch, or one of its stages, go on that was paused, cancelled or held.
pub(super) async fn resume(arguments: &ResumeArguments) -> anyhow::Result<()> {
    let ResumeArguments {
        of: arguments,
        stage,
    } = arguments;
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let only = stage.as_deref();
    let only = only.map(|stage| stage_of(&state, stage)).transpose()?;
    if !can_resume(&state, only) {
        let what = stage.as_ref().unwrap_or(name);
        writeln!(io::stdout(), "nothing of {what} is paused or held")?;
        return Ok(());
    }
    if arguments.dry_run {
        writeln!(io::stdout(), "would be resumed: {name}")?;
        return Ok(());
    }
    let operator = desk.operator(storage.clone());
    operator.resume(name, &state, only).await?;
    feed_first(&desk, storage, name).await?;
    writeln!(io::stdout(), "{name}: resumed")?;
    Ok(())
}
