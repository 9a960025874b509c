//! `redis-consumer drain`: before Python consumers take over, what only ours would find goes back to the queue.

use tokio_util::sync::CancellationToken;

use super::{connect, queues};

/// Puts the delayed and parked jobs of all queues of the settings back.
pub(crate) async fn drain(stop: CancellationToken) -> anyhow::Result<()> {
    let connected = connect(queues)?;
    for queue in connected.settings {
        let Some(drained) = stop
            .run_until_cancelled(connected.keyspace.drain(&queue))
            .await
        else {
            return Ok(());
        };
        let (delayed, parked) = drained?;
        println!("{queue}: {delayed} delayed and {parked} waiting jobs are back in the queue");
    }
    Ok(())
}
