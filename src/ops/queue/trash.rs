//! Queues from which everything was taken, for a day.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::json;

use super::super::desk::{
    Consent, Desk, DeskArguments, Table, ago, clock, consent, counted, grouped, print_json,
};
use super::name::NameArguments;
use crate::queue::control::Trash;
use crate::untrusted;
use crate::wire::batch;

#[derive(Args)]
pub(crate) struct TrashArguments {
    /// One JSON object for each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct PurgeArguments {
    queue: String,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    desk: DeskArguments,
}

pub(super) async fn purge(arguments: &PurgeArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let queue = arguments.queue.as_str();
    let shown = untrusted::name(queue);
    let length = desk.admin.length(queue).await?;
    let waiting = grouped(length);
    if length == 0 {
        writeln!(io::stdout(), "nothing waits in {shown}")?;
        return Ok(());
    }
    let question = format!("Take {waiting} waiting jobs out of {shown}?");
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would take {waiting} jobs out of {shown}")?;
        return Ok(());
    }
    let batches = pause_batches(&desk, queue).await?;
    let purged = desk.admin.purge(queue).await?;
    let Some(purged) = purged else {
        writeln!(io::stdout(), "nothing waits in {shown} any more")?;
        return Ok(());
    };
    let items = desk.admin.take_back(None, &purged.key).await?;
    let left = purged.entries - items;
    let mut result = format!("{} taken out", counted(left, "job"));
    if items > 0 {
        let items = counted(items, "item");
        result += &format!(", and {items} of batches, to be fed once more");
    }
    desk.record("queue purge", queue, &result).await?;
    writeln!(io::stdout(), "{result}")?;
    say_ways_back(queue, left, &batches)?;
    Ok(())
}

/// Says how jobs and items come back.
fn say_ways_back(queue: &str, jobs: u64, batches: &[String]) -> io::Result<()> {
    let (mut out, queue) = (io::stdout(), untrusted::name(queue));
    if jobs > 0 {
        let back = "for a day `redis-consumer queue untrash";
        writeln!(out, "{back} {queue}` puts the jobs back")?;
    }
    for batch in batches {
        writeln!(
            out,
            "batch {batch} is paused, or it would fill the queue again; redis-consumer batch resume {batch} lets it go on"
        )?;
    }
    Ok(())
}

/// Pauses the batches that would fill a queue again, and gives their names.
async fn pause_batches(desk: &Desk, queue: &str) -> anyhow::Result<Vec<String>> {
    let mut paused = Vec::new();
    for name in desk.admin.all_feedable(queue).await? {
        let state = desk.admin.batch(&name).await?;
        if state.is_some_and(|state| state.state == batch::RUNNING) {
            desk.admin.set_batch_state(&name, batch::PAUSED).await?;
            paused.push(name);
        }
    }
    Ok(paused)
}

pub(super) async fn trash(arguments: &TrashArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let all = desk.admin.trash().await?;
    if arguments.json {
        for trash in &all {
            print_json(
                &json!({ "queue": trash.queue, "purged_at": clock(trash.purged), "entries": trash.entries }),
            )?;
        }
        return Ok(());
    }
    if all.is_empty() {
        writeln!(io::stdout(), "no queue has been purged within a day")?;
        return Ok(());
    }
    let mut table = Table::new(&["queue", ">purged", ">jobs"]);
    for Trash {
        queue,
        purged,
        entries,
        ..
    } in &all
    {
        table.row([
            untrusted::name(queue).to_string(),
            format!("{} ago", ago(*purged)),
            grouped(*entries),
        ]);
    }
    table.print()?;
    Ok(())
}

pub(super) async fn untrash(arguments: &NameArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let queue = arguments.queue.as_str();
    let mut all = desk.admin.trash().await?;
    all.retain(|trash| trash.queue == queue);
    let shown = untrusted::name(queue);
    if arguments.dry_run {
        let entries = grouped(all.iter().map(|trash| trash.entries).sum());
        writeln!(io::stdout(), "would put {entries} jobs back in {shown}")?;
        return Ok(());
    }
    // The last that was taken out goes back first, and so stands behind what was taken out before it.
    let mut moved = 0;
    for trash in all.iter().rev() {
        moved += desk.admin.untrash(trash).await?;
    }
    if moved == 0 {
        writeln!(
            io::stdout(),
            "nothing of {shown} has been purged within a day"
        )?;
        return Ok(());
    }
    let result = format!("{} jobs are back in {shown}", grouped(moved));
    desk.record("queue untrash", queue, &result).await?;
    writeln!(io::stdout(), "{result}")?;
    Ok(())
}
