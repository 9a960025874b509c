//! Plans, which become batches. They run on by themselves: consumers turn their items into jobs.

mod creation;
mod existing;
mod files;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use batch_plan::Resolved;
use clap::Args;
use tokio_util::sync::CancellationToken;

use self::files::{Sending, upload, warn_of_changed};
use super::super::desk::{Desk, Span, known_bucket, print_json};
use super::super::plan::{self, read_plans};
use super::super::watch::{Following, follow_batch};
use super::options::Options;
use crate::exit_code;
use crate::storage::Storage;
use crate::submission::{
    ModelPeer, Peers, Prepared, Verified, Wanted, open as open_storage, open_bucket,
};

/// What is wanted of plans.
#[derive(Args)]
pub(crate) struct PlanArguments {
    /// Plans, which run on by themselves; a folder means its `*.yaml` files.
    #[arg(long = "plan", value_name = "FILE", num_args = 1.., conflicts_with_all = ["paths", "keys", "prefix", "archive"])]
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

    /// Whether something is wanted that only plans have, though none is named. `clap` does not tell if files are named instead.
    pub(super) fn lacks_plan(&self) -> bool {
        let is_told = self.verify_only || self.paused || self.update || self.replace || self.yes;
        self.plans.is_empty() && (is_told || self.wanted != Wanted::default())
    }
}

/// What submits plans.
struct Submission<'a> {
    arguments: &'a PlanArguments,
    options: &'a Options,
    /// Files that are uploaded at once.
    at_once: usize,
    desk: &'a Desk,
    storage: Option<&'a Storage>,
    peers: Peers,
    /// Whether nothing is to be started.
    is_look: bool,
    stop: &'a CancellationToken,
}

/// Starts a batch for each plan, and follows them if that is wanted. The status is 4 if one of them cannot be run.
pub(super) async fn submit(
    arguments: &PlanArguments,
    options: &Options,
    at_once: usize,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let plans = read_plans(&arguments.plans, &arguments.wanted)?;
    let (desk, storage, models) = open(&plans, arguments, options)?;
    let submission = Submission {
        arguments,
        options,
        at_once,
        desk: &desk,
        storage: storage.as_ref(),
        peers: Peers {
            storage: storage.clone(),
            admin: Some(desk.admin.clone()),
            models,
            may_write: !options.dry_run,
        },
        is_look: arguments.verify_only || options.dry_run,
        stop,
    };
    let ended = submission.run(plans).await;
    if let Some(storage) = &storage {
        // What was begun in parts is taken back.
        storage.close().await;
    }
    Ok(ExitCode::from(ended?))
}

/// Redis, the bucket if it is needed or known, and the model server if a rule asks for models.
fn open(
    plans: &[Resolved],
    arguments: &PlanArguments,
    options: &Options,
) -> anyhow::Result<(Desk, Option<Storage>, Option<ModelPeer>)> {
    let wanted = &arguments.wanted;
    let (desk, (storage, models)) = options.desk.open_with(|loader| {
        let models = ModelPeer::load(plans, wanted, loader);
        let storage = open_bucket(plans, wanted, loader);
        // Plans that need none may have results all the same.
        let storage = storage.or_else(|| options.download.is_some().then(|| open_storage(loader)));
        (storage, models)
    })?;
    let storage = match storage {
        Some(storage) => Some(storage?),
        None => known_bucket(),
    };
    Ok((desk, storage, models))
}

impl Submission<'_> {
    /// Starts all plans, and gives the exit status.
    async fn run(&self, plans: Vec<Resolved>) -> anyhow::Result<u8> {
        let (mut status, mut started) = (exit_code::SUCCESS, Vec::new());
        for plan in plans {
            let looked = self.look(plan);
            let Some(looked) = self.stop.run_until_cancelled(looked).await else {
                return Ok(exit_code::of_signal());
            };
            let (prepared, verified) = looked?;
            if !prepared.problems.is_empty() || !verified.is_right() {
                self.refuse(&prepared, &verified)?;
                status = exit_code::FOUND;
            } else if self.is_look {
                self.show(&prepared, &verified)?;
            } else {
                match self.start(&prepared).await? {
                    None => started.push(prepared.plan.name().to_owned()),
                    Some(exit_code::FOUND) => status = exit_code::FOUND,
                    Some(stopped) => return Ok(stopped),
                }
            }
        }
        Ok(status.max(self.follow(&started).await?))
    }

    /// Reads the lists of a plan, and holds its rules against what is there. Those of a batch that runs were held when it was
    /// submitted.
    async fn look(&self, plan: Resolved) -> anyhow::Result<(Prepared, Verified)> {
        let wanted = &self.arguments.wanted;
        let prepared = Prepared::read(plan, wanted, self.storage.cloned()).await?;
        let known = match self.is_look {
            true => None,
            false => self.desk.admin.batch(prepared.plan.name()).await?,
        };
        let verified = match known {
            Some(_) if !self.arguments.replace => Verified::default(),
            _ => prepared.verify(wanted, &self.peers).await?,
        };
        Ok((prepared, verified))
    }

    fn show(&self, prepared: &Prepared, verified: &Verified) -> io::Result<()> {
        if self.options.json {
            return print_json(&plan::to_json(prepared, verified));
        }
        plan::show(prepared)?;
        verified.show("")
    }

    /// Says what is wrong with a plan.
    fn refuse(&self, prepared: &Prepared, verified: &Verified) -> io::Result<()> {
        if self.options.json {
            print_json(&plan::to_json(prepared, verified))?;
        } else {
            plan::show_problems(prepared)?;
            verified.show("; nothing was submitted")?;
        }
        if prepared.problems.is_empty() {
            return Ok(());
        }
        let name = prepared.plan.name();
        writeln!(
            io::stderr(),
            "the plan {name} cannot be run; nothing of it was submitted"
        )
    }

    /// Follows batches, one after the other, if that is wanted.
    async fn follow(&self, started: &[String]) -> anyhow::Result<u8> {
        let mut status = exit_code::SUCCESS;
        if !self.options.follows() {
            return Ok(status);
        }
        let (timeout, download) = (self.options.timeout, &self.options.download);
        let until = timeout.map(|Span(timeout)| Instant::now() + timeout);
        for name in started {
            // Items of several batches may be called the same.
            let to = download.as_ref().map(|to| match started {
                [_] => to.clone(),
                _ => to.join(name),
            });
            let following = Following {
                screen: self.options.screen(self.desk),
                timeout: until.map(|until| until.saturating_duration_since(Instant::now())),
                results: self.storage.zip(to.as_deref()),
            };
            status = status.max(follow_batch(self.desk, name, &following, self.stop).await?);
            if self.stop.is_cancelled() {
                break;
            }
        }
        Ok(status)
    }

    /// Starts the batch of a plan, unless it is there. Gives the exit status if it cannot begin.
    async fn start(&self, prepared: &Prepared) -> anyhow::Result<Option<u8>> {
        if let Some(state) = self.desk.admin.batch(prepared.plan.name()).await?
            && !self.replace(prepared, &state).await?
        {
            self.meet(prepared).await?;
            warn_of_changed(prepared, state.created)?;
            return Ok(None);
        }
        if let Some(status) = self.upload(prepared).await? {
            return Ok(Some(status));
        }
        self.create(prepared).await.map(|()| None)
    }

    async fn upload(&self, prepared: &Prepared) -> anyhow::Result<Option<u8>> {
        let Some(storage) = self.storage else {
            return Ok(None);
        };
        let sending = Sending {
            storage,
            screen: self.options.screen(self.desk),
            json: self.options.json,
            at_once: self.at_once,
            stop: self.stop,
        };
        upload(prepared, &sending).await
    }
}
