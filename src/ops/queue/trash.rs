//! Queues from which everything was taken, for a day.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{Consent, DeskArguments, Table, ago, consent, grouped, print_json};
use super::name::NameArguments;
use crate::queue::control::Trash;
use crate::untrusted;

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
    let Some(purged) = desk.admin.purge_queue(queue).await? else {
        writeln!(io::stdout(), "nothing waits in {shown} any more")?;
        return Ok(());
    };
    let result = purged.summary();
    desk.record("queue purge", queue, &result).await?;
    writeln!(io::stdout(), "{result}")?;
    say_ways_back(queue, purged.jobs, &purged.batches)?;
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

pub(super) async fn trash(arguments: &TrashArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let all = desk.admin.trash().await?;
    if arguments.json {
        for trash in &all {
            print_json(&trash.to_json())?;
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
    let shown = untrusted::name(queue);
    if arguments.dry_run {
        let all = desk.admin.trash().await?;
        let of_queue = all.iter().filter(|trash| trash.queue == queue);
        let entries = grouped(of_queue.map(|trash| trash.entries).sum());
        writeln!(io::stdout(), "would put {entries} jobs back in {shown}")?;
        return Ok(());
    }
    let moved = desk.admin.untrash_queue(queue).await?;
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
