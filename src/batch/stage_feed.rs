//! Turns items of one stage into jobs.
//!
//! Many consumers do this at once without speaking to each other: a script compares where each believes the stage to be, and makes
//! a chunk of jobs or none. So nothing is lost with a consumer, and nothing is made twice.

use super::advance::is_open;
use super::gathering::gather;
use super::late::read_list;
use super::loaded::Loaded;
use crate::queue::Admin;
use crate::queue::control::{BatchState, Chunk, Fed, NewItem, Origin, StageState};
use crate::wire::{batch, millis_since_1970};

/// Items of one script.
const CHUNK: usize = 200;
/// Chunks of one stage, until others have their turn.
const TURN: usize = 50;

/// A stage that is fed.
pub(super) struct StageFeed<'a> {
    pub(super) admin: &'a Admin,
    pub(super) loaded: &'a mut Loaded,
    pub(super) stage: usize,
    /// Where it stands.
    pub(super) is: &'a StageState,
}

impl StageFeed<'_> {
    /// Feeds what may be fed, and gives how many items were handled.
    pub(super) async fn run(&mut self, state: &BatchState) -> anyhow::Result<u64> {
        let mut handled = 0;
        // Items that are fed once more wait, too: those below may be worked once more as well.
        if !is_open(&self.loaded.plan, state, self.stage) {
            return Ok(handled);
        }
        if self.is.again > 0 {
            handled += self.feed_marked(Origin::Again, batch::AGAIN).await?;
        }
        if !self.is.is_started {
            return Ok(handled);
        }
        if !self.is.is_read {
            read_list(self.admin, self.loaded, self.stage, state.revision).await?;
            return Ok(handled);
        }
        if !self.loaded.plan.is_gathered(self.stage) {
            handled += self.feed_positions().await?;
        } else if self.is.ready > 0 {
            handled += self.feed_marked(Origin::Ready, batch::READY).await?;
        }
        Ok(handled)
    }

    /// Feeds items in the order of their positions.
    async fn feed_positions(&mut self) -> anyhow::Result<u64> {
        let (mut at, mut handled) = (self.is.next, 0);
        for _ in 0..TURN {
            let end = self.is.total.min(at + CHUNK as u64);
            if at >= end {
                break;
            }
            let mut items = Vec::new();
            for position in at..end {
                let item = self.loaded.plan.item_at(self.stage, position);
                let item = item.unwrap_or(position);
                items.push(self.loaded.job(self.stage, item, position).await?);
            }
            match self.send(Origin::Position(at, end), items).await? {
                Fed::Made { jobs, passed } => {
                    handled += jobs + passed;
                    // Where the room has ended, others find the position.
                    if jobs + passed < end - at {
                        break;
                    }
                    at = end;
                }
                Fed::Moved(next) => at = next,
                Fed::Full | Fed::Held => break,
            }
        }
        Ok(handled)
    }

    /// Feeds items that have a mark.
    async fn feed_marked(&mut self, origin: Origin, mark: &str) -> anyhow::Result<u64> {
        let (mut next, mut handled) = (Some(0), 0);
        for _ in 0..TURN {
            let Some(from) = next else { break };
            let name = self.loaded.plan.name();
            let marked = self.admin.marked(name, self.stage, mark, from, CHUNK);
            let (marked, after) = marked.await?;
            next = after;
            if marked.is_empty() {
                continue;
            }
            let mut items = Vec::new();
            for item in marked {
                gather(self.admin, self.loaded, self.stage, item).await?;
                items.push(self.loaded.job(self.stage, item, 0).await?);
            }
            let wanted = items.len() as u64;
            match self.send(origin, items).await? {
                Fed::Made { jobs, passed } => {
                    handled += jobs + passed;
                    if jobs + passed < wanted {
                        break;
                    }
                }
                Fed::Moved(_) | Fed::Full | Fed::Held => break,
            }
        }
        Ok(handled)
    }

    async fn send(&self, origin: Origin, items: Vec<NewItem>) -> anyhow::Result<Fed> {
        let of = &self.loaded.plan.stages()[self.stage];
        let elapsed = self.is.began.map_or(0, |began| {
            (millis_since_1970() / 1000).saturating_sub(began)
        });
        let chunk = Chunk {
            batch: self.loaded.plan.name(),
            stage: self.stage,
            queue: &of.queue,
            origin,
            longest_queue: of.work.limit.queue,
            at_once: of.work.limit.at(elapsed),
            to_front: of.work.first,
            items,
        };
        Ok(self.admin.feed(&chunk).await?)
    }
}
