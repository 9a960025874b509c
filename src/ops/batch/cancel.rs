//! Batches that are ended early.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{Consent, Desk, DeskArguments, consent, counted, grouped, known};
use super::change::{set_state, take_back};
use crate::batch::Loaded;
use crate::queue::JobKey;
use crate::queue::control::{BatchState, Cancel};
use crate::wire::batch;

/// Items whose jobs are ended by one script.
const CHUNK: usize = 200;

#[derive(Args)]
pub(crate) struct CancelArguments {
    batch: String,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Ends what waits and what runs of a batch.
pub(super) async fn cancel(arguments: &CancelArguments) -> anyhow::Result<()> {
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let out = counted(state.sum(|stage| stage.out), "item");
    let question = format!("End the batch {name}, {out} under way?");
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would be ended: {name}, {out} under way")?;
        return Ok(());
    }
    let mut loaded = Loaded::fetch(&desk.admin, storage, name, &state).await?;
    set_state(&desk, name, batch::CANCELLED).await?;
    let taken = take_back(&desk, name, &state).await?;
    let running = end_jobs(&desk, &mut loaded, name, &state).await?;
    let (taken, running) = (grouped(taken), grouped(running));
    let text = format!("cancelled: {taken} waited, {running} ran");
    desk.record("batch cancel", name, &text).await?;
    writeln!(io::stdout(), "{name}: {text}; batch resume revives it")?;
    Ok(())
}

/// Ends the jobs of items that are under way still, and gives how many these were.
async fn end_jobs(
    desk: &Desk,
    loaded: &mut Loaded,
    name: &str,
    state: &BatchState,
) -> anyhow::Result<u64> {
    let by = format!("{}: the batch was cancelled", desk.who);
    let mut ended = 0;
    for (number, stage) in state.stages.iter().enumerate() {
        let mut next = Some(0);
        while let Some(from) = next {
            let marked = desk.admin.marked(name, number, batch::OUT, from, CHUNK);
            let (items, after) = marked.await?;
            let mut keys = Vec::new();
            for item in items {
                let (_, key) = loaded.identity(number, item).await?;
                keys.push(JobKey(key.into_bytes()));
            }
            let ends = desk.admin.cancel_jobs(&stage.queue, &keys, &by).await?;
            let is_ended = |end: &&Cancel| end.obstacle().is_none();
            ended += ends.iter().filter(is_ended).count() as u64;
            next = after;
        }
    }
    Ok(ended)
}
