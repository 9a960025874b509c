//! `redis-consumer plan`: what can be said of a plan without running it.

mod files;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

pub(super) use self::files::read_plans;
use super::desk::{Table, grouped, print_json};
use crate::exit_code;
use crate::settings::{Env, Loader};
use crate::submission::{Peers, Prepared, Verified, Wanted, open_bucket};
use crate::untrusted;

#[derive(Subcommand)]
pub(crate) enum PlanCommand {
    /// Say what a plan would do, and what is wrong with it. Nothing is written.
    Check(CheckArguments),
    /// Print the JSON schema of plans, by which editors complete them.
    Schema,
}

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// Plans; a folder means its `*.yaml` files.
    #[arg(value_name = "FILE", required = true)]
    plans: Vec<PathBuf>,
    #[command(flatten)]
    wanted: Wanted,
    /// One JSON object for each.
    #[arg(long)]
    json: bool,
}

/// Does what the command says.
pub(crate) async fn plan(command: PlanCommand) -> anyhow::Result<ExitCode> {
    match command {
        PlanCommand::Schema => {
            writeln!(io::stdout(), "{}", batch_plan::schema().trim_end())?;
            Ok(ExitCode::from(exit_code::SUCCESS))
        }
        PlanCommand::Check(arguments) => check(&arguments).await,
    }
}

async fn check(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let plans = read_plans(&arguments.plans, &arguments.wanted)?;
    let env = Env::from_process();
    let mut loader = Loader::new(&env);
    let wanted = &arguments.wanted;
    let storage = open_bucket(&plans, wanted, &mut loader);
    let mut peers = Peers::named(&plans, wanted, &env, &mut loader);
    loader.finish()?;
    peers.storage = storage.transpose()?;
    let mut is_right = true;
    for plan in plans {
        let prepared = Prepared::read(plan, wanted, peers.storage.clone()).await?;
        let verified = prepared.verify(wanted, &peers).await?;
        is_right &= prepared.problems.is_empty() && verified.is_right();
        if arguments.json {
            print_json(&to_json(&prepared, &verified))?;
        } else {
            show(&prepared)?;
            verified.show("")?;
        }
    }
    Ok(ExitCode::from(match is_right {
        true => exit_code::SUCCESS,
        false => exit_code::FOUND,
    }))
}

/// Prints the stages of a plan, and what is wrong with it.
pub(super) fn show(prepared: &Prepared) -> io::Result<()> {
    let plan = &prepared.plan;
    let mut out = io::stdout();
    let title = format!("{}  {}", plan.name(), untrusted::message(plan.about()));
    writeln!(out, "{}", title.trim_end())?;
    let mut table = Table::new(&["stage", "queue", ">items", "after"]);
    for (number, stage) in plan.stages().iter().enumerate() {
        let after = stage.after.iter().map(|after| after.stage.as_str());
        table.row([
            stage.name.clone(),
            stage.queue.clone(),
            plan.total(number).map_or_else(|| "–".to_owned(), grouped),
            after.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.print()?;
    show_problems(prepared)
}

/// Prints what is wrong with a plan.
pub(super) fn show_problems(prepared: &Prepared) -> io::Result<()> {
    for problem in &prepared.problems {
        writeln!(io::stdout(), "{}", untrusted::message(problem))?;
    }
    Ok(())
}

/// The same as JSON.
pub(super) fn to_json(prepared: &Prepared, verified: &Verified) -> serde_json::Value {
    let plan = &prepared.plan;
    let stages = plan.stages().iter().enumerate().map(|(number, stage)| {
        json!({ "name": stage.name, "queue": stage.queue, "items": plan.total(number) })
    });
    let problems = prepared.problems.iter().map(ToString::to_string);
    json!({
        "batch": plan.name(),
        "digest": prepared.digest,
        "stages": stages.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
        "verified": verified.to_json(),
    })
}
