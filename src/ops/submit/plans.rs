//! Plans, which become batches. They run on by themselves: consumers turn their items into jobs.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use batch_plan::work::{OnFailure, Trigger};
use clap::Args;
use serde_json::json;

use super::super::batch;
use super::super::desk::{Desk, DeskArguments, Refused, grouped, print_json};
use super::super::plan::show_problems;
use super::super::plan_files::{Prepared, Wanted, open_bucket, read_plans};
use crate::batch::{Feeder, write_rows};
use crate::exit_code;
use crate::queue::control::{NewBatch, NewStage};
use crate::storage::Storage;
use crate::wire::millis_since_1970;

/// What is wanted of plans.
#[derive(Args)]
pub(crate) struct PlanArguments {
    /// Plans, which run on by themselves; a folder means its `*.yaml` files.
    #[arg(long = "plan", value_name = "FILE", num_args = 1.., conflicts_with_all = ["paths", "keys", "prefix", "archive", "wait", "download"])]
    plans: Vec<PathBuf>,
    #[command(flatten)]
    wanted: Wanted,
    /// Look at the plan, and start nothing.
    #[arg(long, requires = "plans")]
    verify_only: bool,
    /// Have it wait for `batch resume`.
    #[arg(long, requires = "plans")]
    paused: bool,
    /// Change a batch that runs, as far as that can be done: limits, priorities, timeouts and the like.
    #[arg(long, requires = "plans")]
    update: bool,
}

impl PlanArguments {
    pub(super) fn is_wanted(&self) -> bool {
        !self.plans.is_empty()
    }
}

/// Starts a batch for each plan.
pub(super) async fn submit(
    arguments: &PlanArguments,
    desk: &DeskArguments,
    json: bool,
    is_dry: bool,
) -> anyhow::Result<ExitCode> {
    let plans = read_plans(&arguments.plans, &arguments.wanted)?;
    let (desk, storage) = desk.open_with(|loader| open_bucket(&plans, loader))?;
    let storage = storage.transpose()?;
    let mut status = exit_code::SUCCESS;
    for plan in plans {
        let prepared = Prepared::read(plan, &arguments.wanted, storage.clone()).await?;
        if !prepared.problems.is_empty() {
            show_problems(&prepared)?;
            let name = prepared.plan.name();
            writeln!(
                io::stderr(),
                "the plan {name} cannot be run; nothing was submitted"
            )?;
            status = exit_code::FOUND;
        } else if arguments.verify_only || is_dry {
            super::super::plan::show(&prepared)?;
        } else {
            start(arguments, &desk, storage.as_ref(), &prepared, json).await?;
        }
    }
    Ok(ExitCode::from(status))
}

async fn start(
    arguments: &PlanArguments,
    desk: &Desk,
    storage: Option<&Storage>,
    prepared: &Prepared,
    json: bool,
) -> anyhow::Result<()> {
    let name = prepared.plan.name();
    if let Some(state) = desk.admin.batch(name).await? {
        return compare(arguments, desk, prepared, &state.digest).await;
    }
    if let Some(storage) = storage {
        for (stage, list) in prepared.lists.iter() {
            let stage = &prepared.plan.stages()[stage].name;
            write_rows(storage, name, stage, list).await?;
        }
    }
    let batch = new_batch(prepared, &desk.who, arguments.paused)?;
    if let Some(known) = desk.admin.create_batch(&batch).await? {
        return compare(arguments, desk, prepared, &known).await;
    }
    let items: u64 = batch.stages.iter().map(|stage| stage.total).sum();
    desk.record("submit --plan", name, &format!("{items} items"))
        .await?;
    let mut feeder = Feeder::new(desk.admin.clone(), storage.cloned());
    feeder.feed_batch(name).await?;
    if json {
        return Ok(print_json(
            &json!({ "event": "submitted", "batch": name, "items": items }),
        )?);
    }
    let stages = match batch.stages.len() {
        1 => "1 stage".to_owned(),
        count => format!("{count} stages"),
    };
    let items = grouped(items);
    writeln!(
        io::stdout(),
        "batch {name}: {items} items in {stages}; redis-consumer status --batch {name} shows how it fares"
    )?;
    warn_of_absent(desk, prepared).await
}

/// Says for which queues there is no consumer.
async fn warn_of_absent(desk: &Desk, prepared: &Prepared) -> anyhow::Result<()> {
    let mut queues: Vec<_> = prepared.plan.stages().iter().map(|it| &it.queue).collect();
    queues.sort();
    queues.dedup();
    for queue in queues {
        if desk.admin.workers(queue).await?.is_empty() {
            writeln!(io::stderr(), "no consumer serves the queue {queue} yet")?;
        }
    }
    Ok(())
}

/// There is a batch of this name: it is this one, or is to be changed, or is another.
async fn compare(
    arguments: &PlanArguments,
    desk: &Desk,
    prepared: &Prepared,
    digest: &str,
) -> anyhow::Result<()> {
    let name = prepared.plan.name();
    let stored = desk.admin.batch_plan(name).await?.unwrap_or_default();
    let stored = batch_plan::Resolved::from_json(&stored)?;
    let differences = batch_plan::diff(&stored, &prepared.plan)?;
    if differences.is_empty() {
        return batch::show_one(desk, name).await;
    }
    let lines: Vec<_> = differences.iter().map(ToString::to_string).collect();
    let lines = lines.join("; ");
    if digest != prepared.digest || differences.iter().any(|it| it.hard) {
        let text = format!(
            "batch {name} runs another plan ({lines}): give this one another name, or delete that batch first"
        );
        return Err(Refused(text).into());
    }
    if !arguments.update {
        let text = format!("batch {name} runs with other limits ({lines}): --update changes them");
        return Err(Refused(text).into());
    }
    let batch = new_batch(prepared, &desk.who, false)?;
    desk.admin.update_batch(&batch).await?;
    desk.record("submit --update", name, &lines).await?;
    writeln!(io::stdout(), "batch {name}: changed {lines}")?;
    Ok(())
}

fn new_batch(prepared: &Prepared, by: &str, is_paused: bool) -> anyhow::Result<NewBatch> {
    let plan = &prepared.plan;
    let stages = plan.stages().iter().enumerate().map(|(number, stage)| {
        let work = &stage.work;
        let total = plan.total(number).unwrap_or(0);
        NewStage {
            name: stage.name.clone(),
            queue: stage.queue.clone(),
            total,
            bits: plan.counter_bits(number).unwrap_or(32),
            keep: work.keep.done,
            goes_on: work.on_failure == OnFailure::GoOn,
            same: work.stop_after.same_cause,
            most: work.stop_after.failed.map(|failed| failed.of(total)),
            is_started: work.trigger == Trigger::Auto,
        }
    });
    Ok(NewBatch {
        name: plan.name().to_owned(),
        plan: plan.to_json()?,
        digest: prepared.digest.clone(),
        by: by.to_owned(),
        priority: plan.priority(),
        created: millis_since_1970(),
        is_paused,
        stages: stages.collect(),
    })
}
