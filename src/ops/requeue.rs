//! `redis-consumer requeue`: failed jobs are worked once more.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::desk::{ChangeArguments, Desk, Report, Selected, Selector, jobs};
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::{End, Requeue, Scope, Standing, What};
use crate::wire::{RawFields, Status, field};

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
    change: ChangeArguments,
}

/// How a canary has ended.
enum Canary {
    Done,
    Failed,
    /// The command was told to stop before.
    Left,
}

/// Requeues what is selected, in steps.
pub(crate) async fn requeue(
    arguments: RequeueArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let change = &arguments.change;
    arguments.selector.check_for_change()?;
    let desk = change.desk.open()?;
    let mut selected = arguments.selector.failed(&desk).await?;
    let question = format!("Requeue {}?", jobs(selected.len()));
    if selected.len() > 1 && !change.has_consent(&question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let mut report = change.report("requeued");
    if let Some(count) = arguments.canary {
        let rest = selected.0.split_off(count.min(selected.len()));
        run(&desk, &arguments, &selected, &mut report).await?;
        let canary = match change.is_dry() {
            true => Canary::Done,
            false => wait_for(&desk, &selected, &stop).await?,
        };
        let (said, status) = match canary {
            Canary::Done => ("", exit_code::SUCCESS),
            Canary::Failed => ("the canary has failed", exit_code::FOUND),
            Canary::Left => ("interrupted", exit_code::INTERRUPTED),
        };
        if status != exit_code::SUCCESS {
            report.record(&desk, "requeue", "").await?;
            report.end()?;
            let rest = jobs(rest.len());
            writeln!(io::stderr(), "{said}: {rest} stay as they are")?;
            return Ok(ExitCode::from(status));
        }
        selected = Selected(rest);
    }
    run(&desk, &arguments, &selected, &mut report).await?;
    report.record(&desk, "requeue", "").await?;
    report.end()
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
        let ends = if arguments.change.is_dry() {
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

/// Waits until the jobs of a canary have ended.
async fn wait_for(
    desk: &Desk,
    canary: &Selected,
    stop: &CancellationToken,
) -> anyhow::Result<Canary> {
    let keys: Vec<_> = canary.0.iter().map(|(_, key)| key.clone()).collect();
    writeln!(io::stderr(), "waiting for a canary of {}", jobs(keys.len()))?;
    let Some(standings) = desk.wait_for(&keys, stop).await? else {
        return Ok(Canary::Left);
    };
    let is_done = |standing: &Option<Standing>| {
        let standing = standing.as_ref();
        standing.is_some_and(|standing| standing.status == Status::Done.as_str())
    };
    Ok(if standings.iter().all(is_done) {
        Canary::Done
    } else {
        Canary::Failed
    })
}
