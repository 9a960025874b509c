//! `redis-consumer cancel`: jobs that wait or run are ended.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::desk::{Consent, Desk, DeskArguments, Report, Selected, Selector, consent};
use super::workers::jobs;
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::{Cancel, Source};
use crate::wire::{self, RawFields, field};

/// How often jobs that were asked to end are looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct CancelArguments {
    #[command(flatten)]
    selector: Selector,
    /// What the jobs' reason is to say.
    #[arg(long = "because", value_name = "TEXT", default_value = "")]
    because: String,
    /// Wait until running jobs have ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    consent: Consent,
    /// One JSON object for each exception, and one at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Cancels what is selected, in steps.
pub(crate) async fn cancel(
    arguments: CancelArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    arguments.selector.check_for_change()?;
    let desk = arguments.desk.open()?;
    let selected = select(&desk, &arguments.selector).await?;
    let question = format!("Cancel {}?", jobs(selected.len()));
    if selected.len() > 1 && !consent(&arguments.consent, &question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let by = match arguments.because.as_str() {
        "" => desk.who.clone(),
        why => format!("{}: {why}", desk.who),
    };
    let mut report = Report::new("cancelled", arguments.json);
    let mut asked = Vec::new();
    for (queue, keys) in selected.steps() {
        let ends = if arguments.consent.dry_run {
            would(&desk, &keys).await?
        } else {
            desk.admin.cancel_jobs(queue, &keys, &by).await?
        };
        for (key, end) in keys.iter().zip(ends) {
            report.count(key, end.obstacle())?;
            if end == Cancel::Asked {
                asked.push(key.clone());
            }
        }
    }
    if !arguments.consent.dry_run {
        let summary = report.summary();
        desk.admin
            .record(&desk.who, "cancel", &arguments.because, &summary)
            .await?;
        follow(&desk, &asked, arguments.wait, &stop).await?;
    }
    Ok(report.end(arguments.consent.dry_run)?)
}

/// What is not final and meant. Jobs that move meanwhile may be met twice, which does no harm.
async fn select(desk: &Desk, selector: &Selector) -> anyhow::Result<Selected> {
    if selector.names_jobs() {
        return selector.named(desk).await;
    }
    let mut selected = Selected::default();
    for queue in selector.queues(desk).await? {
        for source in Source::ACTIVE {
            let mut offset = 0;
            loop {
                let keys = desk.admin.jobs_of(&queue, source, offset).await?;
                if keys.is_empty() || selected.len() >= selector.limit() {
                    break;
                }
                offset += keys.len();
                let hashes = desk.admin.jobs(&keys).await?;
                let meant = keys.into_iter().zip(hashes);
                let meant =
                    meant.filter(|(_, fields)| is_active(fields) && selector.accepts(fields));
                selected
                    .0
                    .extend(meant.map(|(key, _)| (queue.clone(), key)));
            }
        }
    }
    selected.0.truncate(selector.limit());
    Ok(selected)
}

fn is_active(fields: &RawFields) -> bool {
    let status = fields.get(field::STATUS.as_bytes());
    status.is_some() && !wire::is_final(status.map(Vec::as_slice))
}

/// What would become of jobs, as far as their hashes tell.
async fn would(desk: &Desk, keys: &[JobKey]) -> anyhow::Result<Vec<Cancel>> {
    let hashes = desk.admin.jobs(keys).await?;
    let end = |fields: &RawFields| match fields.get(field::STATUS.as_bytes()) {
        None => Cancel::Gone,
        Some(_) if !is_active(fields) => Cancel::Over,
        Some(_) if fields.contains_key(field::TOKEN.as_bytes()) => Cancel::Asked,
        Some(_) => Cancel::Cancelled,
    };
    Ok(hashes.iter().map(end).collect())
}

/// Says what running jobs are up to, or waits until they have ended.
async fn follow(
    desk: &Desk,
    asked: &[JobKey],
    is_to_wait: bool,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    if asked.is_empty() {
        return Ok(());
    }
    if !is_to_wait {
        writeln!(
            io::stderr(),
            "{} at work: their consumers end them within 5 s",
            jobs(asked.len())
        )?;
        return Ok(());
    }
    loop {
        let hashes = desk.admin.jobs(asked).await?;
        if !hashes.iter().any(is_active) {
            return Ok(());
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_none()
        {
            return Ok(());
        }
    }
}
