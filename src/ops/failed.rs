//! `redis-consumer failed`: what has failed, and why.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::desk::{
    Consent, Desk, DeskArguments, Report, SCAN_TIME, Selector, Table, ago, consent, grouped, jobs,
    print_json, text_of,
};
use crate::exit_code;
use crate::untrusted;
use crate::wire::field;

#[derive(Args)]
pub(crate) struct FailedArguments {
    #[command(flatten)]
    selector: Selector,
    /// Show causes instead of jobs.
    #[arg(long)]
    group: bool,
    /// Look through all keys, for a minute at most: Python consumers keep no list of failures.
    #[arg(long, conflicts_with = "forget")]
    scan: bool,
    /// Take the jobs off the list of failures; they stay failed.
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    consent: Consent,
    /// One JSON object for each.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Prints failures one by one, or by cause.
pub(crate) async fn failed(mut arguments: FailedArguments) -> anyhow::Result<ExitCode> {
    arguments.selector.scan = arguments.scan.then_some(warn_of_time);
    let desk = arguments.desk.open()?;
    if arguments.forget {
        return forget(&desk, &arguments).await;
    }
    if arguments.selector.names_jobs() {
        show_reasons(&desk, &arguments).await?;
    } else if arguments.group {
        show_groups(&desk, &arguments).await?;
    } else {
        show_jobs(&desk, &arguments).await?;
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

async fn show_groups(desk: &Desk, arguments: &FailedArguments) -> anyhow::Result<()> {
    let groups = arguments.selector.groups(&desk.admin).await?;
    if arguments.json {
        for (index, group) in groups.iter().enumerate() {
            print_json(&group.to_json(index + 1))?;
        }
        return Ok(());
    }
    if groups.is_empty() {
        writeln!(io::stdout(), "nothing has failed")?;
        return Ok(());
    }
    let headings = [
        ">#", ">count", "class", "cause", ">first", ">last", "example",
    ];
    let mut table = Table::new(&headings);
    for (index, group) in groups.iter().enumerate() {
        table.row([
            (index + 1).to_string(),
            grouped(group.count),
            untrusted::name(&group.class).to_string(),
            untrusted::message(&group.why).to_string(),
            ago(group.first).to_string(),
            ago(group.last).to_string(),
            untrusted::name(&group.input).to_string(),
        ]);
    }
    table.print()?;
    writeln!(io::stdout(), "{}", next_step(arguments))?;
    Ok(())
}

/// The command that requeues what was shown.
fn next_step(arguments: &FailedArguments) -> String {
    if arguments.scan {
        return "redis-consumer failed --scan --json … | redis-consumer requeue --yes -".to_owned();
    }
    let jobs = arguments.selector.bounds();
    let jobs = untrusted::message(jobs).to_string();
    format!("redis-consumer requeue {jobs} --why 1")
}

async fn show_jobs(desk: &Desk, arguments: &FailedArguments) -> anyhow::Result<()> {
    let mut table = Table::new(&[">failed", "class", "reason", "input", "job"]);
    let mut count = 0_usize;
    arguments
        .selector
        .each_failure(&desk.admin, |queue, failure| {
            count += 1;
            if arguments.json {
                print_json(&failure.to_json(queue))?;
            } else {
                let reason = failure.reason();
                let last = reason.lines().last().unwrap_or_default();
                table.row([
                    ago(failure.at).to_string(),
                    untrusted::name(failure.class()).to_string(),
                    untrusted::message(last).to_string(),
                    untrusted::name(failure.input()).to_string(),
                    failure.key.to_string(),
                ]);
            }
            Ok(())
        })
        .await?;
    if arguments.json {
        return Ok(());
    }
    if count == 0 {
        writeln!(io::stdout(), "nothing has failed")?;
        return Ok(());
    }
    table.print()?;
    Ok(())
}

/// The whole reasons of jobs that are named.
async fn show_reasons(desk: &Desk, arguments: &FailedArguments) -> anyhow::Result<()> {
    let keys = arguments.selector.keys()?;
    let hashes = desk.admin.jobs(&keys).await?;
    for (key, fields) in keys.iter().zip(hashes) {
        let text = |name| text_of(&fields, name);
        if arguments.json {
            print_json(&json!({
                "key": key.to_json(),
                "status": text(field::STATUS),
                "class": text(field::ERROR_CLASS),
                "reason": text(field::REASON),
            }))?;
            continue;
        }
        let mut out = io::stdout();
        writeln!(out, "{key}: {}", untrusted::name(text(field::STATUS)))?;
        for line in text(field::REASON).lines() {
            writeln!(out, "  {}", untrusted::message(line))?;
        }
    }
    Ok(())
}

async fn forget(desk: &Desk, arguments: &FailedArguments) -> anyhow::Result<ExitCode> {
    arguments.selector.check_for_change()?;
    let selected = arguments.selector.failed(&desk.admin).await?;
    let question = format!("Forget that {} have failed?", jobs(selected.len()));
    if !consent(&arguments.consent, &question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let is_dry = arguments.consent.dry_run;
    let mut report = Report::new("forgotten", arguments.json, is_dry);
    for (queue, keys) in selected.steps() {
        if !is_dry {
            desk.admin.forget_failures(queue, &keys).await?;
        }
        for key in &keys {
            report.count(key, None)?;
        }
    }
    report.record(desk, "failed --forget", "").await?;
    report.end()
}

/// Says that a look through all keys was not the whole way.
fn warn_of_time() {
    let seconds = SCAN_TIME.as_secs();
    // Whoever has closed the screen does not read it.
    _ = writeln!(
        io::stderr(),
        "--scan: there are more keys than {seconds} s are enough for; what is shown is not all"
    );
}
