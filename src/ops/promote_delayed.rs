//! `redis-consumer promote-delayed`: before Python consumers take over, what only ours would find goes back to the queue.

use tokio_util::sync::CancellationToken;

use super::connect::{connect, queues};

/// Moves the delayed and parked jobs of all queues of the settings back into them.
pub(crate) async fn promote_delayed(stop: CancellationToken) -> anyhow::Result<()> {
    let connected = connect(queues)?;
    for queue in connected.settings {
        let promoting = connected.admin.promote_all(&queue);
        let Some(promoted) = stop.run_until_cancelled(promoting).await else {
            return Ok(());
        };
        let (delayed, parked) = promoted?;
        println!("{queue}: {delayed} delayed and {parked} waiting jobs are back in the queue");
    }
    Ok(())
}
