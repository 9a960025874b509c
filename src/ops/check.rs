//! `redis-consumer check`: what is right and wrong with the settings and with each peer, on one screen.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::checkup::{Checked, Report, check_up};
use crate::consumer::{Registry, Verdict};
use crate::exit_code;
use crate::settings::Env;
use crate::untrusted;

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// One JSON object for each line.
    #[arg(long)]
    json: bool,
}

/// Prints what is right and wrong. The status is 4 if anything is wrong, 64 if it is the settings.
pub(crate) async fn check(
    registry: Registry,
    arguments: CheckArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let env = Env::from_process();
    let look = check_up(&registry, &env);
    let Some((report, is_configured)) = stop.run_until_cancelled(look).await else {
        return Ok(ExitCode::from(exit_code::FAILURE));
    };
    print(&report, arguments.json)?;
    Ok(ExitCode::from(
        match (is_configured, report.count(Verdict::Wrong)) {
            (false, _) => exit_code::WRONG_SETTINGS,
            (true, 0) => exit_code::SUCCESS,
            (true, _) => exit_code::FOUND,
        },
    ))
}

/// Writes the report to the standard output.
fn print(report: &Report, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        for finding in &report.0 {
            writeln!(out, "{}", serde_json::to_string(finding)?)?;
        }
        return Ok(());
    }
    let colors = out.is_terminal();
    let width = report
        .0
        .iter()
        .map(|finding| finding.part.chars().count())
        .max()
        .unwrap_or(0);
    for Checked {
        part,
        verdict,
        text,
    } in &report.0
    {
        let word = verdict.word();
        let verdict = if colors {
            format!("\x1b[{}m{word:5}\x1b[0m", color(*verdict))
        } else {
            format!("{word:5}")
        };
        let text = untrusted::message(text);
        writeln!(out, "{verdict}  {part:width$}  {text}")?;
    }
    let (wrong, warnings) = (report.count(Verdict::Wrong), report.count(Verdict::Warning));
    match (wrong, warnings) {
        (0, 0) => writeln!(out, "\nall checks passed"),
        (0, 1) => writeln!(out, "\njobs can be processed; 1 warning"),
        (0, warnings) => writeln!(out, "\njobs can be processed; {warnings} warnings"),
        (1, _) => writeln!(out, "\n1 problem: jobs will wait or fail"),
        (wrong, _) => writeln!(out, "\n{wrong} problems: jobs will wait or fail"),
    }
}

/// The number of a color of terminals.
fn color(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Ok => 32,
        Verdict::Warning => 33,
        Verdict::Wrong => 31,
    }
}
