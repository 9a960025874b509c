//! `redis-consumer workers`: who works on the queues, and at what.

use std::io::{self, Write as _};

use clap::Args;

use super::desk::{Age, DeskArguments, Table, age, jobs, print_json, text_of, value_of};
use crate::queue::control::{HeldJob, WorkerState};
use crate::untrusted;
use crate::wire::field;

/// Jobs that a line names.
const NAMED: usize = 3;

#[derive(Args)]
pub(crate) struct WorkersArguments {
    /// Only of these queues.
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    /// One JSON object for each.
    #[arg(long)]
    json: bool,
    /// Look through all keys, however many there are, for Python consumers.
    #[arg(long)]
    scan: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Prints a line for each consumer.
pub(crate) async fn workers(arguments: WorkersArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let (workers, looked) = desk
        .admin
        .all_workers(&arguments.queues, arguments.scan)
        .await?;
    if arguments.json {
        for worker in &workers {
            print_json(&worker.to_json())?;
        }
        return Ok(());
    }
    show(&workers)?;
    if !looked {
        writeln!(
            io::stderr(),
            "there are many keys: Python consumers are left out (--scan looks for them)"
        )?;
    }
    Ok(())
}

fn show(workers: &[WorkerState]) -> io::Result<()> {
    let (silent, live): (Vec<_>, Vec<_>) = workers.iter().partition(|worker| worker.is_silent());
    if live.is_empty() {
        writeln!(io::stdout(), "no consumer is at work")?;
    } else {
        let headings = [
            "queue", "worker", "version", ">up", ">slots", ">memory", "at work",
        ];
        let mut table = Table::new(&headings);
        for worker in live {
            table.row(cells(worker));
        }
        table.print()?;
    }
    for worker in silent {
        let since = worker
            .silent
            .map_or_else(String::new, |since| Age(since).to_string());
        writeln!(
            io::stdout(),
            "silent: {} of {}, last heartbeat {since} ago, {} in its lists",
            untrusted::name(&worker.name),
            untrusted::name(&worker.queue),
            jobs(worker.held.len())
        )?;
    }
    Ok(())
}

fn cells(worker: &WorkerState) -> [String; 7] {
    let text = |name: &str| worker.card.get(name).cloned();
    let dash = || "–".to_owned();
    let name = untrusted::name(&worker.name);
    let megabytes = |name: &str| worker.number(name).map(|bytes| bytes / 1_000_000);
    let slots = worker.number("slots");
    [
        untrusted::name(&worker.queue).to_string(),
        match worker.silent {
            Some(_) => name.to_string(),
            None => format!("(python) {name}"),
        },
        text("version").map_or_else(dash, |version| untrusted::name(version).to_string()),
        text("started")
            .and_then(|started| age(started.as_bytes()))
            .map_or_else(dash, |age| age.to_string()),
        slots.map_or_else(dash, |slots| format!("{}/{slots}", worker.held.len())),
        match (megabytes("memory"), megabytes("budget")) {
            (Some(memory), Some(budget)) if budget > 0 => format!("{memory} of {budget} MB"),
            (Some(memory), _) => format!("{memory} MB"),
            _ => dash(),
        },
        match worker.obstacle() {
            Some(why) => format!("cannot work: {}", untrusted::message(why)),
            None => at_work(&worker.held),
        },
    ]
}

fn at_work(held: &[HeldJob]) -> String {
    if held.is_empty() {
        return "idle".to_owned();
    }
    let named = held.iter().take(NAMED).map(|job| {
        let shown = |name| untrusted::name(text_of(&job.fields, name));
        let since = age(value_of(&job.fields, field::UPDATED_AT));
        let since = since.map_or_else(String::new, |since| format!(" {since}"));
        let (status, input) = (shown(field::STATUS), shown(field::INPUT_FILE_NAME));
        format!("{status}{since} {input}").trim_end().to_owned()
    });
    let mut text = named.collect::<Vec<_>>().join(", ");
    if held.len() > NAMED {
        text.push_str(&format!(" and {} more", held.len() - NAMED));
    }
    text
}
