//! Turns items of batches into jobs, as long as there is room in their queues.

use std::collections::HashSet;

use tracing::warn;

use super::memory::Memory;
use super::plans::Plans;
use super::stage_feed::StageFeed;
use crate::wire::batch;

/// Feeds batches.
#[derive(Default)]
pub(crate) struct Feeder {
    memory: Memory,
    /// Which of many batches are looked at next.
    turn: isize,
    /// Batches that cannot be fed, which was said once.
    told: HashSet<String>,
}

/// What came of one look at some batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// Items that became jobs, or need none any more.
    pub(crate) handled: u64,
    /// Batches that could not be fed.
    pub(crate) refused: u64,
}

impl Feeder {
    /// Feeds batches that have something for a queue, all of their stages; nothing if there are none.
    pub(super) async fn feed_queue(
        &mut self,
        plans: &mut Plans,
        queue: &str,
    ) -> anyhow::Result<Option<Round>> {
        let (names, next) = plans.admin.feedable(queue, self.turn).await?;
        self.turn = next;
        if names.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.feed_each(plans, &names).await))
    }

    /// Feeds batches, one after the other. What hinders one of them is logged once, and the others go on.
    pub(crate) async fn feed_each(&mut self, plans: &mut Plans, names: &[String]) -> Round {
        let mut round = Round::default();
        for name in names {
            match self.feed(plans, name).await {
                Ok(handled) => {
                    self.told.remove(name);
                    round.handled += handled;
                }
                Err(error) => {
                    round.refused += 1;
                    if self.told.insert(name.clone()) {
                        warn!(batch = name, error = %format!("{error:#}"), "a batch cannot be fed");
                    }
                }
            }
        }
        round
    }

    /// Feeds all stages of a batch, and gives how many items were handled.
    pub(crate) async fn feed(&mut self, plans: &mut Plans, name: &str) -> anyhow::Result<u64> {
        let Some(state) = plans.admin.batch(name).await? else {
            return Ok(0);
        };
        if state.state != batch::RUNNING || self.memory.is_full(&plans.admin).await? {
            return Ok(0);
        }
        let admin = plans.admin.clone();
        let loaded = plans.of(name, &state).await?;
        let mut handled = 0;
        for (stage, is) in state.stages.iter().enumerate() {
            if is.held.is_some() || is.is_over() {
                continue;
            }
            let mut feed = StageFeed {
                admin: &admin,
                loaded: &mut *loaded,
                stage,
                is,
            };
            handled += feed.run(&state).await?;
        }
        Ok(handled)
    }
}
