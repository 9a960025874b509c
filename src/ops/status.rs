//! `redis-consumer status`: how the queues fare.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::batch;
use super::desk::{Age, Desk, DeskArguments, Span, Table, age, grouped, print_json};
use crate::batch::Standing;
use crate::exit_code;
use crate::queue::control::{BatchState, Overview, Pause, status_to_json};
use crate::untrusted;

/// Batches that are named below the queues.
const BATCHES: usize = 5;

#[derive(Args)]
pub(crate) struct StatusArguments {
    /// Only these queues, with more about each.
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    /// How this batch fares, in place of queues.
    #[arg(long, value_name = "NAME", conflicts_with = "queues")]
    batch: Option<String>,
    /// Look again and again, until told to stop.
    #[arg(long, value_name = "TIME")]
    every: Option<Span>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    /// Append a JSON object to this file with each look.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Look through all keys, however many there are, for queues that only Python consumers serve.
    #[arg(long)]
    scan: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Prints a line for each queue, once or again and again.
pub(crate) async fn status(
    arguments: StatusArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let desk = arguments.desk.open()?;
    loop {
        look(&desk, &arguments).await?;
        let Some(Span(every)) = arguments.every else {
            break;
        };
        let pause = tokio::time::sleep(every);
        if stop.run_until_cancelled(pause).await.is_none() {
            break;
        }
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

/// Shows once how a batch or the queues fare.
async fn look(desk: &Desk, arguments: &StatusArguments) -> anyhow::Result<()> {
    match &arguments.batch {
        Some(name) => look_at_batch(desk, name, arguments).await,
        None => look_at_queues(desk, arguments).await,
    }
}

async fn look_at_batch(desk: &Desk, name: &str, arguments: &StatusArguments) -> anyhow::Result<()> {
    if arguments.json || arguments.log.is_some() {
        arguments.note(&Standing::of(&desk.admin, name).await?.to_json(name))?;
    }
    if arguments.json {
        return Ok(());
    }
    arguments.clear()?;
    batch::show(desk, name).await
}

async fn look_at_queues(desk: &Desk, arguments: &StatusArguments) -> anyhow::Result<()> {
    let overviews = desk
        .admin
        .overviews_of(&arguments.queues, arguments.scan)
        .await?;
    let batches = match arguments.queues.is_empty() {
        true => open_batches(desk).await?,
        false => Vec::new(),
    };
    arguments.note(&status_to_json(&overviews, &batches))?;
    if arguments.json {
        return Ok(());
    }
    arguments.clear()?;
    show(&overviews, arguments)?;
    Ok(show_batches(&batches)?)
}

impl StatusArguments {
    /// Logs and prints an object, as far as that is wanted.
    fn note(&self, json: &Value) -> anyhow::Result<()> {
        if let Some(file) = &self.log {
            append(file, json).with_context(|| format!("cannot write {}", file.display()))?;
        }
        if self.json {
            print_json(json)?;
        }
        Ok(())
    }

    /// Begins at the top of a blank screen, if there is one and it is shown again and again.
    fn clear(&self) -> io::Result<()> {
        if self.every.is_some() && io::stdout().is_terminal() {
            write!(io::stdout(), "\x1b[H\x1b[2J")?;
        }
        Ok(())
    }
}

/// Batches that have not ended, the latest first.
async fn open_batches(desk: &Desk) -> anyhow::Result<Vec<(String, BatchState)>> {
    let mut batches = desk.admin.all_batches().await?;
    batches.retain(|(_, state)| state.is_open());
    Ok(batches)
}

fn show_batches(batches: &[(String, BatchState)]) -> io::Result<()> {
    let each = batches.iter().take(BATCHES).map(|(name, state)| {
        let name = untrusted::name(name);
        format!("{name} {} {} %", state.state, state.percent())
    });
    let mut each: Vec<_> = each.collect();
    if batches.len() > BATCHES {
        each.push("… (redis-consumer batch list)".to_owned());
    }
    if !each.is_empty() {
        writeln!(io::stdout(), "batches: {}", each.join(", "))?;
    }
    Ok(())
}

fn append(file: &Path, line: &Value) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    writeln!(file, "{line}")
}

fn show(overviews: &[Overview], arguments: &StatusArguments) -> io::Result<()> {
    let mut out = io::stdout();
    if overviews.is_empty() {
        writeln!(out, "no consumer has served a queue here yet")?;
        return Ok(());
    }
    let headings = [
        "queue", ">waiting", ">running", ">delayed", ">parked", ">failed", ">dead", ">oldest",
        ">rate", ">left", ">workers",
    ];
    let mut table = Table::new(&headings);
    for overview in overviews {
        table.row(cells(overview));
    }
    table.print()?;
    for overview in overviews {
        if let Some(pause) = &overview.pause {
            let name = untrusted::name(&overview.queue);
            writeln!(out, "{name} is paused {}", describe(pause))?;
        }
        for why in &overview.obstacles {
            let (name, why) = (untrusted::name(&overview.queue), untrusted::message(why));
            writeln!(out, "{name} has consumers that cannot work: {why}")?;
        }
        if !arguments.queues.is_empty() {
            show_rates(overview)?;
        }
    }
    Ok(())
}

fn cells(overview: &Overview) -> [String; 11] {
    let oldest = overview.oldest.as_deref().and_then(age);
    let rate = overview.rates.five_minutes;
    [
        untrusted::name(&overview.queue).to_string(),
        grouped(overview.waiting),
        grouped(overview.running),
        grouped(overview.delayed),
        grouped(overview.parked),
        grouped(overview.failed),
        grouped(overview.dead),
        or_dash(oldest),
        or_dash((rate > 0.0).then(|| format!("{rate:.1}/s"))),
        or_dash(overview.left().map(Age)),
        match (overview.workers, overview.slots) {
            (workers, 0) => workers.to_string(),
            (workers, slots) => format!("{workers} ({slots} slots)"),
        },
    ]
}

fn show_rates(overview: &Overview) -> io::Result<()> {
    let rates = &overview.rates;
    writeln!(
        io::stdout(),
        "{}: {:.1}, {:.1}, {:.1} jobs a second over 1, 5, 15 minutes; today {} done, {} failed",
        untrusted::name(&overview.queue),
        rates.one_minute,
        rates.five_minutes,
        rates.fifteen_minutes,
        grouped(rates.done_today),
        grouped(rates.failed_today)
    )
}

/// Since when a queue is paused, by whom and why.
pub(super) fn describe(pause: &Pause) -> String {
    let since = age(pause.at.as_bytes()).map_or_else(String::new, |age| format!("since {age} "));
    let why = match pause.why.as_str() {
        "" => String::new(),
        why => format!(": {}", untrusted::message(why)),
    };
    format!("{since}by {}{why}", untrusted::name(&pause.by))
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}
