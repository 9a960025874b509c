//! Plans, which become batches. They run on by themselves: consumers turn their items into jobs.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use batch_plan::Resolved;
use clap::Args;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::batch;
use super::super::desk::{
    Consent, Desk, Refused, Span, consent, counted, feed_first, known_bucket, print_json,
};
use super::super::plan::{
    self, ModelPeer, Peers, Prepared, Verified, Wanted, differences, open_bucket, read_plans,
};
use super::super::watch::{Following, follow_batch};
use super::options::Options;
use super::plan_files::{Sending, upload, warn_of_changed};
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
        let storage = storage.or_else(|| options.download.is_some().then(|| plan::open(loader)));
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
        if !self.options.follow() {
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
        let (name, admin) = (prepared.plan.name(), &self.desk.admin);
        if let Some(state) = admin.batch(name).await?
            && !self.is_replaced(prepared, &state).await?
        {
            self.compare(prepared).await?;
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

    /// Writes the batch, and feeds what there is room for.
    async fn create(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let (name, admin) = (prepared.plan.name(), &self.desk.admin);
        self.keep(prepared).await?;
        let batch = new_batch(&prepared.plan, &self.desk.who, self.arguments.paused)?;
        if admin.create_batch(&batch).await?.is_some() {
            return self.compare(prepared).await;
        }
        let items: u64 = batch.stages.iter().filter_map(|stage| stage.total).sum();
        let text = counted(items, "item");
        self.desk.record("submit --plan", name, &text).await?;
        feed_first(self.desk, self.storage.cloned(), name).await?;
        if self.options.json {
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
            return match self.options.json {
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
            if self.options.json {
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
