//! `redis-consumer requeue`: failed jobs are worked once more.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::desk::{ChangeArguments, Desk, Report, Selected, Selector, counted, feed_first, jobs};
use crate::batch::Items;
use crate::exit_code;
use crate::queue::control::{End, STEP, Scope, Standing, What, how};
use crate::storage::Storage;
use crate::wire::Status;

#[derive(Args)]
pub(crate) struct RequeueArguments {
    #[command(flatten)]
    selector: Selector,
    /// Items of the stage by their identities, or by `#` and their numbers.
    #[arg(long, value_name = "ID", requires = "stage", num_args = 1.., conflicts_with_all = ["front", "force", "all_children", "canary", "rate"])]
    item: Vec<String>,
    /// Of these items also those that are done. Items above them that are done stay so.
    #[arg(long, requires = "item")]
    again: bool,
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
    /// So many a second at most.
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroUsize>,
    #[command(flatten)]
    change: ChangeArguments,
}

/// What a command has left undone.
struct Stopped {
    why: Why,
    /// How many jobs.
    left: usize,
}

/// Why a command has stopped before its end.
enum Why {
    CanaryFailed,
    Signal,
}

/// Requeues what is selected, in steps.
pub(crate) async fn requeue(
    arguments: RequeueArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let change = &arguments.change;
    arguments.selector.check_for_change()?;
    let (desk, storage) = change.desk.open_with_bucket()?;
    if let Some(place) = arguments.selector.batch_stage()
        && !arguments.item.is_empty()
    {
        let ids = &arguments.item;
        let operator = desk.operator(storage.clone());
        let items = Items::named(&operator, place, ids, arguments.again).await?;
        return arguments.named(&desk, storage, items).await;
    }
    let selected = arguments.selector.failed(&desk.admin).await?;
    let items = arguments.without_jobs(&desk, &storage, &selected).await?;
    let more = items.as_ref().map_or(0, |items| items.count);
    let count = selected.len() as u64 + more;
    let question = format!("Requeue {}?", counted(count, "job"));
    if count > 1 && !change.has_consent(&question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let mut report = change.report("requeued");
    let mut stopped = canary_first(&desk, &arguments, selected, &stop, &mut report).await?;
    match (&mut stopped, items) {
        (Some(stopped), _) => stopped.left += more as usize,
        (None, Some(items)) => arguments.work(&desk, storage, items, &mut report).await?,
        (None, None) => {}
    }
    report.record(&desk, "requeue", "").await?;
    end(&report, stopped)
}

/// Prints what came of it, and gives the exit status.
fn end(report: &Report, stopped: Option<Stopped>) -> anyhow::Result<ExitCode> {
    let ended = report.end()?;
    let Some(Stopped { why, left }) = stopped else {
        return Ok(ended);
    };
    let (said, status) = match why {
        Why::CanaryFailed => ("the canary has failed", exit_code::FOUND),
        Why::Signal => ("interrupted", exit_code::of_signal()),
    };
    writeln!(io::stderr(), "{said}: {} stay as they are", jobs(left))?;
    Ok(ExitCode::from(status))
}

impl RequeueArguments {
    /// Has items that are named worked once more.
    async fn named(
        &self,
        desk: &Desk,
        storage: Option<Storage>,
        items: Items,
    ) -> anyhow::Result<ExitCode> {
        let question = format!("Requeue {}?", counted(items.count, "item"));
        if items.count > 1 && !self.change.has_consent(&question)? {
            return Ok(ExitCode::from(exit_code::SUCCESS));
        }
        let mut report = self.change.report("requeued");
        self.work(desk, storage, items, &mut report).await?;
        end(&report, None)
    }

    /// Items that failed and have no jobs any more, if all that has failed of a batch is meant.
    async fn without_jobs(
        &self,
        desk: &Desk,
        storage: &Option<Storage>,
        selected: &Selected,
    ) -> anyhow::Result<Option<Items>> {
        let Some(batch) = self.selector.whole_batch() else {
            return Ok(None);
        };
        let operator = desk.operator(storage.clone());
        Items::without_jobs(&operator, batch, selected.len()).await
    }

    async fn work(
        &self,
        desk: &Desk,
        storage: Option<Storage>,
        mut items: Items,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        if !self.change.is_dry() {
            items.work(&desk.operator(storage.clone())).await?;
            feed_first(desk, storage, items.batch()).await?;
        }
        report.add(items.count);
        Ok(())
    }

    /// Where to, which, and how much of a job.
    fn how(&self) -> (End, Scope, What) {
        how([self.front, self.force, self.all_children])
    }
}

/// Requeues the jobs of a canary, if one is wanted, and the rest if all of them succeed.
async fn canary_first(
    desk: &Desk,
    arguments: &RequeueArguments,
    selected: Selected,
    stop: &CancellationToken,
    report: &mut Report,
) -> anyhow::Result<Option<Stopped>> {
    let Some(count) = arguments.canary else {
        return step_by_step(desk, arguments, &selected, stop, report).await;
    };
    let (canary, rest) = selected.split_canary(&desk.admin, count).await?;
    let mut stopped = step_by_step(desk, arguments, &canary, stop, report).await?;
    if stopped.is_none() && !arguments.change.is_dry() {
        stopped = wait_for(desk, &canary, stop).await?;
    }
    match stopped {
        None => step_by_step(desk, arguments, &rest, stop, report).await,
        Some(Stopped { why, left }) => {
            let left = left + rest.len();
            Ok(Some(Stopped { why, left }))
        }
    }
}

/// Requeues some jobs, as fast as the operator wants it.
async fn step_by_step(
    desk: &Desk,
    arguments: &RequeueArguments,
    selected: &Selected,
    stop: &CancellationToken,
    report: &mut Report,
) -> anyhow::Result<Option<Stopped>> {
    let mut selected = selected.clone();
    if arguments.front {
        // Whoever comes last stands before all others.
        selected.0.reverse();
    }
    let rate = arguments.rate.filter(|_| !arguments.change.is_dry());
    let size = rate.map_or(STEP, |rate| rate.get().min(STEP));
    let how = arguments.how();
    let (began, mut sent) = (Instant::now(), 0);
    for (queue, keys) in selected.steps_of(size) {
        let due = rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(sent as f64 / rate.get() as f64)
        });
        let pause = tokio::time::sleep(due.saturating_sub(began.elapsed()));
        if stop.run_until_cancelled(pause).await.is_none() {
            let (why, left) = (Why::Signal, selected.len() - sent);
            return Ok(Some(Stopped { why, left }));
        }
        sent += keys.len();
        let ends = if arguments.change.is_dry() {
            desk.admin.would_requeue(&keys, how.1).await?
        } else {
            desk.admin.requeue_jobs(queue, &keys, how).await?
        };
        for (key, end) in keys.iter().zip(ends) {
            report.count(key, end.obstacle())?;
        }
    }
    Ok(None)
}

/// Waits until the jobs of a canary have ended; gives why the others should not follow, if they should not.
async fn wait_for(
    desk: &Desk,
    canary: &Selected,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Stopped>> {
    let keys: Vec<_> = canary.0.iter().map(|(_, key)| key.clone()).collect();
    writeln!(io::stderr(), "waiting for a canary of {}", jobs(keys.len()))?;
    let Some(standings) = desk.wait_for(&keys, stop).await? else {
        let why = Why::Signal;
        return Ok(Some(Stopped { why, left: 0 }));
    };
    let is_done = |standing: &Option<Standing>| {
        let standing = standing.as_ref();
        standing.is_some_and(|standing| standing.status == Status::Done.as_str())
    };
    let why = Why::CanaryFailed;
    Ok((!standings.iter().all(is_done)).then_some(Stopped { why, left: 0 }))
}
