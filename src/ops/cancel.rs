//! `redis-consumer cancel`: jobs that wait or run are ended.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::desk::{ChangeArguments, Desk, Selected, Selector, jobs, value_of};
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::{Cancel, Source};
use crate::wire::{self, RawFields, field};

#[derive(Args)]
pub(crate) struct CancelArguments {
    #[command(flatten)]
    selector: Selector,
    /// What the jobs' reason is to say.
    #[arg(long, value_name = "TEXT", default_value = "")]
    because: String,
    /// Wait until running jobs have ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    change: ChangeArguments,
}

/// Cancels what is selected, in steps.
pub(crate) async fn cancel(
    arguments: CancelArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let CancelArguments {
        selector,
        because,
        change,
        ..
    } = &arguments;
    selector.check_for_change()?;
    let desk = change.desk.open()?;
    let selected = select(&desk, selector).await?;
    let question = format!("Cancel {}?", jobs(selected.len()));
    if selected.len() > 1 && !change.has_consent(&question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let by = Cancel::by(&desk.who, because);
    let mut report = change.report("cancelled");
    let mut asked = Vec::new();
    for (queue, keys) in selected.steps() {
        let ends = if change.is_dry() {
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
    report.record(&desk, "cancel", because).await?;
    if !change.is_dry() && !asked.is_empty() {
        follow(&desk, &asked, arguments.wait, &stop).await?;
    }
    report.end()
}

/// What is not final and meant. Jobs that move meanwhile may be met twice, which does no harm.
async fn select(desk: &Desk, selector: &Selector) -> anyhow::Result<Selected> {
    if selector.names_jobs() {
        return selector.named(desk).await;
    }
    let mut selected = Selected::default();
    let limit = selector.limit_or(usize::MAX);
    selector
        .each_job(desk, &Source::ACTIVE, limit, |queue, key, fields| {
            let is_meant = is_active(&fields);
            if is_meant {
                selected.0.push((queue.to_owned(), key));
            }
            Ok(is_meant)
        })
        .await?;
    Ok(selected)
}

fn is_active(fields: &RawFields) -> bool {
    let status = value_of(fields, field::STATUS);
    !status.is_empty() && !wire::is_final(Some(status))
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
    if is_to_wait {
        desk.wait_for(asked, stop).await?;
        return Ok(());
    }
    let count = jobs(asked.len());
    writeln!(
        io::stderr(),
        "{count} at work: their consumers end them within 5 s"
    )?;
    Ok(())
}
