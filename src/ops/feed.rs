//! `redis-consumer feed`: turns items of batches into jobs, where only Python consumers work the queues.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::desk::{DeskArguments, counted};
use crate::batch::{FeedAll, Round};
use crate::exit_code;
use crate::logging::LogSettings;
use crate::traces::Traces;

#[derive(Args)]
pub(crate) struct FeedArguments {
    /// Look once, and end.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Feeds all batches until it is told to stop. The status is 4 if one of them cannot be fed.
pub(crate) async fn feed(
    arguments: FeedArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let (_, log) = arguments.desk.open_with(LogSettings::load)?;
    log.start(&Traces::default());
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let mut all = FeedAll::new(desk.admin, storage);
    if arguments.once {
        return match stop.run_until_cancelled(all.look(true)).await {
            Some(looked) => say(looked?),
            None => Ok(ExitCode::from(exit_code::of_signal())),
        };
    }
    info!("feeds all batches");
    stop.run_until_cancelled(all.run()).await;
    Ok(ExitCode::from(exit_code::SUCCESS))
}

fn say(Round { handled, refused }: Round) -> anyhow::Result<ExitCode> {
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
