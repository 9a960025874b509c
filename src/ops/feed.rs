//! `redis-consumer feed`: turns items of batches into jobs, where only Python consumers work the queues.

use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::desk::DeskArguments;
use crate::batch::Feeder;
use crate::storage::{Storage, StorageSettings};

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

/// Feeds all batches until it is told to stop.
pub(crate) async fn feed(arguments: FeedArguments, stop: CancellationToken) -> anyhow::Result<()> {
    let (desk, storage) = arguments.desk.open_with(StorageSettings::load)?;
    let mut feeder = Feeder::new(desk.admin.clone(), Some(Storage::open(&storage)?));
    for round in 0.. {
        for name in desk.admin.batches().await? {
            feeder.feed_batch(&name).await?;
            if round % SWEEP_EVERY == 0 {
                feeder.sweep_batch(&name).await?;
            }
        }
        let pause = stop.run_until_cancelled(tokio::time::sleep(PAUSE));
        if arguments.once || pause.await.is_none() {
            break;
        }
    }
    Ok(())
}
