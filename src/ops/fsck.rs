//! `redis-consumer fsck`: whether the invariants of the queues hold.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::queue::{self, Admin, RedisSettings};
use crate::settings::{Env, Reader};

/// Something is wrong, and was not repaired.
const FOUND: u8 = 4;

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
    let env = Env::from_process();
    let mut reader = Reader::new(&env);
    let server = RedisSettings::load(&mut reader);
    let lease = queue::lease_time(&mut reader);
    reader.finish()?;
    let admin = Admin::new(&server);
    let work = async {
        let findings = admin.check().await?;
        let mut left = 0;
        for finding in &findings {
            let repaired = arguments.repair && admin.repair(finding, lease).await?;
            left += usize::from(!repaired);
            let mut out = std::io::stdout().lock();
            if arguments.json {
                let line = serde_json::json!({
                    "invariant": finding.invariant.number(),
                    "job": finding.job.to_string(),
                    "what": finding.what,
                    "repaired": repaired,
                });
                writeln!(out, "{line}")?;
            } else {
                writeln!(
                    out,
                    "{finding}{}",
                    if repaired { " (repaired)" } else { "" }
                )?;
            }
        }
        if !arguments.json {
            match (findings.len(), left) {
                (0, _) => println!("clean"),
                (found, 0) => println!("{found} found, all repaired"),
                (found, left) if arguments.repair => println!("{found} found, {left} left"),
                (found, _) => println!("{found} found; `fsck --repair` mends what can be repaired"),
            }
        }
        anyhow::Ok(if left == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FOUND)
        })
    };
    stop.run_until_cancelled(work)
        .await
        .unwrap_or(Ok(ExitCode::FAILURE))
}
