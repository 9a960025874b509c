//! `redis-consumer repair`: batches are compared with what lies in the bucket.

mod report;
mod restore;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

pub(super) use self::restore::Restoration;
use super::desk::{Desk, DeskArguments, Misuse, Refused, feed_first, known, stage_of};
use super::plan::{read_plans, show_problems};
use crate::batch::{Loaded, Repair, Scope};
use crate::exit_code;
use crate::queue::control::BatchState;
use crate::storage::{Storage, StorageSettings};
use crate::submission::{Prepared, Wanted, differences};
use crate::untrusted;

#[derive(Args)]
#[group(id = "of", required = true, args = ["batch", "plans"])]
pub(crate) struct RepairArguments {
    /// The batch.
    #[arg(long, value_name = "NAME")]
    batch: Option<String>,
    /// Or the batches of these plans; those that Redis does not know are made, and what lies in the bucket counts as done. A folder
    /// means its `*.yaml` files.
    #[arg(long = "plan", value_name = "FILE", num_args = 1.., conflicts_with = "batch")]
    plans: Vec<PathBuf>,
    #[command(flatten)]
    wanted: Wanted,
    /// Only this stage.
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Change what Redis knows: items without their outputs are worked again.
    #[arg(long)]
    apply: bool,
    /// Count items as done whose outputs are there, though nothing is known of them or they have failed.
    #[arg(long)]
    adopt: bool,
    /// Have failed items without outputs worked again, too.
    #[arg(long)]
    failed: bool,
    /// Have so many items worked again at most.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Name the objects that no item expects.
    #[arg(long)]
    orphans: bool,
    /// One JSON object for each stage.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Compares, and repairs if it is told to. The status is 4 if something is left to be done.
pub(crate) async fn repair(arguments: RepairArguments) -> anyhow::Result<ExitCode> {
    let (desk, storage) = arguments.desk.open_with(StorageSettings::load)?;
    let repairs = Repairs {
        arguments: &arguments,
        desk: &desk,
        storage: Storage::open(&storage)?,
    };
    let mut is_left = false;
    if let Some(name) = &arguments.batch {
        let state = known(&desk, name).await?;
        is_left = repairs.repair(name, &state).await?;
    }
    for plan in read_plans(&arguments.plans, &arguments.wanted)? {
        let storage = Some(repairs.storage.clone());
        let prepared = Prepared::read(plan, &arguments.wanted, storage).await?;
        is_left |= repairs.repair_plan(&prepared).await?;
    }
    Ok(ExitCode::from(match is_left {
        true => exit_code::FOUND,
        false => exit_code::SUCCESS,
    }))
}

/// What repairs batches, one after the other.
struct Repairs<'a> {
    arguments: &'a RepairArguments,
    desk: &'a Desk,
    storage: Storage,
}

impl Repairs<'_> {
    /// Gives whether something is left to be done for the batch of a plan.
    async fn repair_plan(&self, prepared: &Prepared) -> anyhow::Result<bool> {
        let name = prepared.plan.name();
        if !prepared.problems.is_empty() {
            show_problems(prepared)?;
            return Ok(true);
        }
        if !self.arguments.json {
            writeln!(io::stdout(), "{}", untrusted::name(name))?;
        }
        if let Some(state) = self.desk.admin.batch(name).await? {
            let found = differences(&self.desk.admin, prepared).await?;
            if let Some(found) = found.iter().find(|found| found.hard) {
                let text =
                    format!("batch {name} runs another plan ({found}): see batch show {name}");
                return Err(Refused(text).into());
            }
            return self.repair(name, &state).await;
        }
        if self.arguments.stage.is_some() {
            let text = format!("there is no batch {name}: it is made whole, without --stage");
            return Err(Misuse(text).into());
        }
        let (plan, lists) = (Arc::clone(&prepared.plan), prepared.lists.clone());
        let mut restoration = Restoration {
            desk: self.desk,
            storage: &self.storage,
            loaded: Loaded::of(plan, lists, Some(self.storage.clone()))?,
            lists: Some(&prepared.lists),
            is_paused: false,
            with_orphans: self.arguments.orphans,
            how: "--apply",
            json: self.arguments.json,
        };
        restoration.run(self.arguments.apply).await
    }

    /// Gives whether something is left to be done for a batch.
    async fn repair(&self, name: &str, state: &BatchState) -> anyhow::Result<bool> {
        let arguments = self.arguments;
        let stage = arguments.stage.as_deref();
        let scope = Scope {
            stage: stage.map(|stage| stage_of(state, stage)).transpose()?,
            with_orphans: arguments.orphans,
            names_new: false,
        };
        let repair = Repair {
            adopts: arguments.adopt,
            with_failed: arguments.failed,
            most_again: arguments.limit.unwrap_or(usize::MAX),
        };
        let operator = self.desk.operator(Some(self.storage.clone()));
        let mut mending = operator.compare(name, state, (scope, repair)).await?;
        match arguments.json {
            true => report::print(&mending.comparison, &mending.todo)?,
            false => report::show(&mending.comparison)?,
        }
        let (what, is_left) = (mending.describe(), !mending.todo.is_empty());
        let is_applied = arguments.apply && is_left;
        if is_applied {
            operator.mend(name, &mut mending).await?;
            feed_first(self.desk, Some(self.storage.clone()), name).await?;
        }
        self.say_end(&what, is_applied)?;
        Ok(!is_applied && is_left)
    }

    fn say_end(&self, what: &str, is_applied: bool) -> io::Result<()> {
        if self.arguments.json {
            return Ok(());
        }
        let text = match (what, is_applied) {
            ("", _) => "nothing is to be done".to_owned(),
            (what, true) => format!("{what}: done"),
            (what, false) => format!("{what}. Nothing was changed; --apply does it"),
        };
        writeln!(io::stdout(), "{text}")
    }
}
