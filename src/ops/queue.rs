//! `redis-consumer queue`: whole queues.

mod name;
mod trash;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use self::name::NameArguments;
use self::trash::{PurgeArguments, TrashArguments, purge, trash, untrash};
use super::desk::{
    Consent, Desk, DeskArguments, Misuse, Refused, Span, consent, grouped, move_wanted,
    parse_field, print_json,
};
use super::queue_file::{RestoreArguments, SaveArguments, restore, save};
use super::status::describe;
use crate::exit_code;
use crate::queue::control::Pause;
use crate::untrusted;

#[derive(Subcommand)]
pub(crate) enum QueueCommand {
    /// List the queues.
    List(ListArguments),
    /// Have consumers take no new jobs from a queue.
    Pause(PauseArguments),
    /// End a pause.
    Resume(NameArguments),
    /// Take everything that waits out of a queue; it can be put back for a day.
    Purge(PurgeArguments),
    /// List purged queues that can be put back.
    Trash(TrashArguments),
    /// Put a purged queue back, before all that waits now.
    Untrash(NameArguments),
    /// Move waiting jobs to another queue, all or some.
    Move(MoveArguments),
    /// Write the jobs of a queue to a file of JSON lines.
    Save(SaveArguments),
    /// Put the jobs of such a file back.
    Restore(RestoreArguments),
    /// Forget the name of a queue of which nothing is left.
    Forget(NameArguments),
}

#[derive(Args)]
pub(crate) struct ListArguments {
    /// One JSON object for each.
    #[arg(long)]
    json: bool,
    /// Look through all keys, however many there are, for queues that only Python consumers serve.
    #[arg(long)]
    scan: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct PauseArguments {
    queue: String,
    /// End the pause by itself after this time.
    #[arg(long = "for", value_name = "TIME")]
    limit: Option<Span>,
    /// What `status` is to say.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct MoveArguments {
    from: String,
    to: String,
    /// Only jobs of which a field matches.
    #[arg(long, value_name = "NAME=REGEX", value_parser = parse_field)]
    field: Vec<(String, regex::bytes::Regex)>,
    /// Even if consumers of another type serve the queue.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Does what the command says with whole queues.
pub(crate) async fn queue(command: QueueCommand) -> anyhow::Result<ExitCode> {
    match command {
        QueueCommand::List(arguments) => list(&arguments).await?,
        QueueCommand::Pause(arguments) => pause(&arguments).await?,
        QueueCommand::Resume(arguments) => resume(&arguments).await?,
        QueueCommand::Purge(arguments) => purge(&arguments).await?,
        QueueCommand::Trash(arguments) => trash(&arguments).await?,
        QueueCommand::Untrash(arguments) => untrash(&arguments).await?,
        QueueCommand::Move(arguments) => move_jobs(&arguments).await?,
        QueueCommand::Save(arguments) => save(&arguments).await?,
        QueueCommand::Restore(arguments) => return restore(&arguments).await,
        QueueCommand::Forget(arguments) => forget(&arguments).await?,
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

async fn list(arguments: &ListArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    for overview in desk.admin.overviews_of(&[], arguments.scan).await? {
        if arguments.json {
            print_json(
                &json!({ "queue": overview.queue, "waiting": overview.waiting, "paused": overview.pause }),
            )?;
            continue;
        }
        let name = untrusted::name(&overview.queue);
        match &overview.pause {
            Some(pause) => writeln!(io::stdout(), "{name} (paused {})", describe(pause))?,
            None => writeln!(io::stdout(), "{name}")?,
        }
    }
    Ok(())
}

async fn pause(arguments: &PauseArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let queue = arguments.queue.as_str();
    check_known(&desk, queue).await?;
    if arguments.dry_run {
        writeln!(io::stdout(), "would pause {}", untrusted::name(queue))?;
        return Ok(());
    }
    let limit = arguments.limit.map(Duration::from);
    desk.admin
        .pause(queue, &Pause::now(&desk.who, &arguments.why), limit)
        .await?;
    desk.record("queue pause", queue, &arguments.why).await?;
    let mut out = io::stdout();
    writeln!(
        out,
        "{} is paused: consumers finish what they have and take nothing new",
        untrusted::name(queue)
    )?;
    if desk.admin.may_scan(false).await? {
        let foreign = desk.admin.foreign_workers().await?;
        let foreign = foreign
            .iter()
            .filter(|worker| worker.queue == queue)
            .count();
        if foreign > 0 {
            writeln!(out, "{foreign} Python consumers go on: they know no pauses")?;
        }
    }
    writeln!(out, "an autoscaler still sees the length of the queue")?;
    Ok(())
}

async fn resume(arguments: &NameArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let queue = arguments.queue.as_str();
    if arguments.dry_run {
        writeln!(
            io::stdout(),
            "would end a pause of {}",
            untrusted::name(queue)
        )?;
        return Ok(());
    }
    let was_paused = desk.admin.resume(queue).await?;
    let text = if was_paused {
        desk.record("queue resume", queue, "").await?;
        "goes on"
    } else {
        "was not paused"
    };
    writeln!(io::stdout(), "{} {text}", untrusted::name(queue))?;
    Ok(())
}

async fn move_jobs(arguments: &MoveArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let (from, to) = (arguments.from.as_str(), arguments.to.as_str());
    if from == to {
        return Err(Misuse("the two queues are the same".to_owned()).into());
    }
    if !arguments.force {
        check_types(&desk, from, to).await?;
    }
    let length = grouped(desk.admin.length(from).await?);
    let what = if arguments.field.is_empty() {
        "all of"
    } else {
        "some of"
    };
    let (shown_from, shown_to) = (untrusted::name(from), untrusted::name(to));
    let question = format!("Move {what} {length} waiting jobs of {shown_from} to {shown_to}?");
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        writeln!(
            io::stdout(),
            "would move {what} {length} jobs of {shown_from} to {shown_to}"
        )?;
        return Ok(());
    }
    let moved = grouped(move_wanted(&desk.admin, (from, to), &arguments.field).await?);
    let result = format!("{moved} jobs moved from {shown_from} to {shown_to}");
    desk.record("queue move", from, &result).await?;
    writeln!(io::stdout(), "{result}")?;
    Ok(())
}

async fn forget(arguments: &NameArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let queue = arguments.queue.as_str();
    let found = desk.admin.overviews_of(&[queue.to_owned()], false).await?;
    let left: u64 = found
        .iter()
        .map(|q| q.waiting + q.running + q.delayed + q.parked + q.workers)
        .sum();
    if left > 0 {
        let text = format!("{queue} has jobs or consumers: nothing is forgotten");
        return Err(Refused(text).into());
    }
    if arguments.dry_run {
        writeln!(io::stdout(), "would forget {}", untrusted::name(queue))?;
        return Ok(());
    }
    desk.admin.forget_queue(queue).await?;
    desk.record("queue forget", queue, "").await?;
    writeln!(io::stdout(), "{} is forgotten", untrusted::name(queue))?;
    Ok(())
}

/// Refuses the name of a queue that nobody knows: it was mistyped.
async fn check_known(desk: &Desk, queue: &str) -> anyhow::Result<()> {
    let known = desk.admin.known_queues(false).await?;
    if known.iter().any(|name| name == queue) || desk.admin.length(queue).await? > 0 {
        return Ok(());
    }
    let text = format!(
        "no queue `{}` is known here; `redis-consumer queue list` shows those that are",
        untrusted::name(queue)
    );
    Err(Misuse(text).into())
}

/// Refuses to move jobs to consumers of another type, which could not work them.
async fn check_types(desk: &Desk, from: &str, to: &str) -> anyhow::Result<()> {
    if let Some([one, other]) = desk.admin.types_that_differ([from, to]).await? {
        let text = format!(
            "{from} is served by {one} consumers, {to} by {other}: --force moves them all the same"
        );
        return Err(Refused(text).into());
    }
    Ok(())
}
