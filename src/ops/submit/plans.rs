//! Plans, which become batches. They run on by themselves: consumers turn their items into jobs.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use batch_plan::Resolved;
use clap::Args;
use serde_json::json;
use tokio::time::timeout;

use super::super::batch;
use super::super::desk::{
    Consent, Desk, DeskArguments, Refused, consent, counted, feed_first, print_json,
};
use super::super::plan::{self, Prepared, Wanted, differences, open_bucket, read_plans};
use crate::batch::{keep_plan, new_batch};
use crate::exit_code;
use crate::queue::control::BatchState;
use crate::storage::Storage;

/// How long a bucket is waited for that a plan can do without.
const KEEPING: Duration = Duration::from_secs(10);

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
    /// Forget a batch of the same name that runs another plan. Nothing of it may be under way.
    #[arg(long, requires = "plans", conflicts_with = "update")]
    replace: bool,
    /// Do not ask whether to forget it.
    #[arg(long, short, requires = "replace")]
    yes: bool,
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
    let (desk, storage) = match plans.iter().any(Resolved::needs_bucket) {
        true => {
            let (desk, storage) = desk.open_with(|loader| open_bucket(&plans, loader))?;
            (desk, storage.transpose()?)
        }
        false => desk.open_with_bucket()?,
    };
    let submission = Submission {
        arguments,
        desk: &desk,
        storage: storage.as_ref(),
        json,
    };
    let is_look = arguments.verify_only || is_dry;
    let mut status = exit_code::SUCCESS;
    for plan in plans {
        let prepared = Prepared::read(plan, &arguments.wanted, storage.clone()).await?;
        let is_right = prepared.problems.is_empty();
        match json {
            true if is_look || !is_right => print_json(&plan::to_json(&prepared))?,
            false if is_look && is_right => plan::show(&prepared)?,
            false if !is_right => plan::show_problems(&prepared)?,
            _ => submission.start(&prepared).await?,
        }
        if !is_right {
            let name = prepared.plan.name();
            writeln!(
                io::stderr(),
                "the plan {name} cannot be run; nothing of it was submitted"
            )?;
            status = exit_code::FOUND;
        }
    }
    Ok(ExitCode::from(status))
}

impl Submission<'_> {
    async fn start(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let (name, admin) = (prepared.plan.name(), &self.desk.admin);
        if let Some(state) = admin.batch(name).await?
            && !self.is_replaced(prepared, &state).await?
        {
            return self.compare(prepared).await;
        }
        self.keep(prepared).await?;
        let batch = new_batch(&prepared.plan, &self.desk.who, self.arguments.paused)?;
        if admin.create_batch(&batch).await?.is_some() {
            return self.compare(prepared).await;
        }
        let items: u64 = batch.stages.iter().filter_map(|stage| stage.total).sum();
        let text = counted(items, "item");
        self.desk.record("submit --plan", name, &text).await?;
        feed_first(self.desk, self.storage.cloned(), name).await?;
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

    /// Stores the plan and its lists. A plan without lists runs without a bucket, and only cannot be restored from there.
    async fn keep(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let Some(storage) = self.storage else {
            return Ok(());
        };
        let keep = keep_plan(storage, &prepared.plan, &prepared.lists);
        if prepared.plan.needs_bucket() {
            return keep.await;
        }
        let kept = timeout(KEEPING, keep).await;
        if let Err(error) = kept.unwrap_or_else(|late| Err(late.into())) {
            writeln!(
                io::stderr(),
                "the plan is not kept in the bucket, from which `batch restore` would take it: {error:#}"
            )?;
        }
        Ok(())
    }

    /// Forgets a batch that runs another plan, if it is to be replaced.
    async fn is_replaced(&self, prepared: &Prepared, state: &BatchState) -> anyhow::Result<bool> {
        let name = prepared.plan.name();
        let arguments = self.arguments;
        if !arguments.replace {
            return Ok(false);
        }
        let found = differences(&self.desk.admin, prepared).await?;
        if !found.iter().any(|found| found.hard) {
            return Ok(false);
        }
        let done = counted(state.sum(|stage| stage.done), "item");
        let question = format!("Forget the batch {name}, {done} done?");
        let asked = Consent {
            dry_run: false,
            yes: arguments.yes,
        };
        if !consent(&asked, &question)? {
            return Ok(false);
        }
        batch::forget(self.desk, name, state).await?;
        Ok(true)
    }

    /// There is a batch of this name: it is this one, or is to be changed, or is another.
    async fn compare(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let (name, admin) = (prepared.plan.name(), &self.desk.admin);
        let differences = differences(admin, prepared).await?;
        if differences.is_empty() {
            return match self.json {
                true => Ok(print_json(&batch::to_json(self.desk, name).await?)?),
                false => batch::show(self.desk, name).await,
            };
        }
        let lines: Vec<_> = differences.iter().map(ToString::to_string).collect();
        let lines = lines.join("; ");
        let text = if differences.iter().any(|it| it.hard) {
            format!(
                "batch {name} runs another plan ({lines}): give this one another name, or --replace that batch"
            )
        } else if !self.arguments.update {
            format!("batch {name} runs with other limits ({lines}): --update changes them")
        } else {
            batch::update(self.desk, self.storage, &prepared.plan, &lines).await?;
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
