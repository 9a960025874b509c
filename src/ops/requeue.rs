//! `redis-consumer requeue`: failed jobs are worked once more.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::desk::{Consent, Desk, DeskArguments, Report, Selected, Selector, consent};
use super::workers::jobs;
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::{End, Requeue, Scope, What};
use crate::wire::{self, RawFields, field};

/// How often the jobs of a canary are looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct RequeueArguments {
    #[command(flatten)]
    selector: Selector,
    /// Before all that waits.
    #[arg(long)]
    front: bool,
    /// Also jobs that have not failed, if they are in no list.
    #[arg(long)]
    force: bool,
    /// Archives and movies from their beginning, not only the parts that failed.
    #[arg(long)]
    all_children: bool,
    /// So many first; the rest only if all of them succeed.
    #[arg(long, value_name = "N")]
    canary: Option<usize>,
    #[command(flatten)]
    consent: Consent,
    /// One JSON object for each exception, and one at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Requeues what is selected, in steps.
pub(crate) async fn requeue(
    arguments: RequeueArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    arguments.selector.check_for_change()?;
    let desk = arguments.desk.open()?;
    let mut selected = arguments.selector.failed(&desk).await?;
    let question = format!("Requeue {}?", jobs(selected.len()));
    if selected.len() > 1 && !consent(&arguments.consent, &question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let mut report = Report::new("requeued", arguments.json);
    if let Some(count) = arguments.canary {
        let rest = selected.0.split_off(count.min(selected.len()));
        run(&desk, &arguments, &selected, &mut report).await?;
        if !arguments.consent.dry_run && !has_succeeded(&desk, &selected, &stop).await? {
            end(&desk, &arguments, &report).await?;
            writeln!(
                io::stderr(),
                "the canary has failed: {} stay as they are",
                jobs(rest.len())
            )?;
            return Ok(ExitCode::from(exit_code::FOUND));
        }
        selected = Selected(rest);
    }
    run(&desk, &arguments, &selected, &mut report).await?;
    end(&desk, &arguments, &report).await
}

async fn run(
    desk: &Desk,
    arguments: &RequeueArguments,
    selected: &Selected,
    report: &mut Report,
) -> anyhow::Result<()> {
    let how = (
        if arguments.front {
            End::Front
        } else {
            End::Back
        },
        if arguments.force {
            Scope::Any
        } else {
            Scope::Failed
        },
        if arguments.all_children {
            What::All
        } else {
            What::FailedChildren
        },
    );
    let mut selected = selected.clone();
    if arguments.front {
        // Whoever comes last stands before all others.
        selected.0.reverse();
    }
    for (queue, keys) in selected.steps() {
        let ends = if arguments.consent.dry_run {
            would(desk, &keys, how.1).await?
        } else {
            desk.admin.requeue_jobs(queue, &keys, how).await?
        };
        for (key, end) in keys.iter().zip(ends) {
            report.count(key, end.obstacle())?;
        }
    }
    Ok(())
}

/// What would become of jobs, as far as their hashes tell.
async fn would(desk: &Desk, keys: &[JobKey], scope: Scope) -> anyhow::Result<Vec<Requeue>> {
    let hashes = desk.admin.jobs(keys).await?;
    let end = |fields: &RawFields| {
        let value = |name: &str| fields.get(name.as_bytes()).map(Vec::as_slice);
        match value(field::STATUS) {
            None => Requeue::Gone,
            Some(b"failed") => Requeue::Requeued,
            Some(b"done") if value(field::CHILDREN_FAILED).is_none_or(|count| count == b"0") => {
                Requeue::Final
            }
            Some(b"done") => Requeue::Requeued,
            Some(_) if value(field::TOKEN).is_some() => Requeue::Held,
            Some(_) if scope == Scope::Any => Requeue::Requeued,
            Some(_) => Requeue::Active,
        }
    };
    Ok(hashes.iter().map(end).collect())
}

/// Waits until the jobs of a canary are final, and tells whether all are done.
async fn has_succeeded(
    desk: &Desk,
    canary: &Selected,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let keys: Vec<_> = canary.0.iter().map(|(_, key)| key.clone()).collect();
    writeln!(io::stderr(), "waiting for a canary of {}", jobs(keys.len()))?;
    loop {
        let hashes = desk.admin.jobs(&keys).await?;
        let status = |fields: &RawFields| fields.get(field::STATUS.as_bytes()).cloned();
        let all: Vec<_> = hashes.iter().map(status).collect();
        if all
            .iter()
            .all(|status| status.is_none() || wire::is_final(status.as_deref()))
        {
            return Ok(all.iter().all(|status| status.as_deref() == Some(b"done")));
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_none()
        {
            return Ok(false);
        }
    }
}

async fn end(
    desk: &Desk,
    arguments: &RequeueArguments,
    report: &Report,
) -> anyhow::Result<ExitCode> {
    let is_dry = arguments.consent.dry_run;
    if !is_dry {
        desk.admin
            .record(&desk.who, "requeue", "", &report.summary())
            .await?;
    }
    Ok(report.end(is_dry)?)
}
