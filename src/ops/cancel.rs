//! `redis-consumer cancel`: jobs that wait or run are ended.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::desk::{ChangeArguments, Desk, Selector, jobs};
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::Cancel;

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
    let selected = selector.active(&desk.admin).await?;
    let question = format!("Cancel {}?", jobs(selected.len()));
    if selected.len() > 1 && !change.has_consent(&question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let by = Cancel::by(&desk.who, because);
    let mut report = change.report("cancelled");
    let mut asked = Vec::new();
    for (queue, keys) in selected.steps() {
        let ends = if change.is_dry() {
            desk.admin.would_cancel(&keys).await?
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
