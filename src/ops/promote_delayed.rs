//! `redis-consumer promote-delayed`: before Python consumers take over, what only ours would find goes back to the queue.

use tokio_util::sync::CancellationToken;

use super::queues;
use crate::queue::{Admin, RedisSettings};
use crate::settings::{Env, Reader};

/// Moves the delayed and parked jobs of all queues of the settings back into them.
pub(crate) async fn promote_delayed(stop: CancellationToken) -> anyhow::Result<()> {
    let env = Env::from_process();
    let mut reader = Reader::new(&env);
    let server = RedisSettings::load(&mut reader);
    let queues = queues(&mut reader);
    reader.finish()?;
    let admin = Admin::new(&server);
    for queue in queues {
        let Some(promoted) = stop.run_until_cancelled(admin.promote_all(&queue)).await else {
            return Ok(());
        };
        let (delayed, parked) = promoted?;
        println!("{queue}: {delayed} delayed and {parked} waiting jobs are back in the queue");
    }
    Ok(())
}
