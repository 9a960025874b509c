//! `redis-consumer feed`: turns items of batches into jobs, where only Python consumers work the queues.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::desk::{DeskArguments, counted};
use crate::batch::{Feeder, Plans, Round, Sweep};
use crate::exit_code;
use crate::logging::LogSettings;
use crate::traces::Traces;

/// Between two looks at all batches.
const PAUSE: Duration = Duration::from_secs(1);
/// Looks between two at items that may have ended unnoticed.
const SWEEP_EVERY: u64 = 5;

#[derive(Args)]
pub(crate) struct FeedArguments {
    /// Look once, and end.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// What feeds all batches.
struct All {
    plans: Plans,
    feeder: Feeder,
    sweep: Sweep,
}

/// Feeds all batches until it is told to stop. The status is 4 if one of them cannot be fed.
pub(crate) async fn feed(
    arguments: FeedArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let (_, log) = arguments.desk.open_with(LogSettings::load)?;
    log.start(&Traces::default());
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let mut all = All {
        plans: Plans::new(desk.admin, storage),
        feeder: Feeder::default(),
        sweep: Sweep::default(),
    };
    if arguments.once {
        return all.feed_once(&stop).await;
    }
    info!("feeds all batches");
    for look in 0.. {
        let is_sweep = look % SWEEP_EVERY == 0;
        match stop.run_until_cancelled(all.look(is_sweep)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let error = format!("{error:#}");
                error!(error, "the look is incomplete; the next one goes on");
            }
            None => break,
        }
        let pause = stop.run_until_cancelled(tokio::time::sleep(PAUSE));
        if pause.await.is_none() {
            break;
        }
    }
    Ok(ExitCode::from(exit_code::SUCCESS))
}

impl All {
    async fn feed_once(&mut self, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
        let Some(looked) = stop.run_until_cancelled(self.look(true)).await else {
            return Ok(ExitCode::from(exit_code::of_signal()));
        };
        let Round { handled, refused } = looked?;
        let (items, batches) = (counted(handled, "item"), refused);
        if refused == 0 {
            writeln!(io::stdout(), "{items} fed")?;
            return Ok(ExitCode::from(exit_code::SUCCESS));
        }
        writeln!(
            io::stdout(),
            "{items} fed; batches that cannot be fed: {batches}"
        )?;
        Ok(ExitCode::from(exit_code::FOUND))
    }

    /// Looks at all batches once.
    async fn look(&mut self, is_sweep: bool) -> anyhow::Result<Round> {
        let names = self.plans.admin.batches().await?;
        if is_sweep {
            for name in &names {
                self.sweep.look(&mut self.plans, name, None).await?;
            }
        }
        Ok(self.feeder.feed_each(&mut self.plans, &names).await)
    }
}
