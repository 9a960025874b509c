//! `redis-consumer drain`: before Python consumers take over, what only ours would find goes back to the queue.

use tokio_util::sync::CancellationToken;

use super::queues;
use crate::queue::{Keyspace, RedisSettings};
use crate::settings::{Env, Reader};

/// Puts the delayed and parked jobs of all queues of the settings back.
pub(crate) async fn drain(stop: CancellationToken) -> anyhow::Result<()> {
    let env = Env::from_process();
    let mut reader = Reader::new(&env);
    let server = RedisSettings::load(&mut reader);
    let queues = queues(&mut reader);
    reader.finish()?;
    let keyspace = Keyspace::new(&server);
    for queue in queues {
        let Some(drained) = stop.run_until_cancelled(keyspace.drain(&queue)).await else {
            return Ok(());
        };
        let (delayed, parked) = drained?;
        println!("{queue}: {delayed} delayed and {parked} waiting jobs are back in the queue");
    }
    Ok(())
}
