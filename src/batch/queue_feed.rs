//! What a consumer does for batches beside its jobs.

use std::time::{Duration, Instant};

use tracing::debug;

use super::advance::goes_on;
use super::feeder::Feeder;
use super::loaded::Loaded;
use super::plans::Plans;
use super::sweep::Sweep;
use crate::queue::Queue;
use crate::storage::Storage;
use crate::wire::batch;

/// Pauses between looks: while a queue is fed, while there is nothing to feed, and while nobody has a batch for it.
const BUSY: Duration = Duration::from_millis(100);
const WAITING: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(5);

/// How often items are looked for that ended unnoticed.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Feeds a queue, and whatever its batches have for others.
#[derive(Clone)]
pub(crate) struct QueueFeed {
    queue: Queue,
    /// Where lists of batches are.
    storage: Option<Storage>,
}

impl QueueFeed {
    pub(crate) fn new(queue: Queue, storage: Option<Storage>) -> Self {
        Self { queue, storage }
    }

    /// Whether a batch that gets further by itself has items for the queue, now or later.
    pub(crate) async fn has_more(&self) -> anyhow::Result<bool> {
        let (queue, admin) = (self.queue.name(), self.queue.impatient_admin());
        for name in admin.all_feedable(queue).await? {
            let state = admin.batch(&name).await?.unwrap_or_default();
            if state.state != batch::RUNNING || !state.has_more_for(queue) {
                continue;
            }
            let loaded = Loaded::fetch(&admin, self.storage.clone(), &name, &state).await?;
            if goes_on(&loaded.plan, &state) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Feeds for as long as it is polled.
    pub(crate) async fn run(self) {
        let queue = self.queue.name();
        let mut plans = Plans::new(self.queue.impatient_admin(), self.storage);
        let (mut feeder, mut sweep) = (Feeder::default(), Sweep::default());
        let mut swept = Instant::now();
        loop {
            let pause = match feeder.feed_queue(&mut plans, queue).await {
                Ok(None) => IDLE,
                Ok(Some(round)) if round.handled > 0 => BUSY,
                Ok(Some(_)) => WAITING,
                Err(error) => {
                    debug!(error = %format!("{error:#}"), "could not feed the queue");
                    WAITING
                }
            };
            if pause != IDLE && swept.elapsed() > SWEEP_EVERY {
                swept = Instant::now();
                // One consumer does this for all.
                let swept = sweep.sweep_queue(&mut plans, queue, SWEEP_EVERY).await;
                if let Err(error) = swept {
                    debug!(error = %format!("{error:#}"), "could not look for items that have ended unnoticed");
                }
            }
            tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        }
    }
}
