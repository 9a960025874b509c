//! Batches that are ended early.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{
    Consent, Desk, DeskArguments, consent, counted, grouped, known, stage_of,
};
use super::change::{set_state, take_back};
use crate::batch::Loaded;
use crate::queue::JobKey;
use crate::queue::control::Cancel;
use crate::wire::batch;

/// Items whose jobs are ended by one script.
const CHUNK: usize = 200;

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
    let (out, what) = (counted(out, "item"), what(arguments));
    let question = format!("End {what}, {out} under way?");
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would be ended: {what}, {out} under way")?;
        return Ok(());
    }
    let mut loaded = Loaded::fetch(&desk.admin, storage, name, &state).await?;
    close(&desk, name, only).await?;
    let taken = take_back(&desk, name, &state, only).await?;
    let mut running = 0;
    for stage in stages {
        running += end_jobs(&desk, &mut loaded, stage, &state.stages[stage].queue).await?;
    }
    let (taken, running) = (grouped(taken), grouped(running));
    let text = format!("cancelled: {taken} waited, {running} ran");
    desk.record("batch cancel", &what, &text).await?;
    writeln!(io::stdout(), "{what}: {text}; batch resume revives it")?;
    Ok(())
}

/// The batch, or the stage.
fn what(arguments: &CancelArguments) -> String {
    match &arguments.stage {
        Some(stage) => format!("{stage} of {}", arguments.batch),
        None => arguments.batch.clone(),
    }
}

/// Has nothing more fed. What is ended from now on is to be fed once more if it is revived, rather than failed.
async fn close(desk: &Desk, name: &str, stage: Option<usize>) -> anyhow::Result<()> {
    let Some(stage) = stage else {
        return set_state(desk, name, batch::CANCELLED).await;
    };
    let field = batch::stage_field(stage, batch::HELD);
    let held = (field, format!("{} by {}", batch::CANCELLED, desk.who));
    Ok(desk.admin.set_batch(name, &[held]).await?)
}

/// Ends the jobs of items of a stage that are under way still, and gives how many these were.
async fn end_jobs(
    desk: &Desk,
    loaded: &mut Loaded,
    stage: usize,
    queue: &str,
) -> anyhow::Result<u64> {
    let name = loaded.plan.name().to_owned();
    let by = format!("{}: the batch was cancelled", desk.who);
    let (mut ended, mut next) = (0, Some(0));
    while let Some(from) = next {
        let marked = desk.admin.marked(&name, stage, batch::OUT, from, CHUNK);
        let (items, after) = marked.await?;
        let mut keys = Vec::new();
        for item in items {
            let (_, key) = loaded.identity(stage, item).await?;
            keys.push(JobKey(key.into_bytes()));
        }
        let ends = desk.admin.cancel_jobs(queue, &keys, &by).await?;
        let is_ended = |end: &&Cancel| end.obstacle().is_none();
        ended += ends.iter().filter(is_ended).count() as u64;
        next = after;
    }
    Ok(ended)
}
