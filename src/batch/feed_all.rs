//! All batches of a Redis, fed by one process: for fleets whose consumers know no batches.

use std::time::Duration;

use tracing::error;

use super::feeder::{Feeder, Round};
use super::plans::Plans;
use super::sweep::Sweep;
use crate::queue::Admin;
use crate::storage::Storage;

/// Between two looks at all batches.
const PAUSE: Duration = Duration::from_secs(1);
/// Looks between two at items that may have ended unnoticed.
const SWEEP_EVERY: u64 = 5;

/// What feeds all batches.
pub(crate) struct FeedAll {
    plans: Plans,
    feeder: Feeder,
    sweep: Sweep,
}

impl FeedAll {
    /// Lists are in this bucket, if there is one.
    pub(crate) fn new(admin: Admin, storage: Option<Storage>) -> Self {
        Self {
            plans: Plans::new(admin, storage),
            feeder: Feeder::default(),
            sweep: Sweep::default(),
        }
    }

    /// Feeds for as long as it is polled. What hinders it is logged once.
    pub(crate) async fn run(mut self) {
        let mut is_hindered = false;
        for look in 0.. {
            let looked = self.look(look % SWEEP_EVERY == 0).await;
            if let Err(error) = &looked
                && !is_hindered
            {
                let error = format!("{error:#}");
                error!(error, "batches cannot be fed; the next look goes on");
            }
            is_hindered = looked.is_err();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks at all batches once.
    pub(crate) async fn look(&mut self, is_sweep: bool) -> anyhow::Result<Round> {
        let names = self.plans.admin.batches().await?;
        if is_sweep {
            for name in &names {
                self.sweep.look(&mut self.plans, name, None).await?;
            }
        }
        Ok(self.feeder.feed_each(&mut self.plans, &names).await)
    }
}
