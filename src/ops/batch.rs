//! `redis-consumer batch`: plans that run.

mod item;
mod table;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::item::ItemArguments;
pub(super) use self::table::{print_as_json, show_one};
use super::desk::{
    Consent, Desk, DeskArguments, Refused, Table, consent, grouped, jobs, known, stage_of,
};
use crate::batch::Feeder;
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::{BatchState, Cancel, StageState};
use crate::storage::Storage;
use crate::untrusted;
use crate::wire::batch;

/// Items whose jobs are ended by one script.
const CHUNK: usize = 200;

#[derive(Subcommand)]
pub(crate) enum BatchCommand {
    /// List all batches, the latest first.
    List(ListArguments),
    /// Show how a batch fares, stage by stage.
    Show(ShowArguments),
    /// Start a stage that waits for a person.
    Start(StartArguments),
    /// Turn no more items into jobs.
    Pause(PauseArguments),
    /// End a pause, revive what was cancelled, and let go on what was held.
    Resume(NameArguments),
    /// End a batch: what waits and what runs of it. It can be resumed.
    Cancel(CancelArguments),
    /// Show one item: where it stands, its children and parents, and what it waits for.
    Item(ItemArguments),
    /// Remove a batch, and all that is known of its items. Results in the bucket stay.
    Delete(CancelArguments),
}

#[derive(Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct ShowArguments {
    batch: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct NameArguments {
    batch: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct PauseArguments {
    #[command(flatten)]
    of: NameArguments,
    /// Take what waits out of the queues as well, so that only what runs is left.
    #[arg(long)]
    now: bool,
}

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

#[derive(Args)]
pub(crate) struct CancelArguments {
    batch: String,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Does what the command says with batches.
pub(crate) async fn batch(command: BatchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BatchCommand::List(arguments) => list(&arguments).await?,
        BatchCommand::Show(arguments) => {
            let desk = arguments.desk.open()?;
            match arguments.json {
                true => print_as_json(&desk, &arguments.batch).await?,
                false => show_one(&desk, &arguments.batch).await?,
            }
        }
        BatchCommand::Start(arguments) => start(&arguments).await?,
        BatchCommand::Pause(arguments) => pause(&arguments).await?,
        BatchCommand::Resume(arguments) => resume(&arguments).await?,
        BatchCommand::Cancel(arguments) => cancel(&arguments).await?,
        BatchCommand::Item(arguments) => item::show(&arguments).await?,
        BatchCommand::Delete(arguments) => delete(&arguments).await?,
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let mut table = Table::new(&[
        "batch", "state", ">stages", ">items", ">done", ">failed", "by",
    ]);
    let names = desk.admin.batches().await?;
    if names.is_empty() {
        writeln!(io::stdout(), "there is no batch")?;
        return Ok(());
    }
    for name in names {
        let Some(state) = desk.admin.batch(&name).await? else {
            // It ended long ago, and has expired.
            desk.admin.forget_batch(&name).await?;
            continue;
        };
        let sum = |of: fn(&StageState) -> u64| grouped(state.stages.iter().map(of).sum());
        table.row([
            untrusted::name(&name).to_string(),
            state.state.clone(),
            state.stages.len().to_string(),
            sum(|stage| stage.total),
            sum(|stage| stage.done),
            sum(|stage| stage.failed),
            untrusted::name(&state.created_by).to_string(),
        ]);
    }
    Ok(table.print()?)
}

async fn start(arguments: &StartArguments) -> anyhow::Result<()> {
    let of = &arguments.of;
    let desk = of.desk.open()?;
    let state = known(&desk, &of.batch).await?;
    let number = stage_of(&state, &arguments.stage)?;
    if state.stages[number].is_started {
        let text = format!(
            "{} needs no start: it runs as soon as it can",
            arguments.stage
        );
        return Err(Refused(text).into());
    }
    let plan = desk.admin.batch_plan(&of.batch).await?.unwrap_or_default();
    let plan = batch_plan::Resolved::from_json(&plan)?;
    let barriers = plan.barriers(number).iter().copied();
    for below in plan.below(number).chain(barriers) {
        let below = &state.stages[below];
        if below.done < below.total && !arguments.force {
            let text = format!(
                "{}: {} of {} done, {} failed, {} under way; --force starts {} with what is there",
                below.name,
                grouped(below.done),
                grouped(below.total),
                grouped(below.failed),
                grouped(below.out),
                arguments.stage
            );
            return Err(Refused(text).into());
        }
    }
    if of.dry_run {
        writeln!(io::stdout(), "would be started: {}", arguments.stage)?;
        return Ok(());
    }
    let field = (batch::stage_field(number, batch::STARTED), "1".to_owned());
    desk.admin.set_batch(&of.batch, &[field]).await?;
    let about = format!("{} {}", of.batch, arguments.stage);
    desk.record("batch start", &about, "started").await?;
    writeln!(io::stdout(), "{} of {}: started", arguments.stage, of.batch)?;
    Ok(())
}

async fn pause(arguments: &PauseArguments) -> anyhow::Result<()> {
    let of = &arguments.of;
    let desk = of.desk.open()?;
    let state = known(&desk, &of.batch).await?;
    let is_paused = state.state == batch::PAUSED && arguments.now;
    if state.state != batch::RUNNING && !is_paused {
        let text = format!("batch {} is {}, not running", of.batch, state.state);
        return Err(Refused(text).into());
    }
    let out: u64 = state.stages.iter().map(|stage| stage.out).sum();
    if of.dry_run {
        let out = grouped(out);
        writeln!(
            io::stdout(),
            "would be paused: {}, {out} items under way",
            of.batch
        )?;
        return Ok(());
    }
    set_state(&desk, &of.batch, batch::PAUSED).await?;
    let mut taken = 0;
    if arguments.now {
        taken = take_back(&desk, &of.batch, &state).await?;
    }
    let text = format!(
        "paused; {} items are under way",
        grouped(out.saturating_sub(taken))
    );
    desk.record("batch pause", &of.batch, &text).await?;
    writeln!(io::stdout(), "{}: {text}", of.batch)?;
    Ok(())
}

/// Takes what waits of a batch out of all of its queues.
async fn take_back(desk: &Desk, name: &str, state: &BatchState) -> anyhow::Result<u64> {
    let mut queues: Vec<_> = state.stages.iter().map(|stage| &stage.queue).collect();
    queues.sort();
    queues.dedup();
    let mut taken = 0;
    for queue in queues {
        taken += desk.admin.take_back(name, queue).await?;
    }
    Ok(taken)
}

async fn resume(arguments: &NameArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let held: Vec<_> = (0..state.stages.len())
        .filter(|&stage| state.stages[stage].held.is_some())
        .collect();
    if state.state == batch::RUNNING && held.is_empty() {
        writeln!(io::stdout(), "{name} is running, and nothing of it is held")?;
        return Ok(());
    }
    if arguments.dry_run {
        writeln!(io::stdout(), "would be resumed: {name}")?;
        return Ok(());
    }
    let fields: Vec<_> = held
        .iter()
        .map(|&stage| batch::stage_field(stage, batch::HELD))
        .collect();
    if !fields.is_empty() {
        desk.admin.unset_batch(name, &fields).await?;
    }
    if state.state != batch::FINISHED {
        set_state(&desk, name, batch::RUNNING).await?;
    }
    desk.record("batch resume", name, "resumed").await?;
    writeln!(io::stdout(), "{name}: resumed")?;
    Ok(())
}

async fn cancel(arguments: &CancelArguments) -> anyhow::Result<()> {
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let out: u64 = state.stages.iter().map(|stage| stage.out).sum();
    let question = format!(
        "End the batch {name}, of which {} items are under way?",
        grouped(out)
    );
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        let out = grouped(out);
        writeln!(
            io::stdout(),
            "would be ended: {name}, {out} items under way"
        )?;
        return Ok(());
    }
    set_state(&desk, name, batch::CANCELLED).await?;
    let taken = take_back(&desk, name, &state).await?;
    let running = cancel_running(&desk, storage.as_ref(), name, &state).await?;
    let text = format!(
        "cancelled: {} waited, {} ran",
        grouped(taken),
        grouped(running)
    );
    desk.record("batch cancel", name, &text).await?;
    writeln!(io::stdout(), "{name}: {text}; batch resume revives it")?;
    Ok(())
}

/// Ends the jobs of items that are under way still.
async fn cancel_running(
    desk: &Desk,
    storage: Option<&Storage>,
    name: &str,
    state: &BatchState,
) -> anyhow::Result<u64> {
    let mut feeder = Feeder::new(desk.admin.clone(), storage.cloned());
    feeder.load(name, state).await?;
    let by = format!("{}: the batch was cancelled", desk.who);
    let mut ended = 0;
    for (number, stage) in state.stages.iter().enumerate() {
        let mut from = Some(0);
        while let Some(at) = from {
            let (items, next) = desk
                .admin
                .marked(name, number, batch::OUT, at, CHUNK)
                .await?;
            let mut keys = Vec::new();
            for item in items {
                if let Some(loaded) = feeder.loaded(name) {
                    let (_, key) = loaded.identity(storage, number, item).await?;
                    keys.push(JobKey(key.into_bytes()));
                }
            }
            let ends = desk.admin.cancel_jobs(&stage.queue, &keys, &by).await?;
            let is_ended = |end: &&Cancel| end.obstacle().is_none();
            ended += ends.iter().filter(is_ended).count() as u64;
            from = next;
        }
    }
    Ok(ended)
}

async fn delete(arguments: &CancelArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let out: u64 = state.stages.iter().map(|stage| stage.out).sum();
    if out > 0 {
        let jobs = jobs(usize::try_from(out).unwrap_or(usize::MAX));
        let text =
            format!("{jobs} of {name} are under way; redis-consumer batch cancel {name} ends them");
        return Err(Refused(text).into());
    }
    let question = format!("Forget the batch {name} and all that is known of its items?");
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would be deleted: {name}")?;
        return Ok(());
    }
    desk.admin.delete_batch(name).await?;
    desk.record("batch delete", name, "deleted").await?;
    writeln!(io::stdout(), "{name}: deleted")?;
    Ok(())
}

async fn set_state(desk: &Desk, name: &str, wanted: &str) -> anyhow::Result<()> {
    let state = desk.admin.set_batch_state(name, wanted).await?;
    match state.as_deref() {
        Some(state) if state == wanted => Ok(()),
        Some(state) => Err(Refused(format!("batch {name} is {state} meanwhile")).into()),
        None => Err(Refused(format!("batch {name} was deleted meanwhile")).into()),
    }
}
