//! `redis-consumer fsck`: whether the invariants of the queues hold.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::connect::{Connected, connect};
use crate::exit_code;
use crate::queue::{self, Admin, Finding};

#[derive(Args)]
pub(crate) struct FsckArguments {
    /// Repair what can be repaired.
    #[arg(long)]
    repair: bool,
    /// One JSON object for each finding.
    #[arg(long)]
    json: bool,
}

/// Prints what is wrong and, if asked to, repairs it.
pub(crate) async fn fsck(
    arguments: FsckArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let Connected {
        admin,
        settings: lease,
        ..
    } = connect(queue::lease_time)?;
    let work = check(&admin, &arguments, lease);
    let work = stop.run_until_cancelled(work).await;
    work.unwrap_or(Ok(ExitCode::from(exit_code::FAILURE)))
}

async fn check(
    admin: &Admin,
    arguments: &FsckArguments,
    lease: Duration,
) -> anyhow::Result<ExitCode> {
    let (mut found, mut left) = (0, 0);
    admin
        .inspect(async |findings| {
            let repaired = if arguments.repair {
                admin.repair(&findings, lease).await?
            } else {
                vec![false; findings.len()]
            };
            found += findings.len();
            let count = repaired.iter().filter(|repaired| **repaired).count();
            left += findings.len() - count;
            for (finding, repaired) in findings.iter().zip(repaired) {
                print(finding, repaired, arguments.json)?;
            }
            anyhow::Ok(count)
        })
        .await?;
    if !arguments.json {
        match (found, left) {
            (0, _) => println!("clean"),
            (found, 0) => println!("{found} found, all repaired"),
            (found, left) if arguments.repair => println!("{found} found, {left} left"),
            (found, _) => println!("{found} found; `fsck --repair` repairs what can be repaired"),
        }
    }
    Ok(if left == 0 {
        ExitCode::from(exit_code::SUCCESS)
    } else {
        ExitCode::from(exit_code::FOUND)
    })
}

fn print(finding: &Finding, repaired: bool, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        let line = serde_json::json!({
            "invariant": finding.invariant.number(),
            "job": finding.job.as_text(),
            "what": finding.what,
            "mended": repaired,
        });
        return writeln!(out, "{line}");
    }
    let end = if repaired { " (repaired)" } else { "" };
    writeln!(out, "{finding}{end}")
}
