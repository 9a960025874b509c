//! Items that have ended without anybody counting them: worked by consumers that know no batches, or vanished.

use std::collections::HashMap;
use std::time::Duration;

use tracing::info;

use super::plans::Plans;
use crate::queue::control::BatchState;
use crate::wire::{JobKey, batch};

/// Items that are looked at in one go.
const LOOKED: usize = 1000;
const CHUNK: usize = 200;

/// Where the next look at a stage begins.
#[derive(Default)]
pub(crate) struct Sweep(HashMap<(String, usize), u64>);

impl Sweep {
    /// Looks at some items of a queue that are under way, unless somebody has done so within this time.
    pub(super) async fn sweep_queue(
        &mut self,
        plans: &mut Plans,
        queue: &str,
        every: Duration,
    ) -> anyhow::Result<()> {
        if !plans.admin.take_items_turn(queue, every).await? {
            return Ok(());
        }
        let names = plans.admin.all_feedable(queue).await?;
        self.0.retain(|(name, _), _| names.contains(name));
        for name in names {
            self.look(plans, &name, Some(queue)).await?;
        }
        Ok(())
    }

    /// Looks at some items of each stage of a batch, or of those that have this queue.
    pub(crate) async fn look(
        &mut self,
        plans: &mut Plans,
        name: &str,
        queue: Option<&str>,
    ) -> anyhow::Result<()> {
        let state = plans.admin.batch(name).await?.unwrap_or_default();
        for (stage, is) in state.stages.iter().enumerate() {
            if is.out > 0 && queue.is_none_or(|queue| queue == is.queue) {
                self.look_at_stage(plans, name, &state, stage).await?;
            }
        }
        Ok(())
    }

    async fn look_at_stage(
        &mut self,
        plans: &mut Plans,
        name: &str,
        state: &BatchState,
        stage: usize,
    ) -> anyhow::Result<()> {
        let admin = plans.admin.clone();
        let at = self.0.entry((name.to_owned(), stage)).or_default();
        let (items, next) = admin.marked(name, stage, batch::OUT, *at, LOOKED).await?;
        *at = next.unwrap_or(0);
        let loaded = plans.of(name, state).await?;
        for chunk in items.chunks(CHUNK) {
            let mut jobs = Vec::new();
            for &item in chunk {
                let (_, key) = loaded.identity(stage, item).await?;
                jobs.push((item, JobKey(key.into_bytes())));
            }
            let (ended, vanished) = admin.count_ends(name, stage, &jobs).await?;
            if ended + vanished > 0 {
                info!(
                    batch = name,
                    stage,
                    ended,
                    vanished,
                    "counted items that had ended unnoticed; those whose jobs have vanished are fed again"
                );
            }
        }
        Ok(())
    }
}
