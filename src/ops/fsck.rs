//! `redis-consumer fsck`: whether the invariants of the queues hold.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Connected, connect};
use crate::cli::exit_code;
use crate::queue;

#[derive(Args)]
pub(crate) struct FsckArguments {
    /// Mend what can be mended.
    #[arg(long)]
    repair: bool,
    /// One JSON object for each finding.
    #[arg(long)]
    json: bool,
}

/// Prints what is wrong and, if asked to, mends it.
pub(crate) async fn fsck(
    arguments: FsckArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let Connected {
        keyspace,
        settings: lease,
        ..
    } = connect(queue::lease)?;
    let work = async {
        let findings = keyspace.check().await?;
        let mut left = 0;
        for finding in &findings {
            let mended = arguments.repair && keyspace.repair(finding, lease).await?;
            left += usize::from(!mended);
            let mut out = std::io::stdout().lock();
            if arguments.json {
                let line = serde_json::json!({
                    "invariant": finding.invariant.number(),
                    "job": finding.job.to_string(),
                    "what": finding.what,
                    "mended": mended,
                });
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "{finding}{}", if mended { " (mended)" } else { "" })?;
            }
        }
        if !arguments.json {
            match (findings.len(), left) {
                (0, _) => println!("clean"),
                (found, 0) => println!("{found} found, all mended"),
                (found, left) if arguments.repair => println!("{found} found, {left} left"),
                (found, _) => println!("{found} found; `fsck --repair` mends what can be mended"),
            }
        }
        anyhow::Ok(if left == 0 {
            ExitCode::from(exit_code::SUCCESS)
        } else {
            ExitCode::from(exit_code::FOUND)
        })
    };
    stop.run_until_cancelled(work)
        .await
        .unwrap_or(Ok(ExitCode::from(exit_code::FAILURE)))
}
