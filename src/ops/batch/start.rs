//! Stages that wait for a person.

use std::io::{self, Write as _};

use batch_plan::Resolved;
use batch_plan::work::OnFailure;
use clap::Args;

use super::super::desk::{Refused, feed_first, grouped, known, stage_of};
use super::change::NameArguments;
use crate::batch::{Loaded, is_open};
use crate::queue::control::{BatchState, StageState};
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
    let loaded = Loaded::fetch(&desk.admin, None, &of.batch, &state).await?;
    let waiting = waits_for(&loaded.plan, &state, number);
    let is = &state.stages[number];
    if is.is_over() {
        return Err(Refused(format!("{stage} has ended")).into());
    }
    if is.is_started && !(*force && waiting.is_some()) {
        let text = format!("{stage} needs no start: it runs as soon as it can");
        return Err(Refused(text).into());
    }
    if let Some(below) = waiting.filter(|_| !force) {
        return Err(refuse(&state.stages[below], stage).into());
    }
    if of.dry_run {
        writeln!(io::stdout(), "would be started: {stage}")?;
        return Ok(());
    }
    let fields = [Some(batch::STARTED), waiting.map(|_| batch::FORCED)];
    let fields = fields.into_iter().flatten();
    let fields: Vec<_> = fields
        .map(|name| (batch::stage_field(number, name), "1".to_owned()))
        .collect();
    desk.admin.set_batch(&of.batch, &fields).await?;
    let about = format!("{} {stage}", of.batch);
    desk.record("batch start", &about, "started").await?;
    feed_first(&desk, storage, &of.batch).await?;
    writeln!(io::stdout(), "{stage} of {}: started", of.batch)?;
    Ok(())
}

/// A stage below that has not ended as it should.
fn waits_for(plan: &Resolved, state: &BatchState, stage: usize) -> Option<usize> {
    let barriers = plan.barriers(stage).iter().copied();
    let mut closed = barriers.filter(|_| !is_open(plan, state, stage));
    let is_incomplete = |below: &usize| {
        let is = &state.stages[*below];
        let goes_on = plan.stages()[*below].work.on_failure == OnFailure::GoOn;
        !is.is_over() || (is.failed > 0 && !goes_on)
    };
    let gathered = plan.below(stage).find(is_incomplete);
    gathered.or_else(|| closed.find(is_incomplete))
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
