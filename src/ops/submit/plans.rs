//! Plans, which become batches. They run on by themselves: consumers turn their items into jobs.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use batch_plan::Resolved;
use batch_plan::work::{OnFailure, Trigger};
use clap::Args;
use serde_json::json;

use super::super::batch;
use super::super::desk::{Desk, DeskArguments, Refused, counted, print_json};
use super::super::plan::{
    self, ModelPeer, Peers, Prepared, Verified, Wanted, open_bucket, read_plans,
};
use crate::batch::{Feeder, Plans, write_rows};
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
    /// Look at the plan and hold its rules against what is there, and start nothing.
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

/// What submits plans.
struct Submission<'a> {
    arguments: &'a PlanArguments,
    desk: &'a Desk,
    storage: Option<&'a Storage>,
    peers: Peers,
    /// Whether nothing is to be started.
    is_look: bool,
    json: bool,
}

/// Starts a batch for each plan. The status is 4 if one of them cannot be run.
pub(super) async fn submit(
    arguments: &PlanArguments,
    desk: &DeskArguments,
    json: bool,
    is_dry: bool,
) -> anyhow::Result<ExitCode> {
    let plans = read_plans(&arguments.plans, &arguments.wanted)?;
    let wanted = &arguments.wanted;
    let (desk, (storage, models)) = desk.open_with(|loader| {
        (
            open_bucket(&plans, wanted, loader),
            ModelPeer::load(&plans, wanted, loader),
        )
    })?;
    let storage = storage.transpose()?;
    let submission = Submission {
        arguments,
        desk: &desk,
        storage: storage.as_ref(),
        peers: Peers {
            storage: storage.clone(),
            admin: Some(desk.admin.clone()),
            models,
            may_write: !is_dry,
        },
        is_look: arguments.verify_only || is_dry,
        json,
    };
    let mut status = exit_code::SUCCESS;
    for plan in plans {
        let prepared = Prepared::read(plan, wanted, storage.clone()).await?;
        if !submission.take(&prepared).await? {
            status = exit_code::FOUND;
        }
    }
    Ok(ExitCode::from(status))
}

impl Submission<'_> {
    /// Starts a plan, or shows what there is to it. Whether nothing is wrong with it.
    async fn take(&self, prepared: &Prepared) -> anyhow::Result<bool> {
        let (verified, json) = (self.verify(prepared).await?, self.json);
        let is_runnable = prepared.problems.is_empty();
        let is_right = is_runnable && verified.is_right();
        if is_right && !self.is_look {
            self.start(prepared).await?;
        } else if json {
            print_json(&plan::to_json(prepared, &verified))?;
        } else if is_right {
            plan::show(prepared)?;
            verified.show("")?;
        } else {
            plan::show_problems(prepared)?;
            verified.show("; nothing was submitted")?;
        }
        if !is_runnable {
            let name = prepared.plan.name();
            writeln!(
                io::stderr(),
                "the plan {name} cannot be run; nothing of it was submitted"
            )?;
        }
        Ok(is_right)
    }

    /// Holds the rules of a plan against what is there. Those of a batch that runs were held when it was submitted.
    async fn verify(&self, prepared: &Prepared) -> anyhow::Result<Verified> {
        let known = match self.is_look {
            true => None,
            false => self.desk.admin.batch(prepared.plan.name()).await?,
        };
        match known {
            Some(_) => Ok(Verified::default()),
            None => prepared.verify(&self.arguments.wanted, &self.peers).await,
        }
    }

    async fn start(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let (name, admin) = (prepared.plan.name(), &self.desk.admin);
        if let Some(state) = admin.batch(name).await? {
            return self.compare(prepared, &state.digest).await;
        }
        if let Some(storage) = self.storage {
            for (stage, list) in prepared.lists.iter() {
                let stage = &prepared.plan.stages()[stage].name;
                write_rows(storage, name, stage, list).await?;
            }
        }
        let batch = new_batch(prepared, &self.desk.who, self.arguments.paused)?;
        if let Some(known) = admin.create_batch(&batch).await? {
            return self.compare(prepared, &known).await;
        }
        let items: u64 = batch.stages.iter().map(|stage| stage.total).sum();
        let text = counted(items, "item");
        self.desk.record("submit --plan", name, &text).await?;
        let mut plans = Plans::new(admin.clone(), self.storage.cloned());
        Feeder::default().feed(&mut plans, name).await?;
        if self.json {
            let event = json!({ "event": "submitted", "batch": name, "items": items });
            return Ok(print_json(&event)?);
        }
        let stages = counted(batch.stages.len() as u64, "stage");
        writeln!(
            io::stdout(),
            "batch {name}: {text} in {stages}; redis-consumer status --batch {name} shows how it fares"
        )?;
        warn_of_absent(self.desk, prepared).await
    }

    /// There is a batch of this name: it is this one, or is to be changed, or is another.
    async fn compare(&self, prepared: &Prepared, digest: &str) -> anyhow::Result<()> {
        let (name, admin) = (prepared.plan.name(), &self.desk.admin);
        let stored = admin.batch_plan(name).await?.unwrap_or_default();
        let stored = Resolved::from_json(&stored)?;
        let differences = batch_plan::diff(&stored, &prepared.plan)?;
        if differences.is_empty() {
            return match self.json {
                true => Ok(print_json(&batch::to_json(self.desk, name).await?)?),
                false => batch::show(self.desk, name).await,
            };
        }
        let lines: Vec<_> = differences.iter().map(ToString::to_string).collect();
        let lines = lines.join("; ");
        let text = if digest != prepared.digest || differences.iter().any(|it| it.hard) {
            format!(
                "batch {name} runs another plan ({lines}): give this one another name, or delete that batch first"
            )
        } else if !self.arguments.update {
            format!("batch {name} runs with other limits ({lines}): --update changes them")
        } else {
            let batch = new_batch(prepared, &self.desk.who, false)?;
            admin.update_batch(&batch).await?;
            self.desk.record("submit --update", name, &lines).await?;
            if self.json {
                let event = json!({ "event": "changed", "batch": name, "what": lines });
                return Ok(print_json(&event)?);
            }
            writeln!(io::stdout(), "batch {name}: changed {lines}")?;
            return Ok(());
        };
        Err(Refused(text).into())
    }
}

/// Says for which queues there is no consumer.
async fn warn_of_absent(desk: &Desk, prepared: &Prepared) -> anyhow::Result<()> {
    let stages = prepared.plan.stages().iter();
    let queues: BTreeSet<_> = stages.map(|stage| &stage.queue).collect();
    for queue in queues {
        if desk.admin.workers(queue).await?.is_empty() {
            writeln!(io::stderr(), "no consumer serves the queue {queue} yet")?;
        }
    }
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
