//! A batch that is followed, and what was last seen of it.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::super::super::desk::{Desk, known};
use super::super::counts::Counts;
use crate::batch::{Loaded, goes_on};
use crate::queue::control::BatchState;
use crate::storage::Storage;
use crate::wire::batch;

/// A batch, and what was last seen of it.
pub(super) struct Followed<'f> {
    pub(super) desk: &'f Desk,
    storage: Option<&'f Storage>,
    pub(super) name: &'f str,
    pub(super) state: BatchState,
    pub(super) loaded: Loaded,
    pub(super) counts: Counts,
}

/// Why it is not followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    /// Nothing comes of waiting.
    StandsStill,
    Late,
    Stopped,
}

impl<'f> Followed<'f> {
    pub(super) async fn begin(
        desk: &'f Desk,
        name: &'f str,
        storage: Option<&'f Storage>,
    ) -> anyhow::Result<Self> {
        let state = known(desk, name).await?;
        let loaded = Loaded::fetch(&desk.admin, storage.cloned(), name, &state).await?;
        let mut it = Self {
            desk,
            storage,
            name,
            state,
            loaded,
            counts: Counts::default(),
        };
        it.count().await?;
        Ok(it)
    }

    /// Looks where it stands, and gives whether that has changed.
    pub(super) async fn look(&mut self) -> anyhow::Result<bool> {
        let state = self.desk.admin.batch(self.name).await?;
        let state = state.context("the batch was deleted meanwhile")?;
        if state.revision != self.state.revision || state.digest != self.state.digest {
            let storage = self.storage.cloned();
            self.loaded = Loaded::fetch(&self.desk.admin, storage, self.name, &state).await?;
        }
        self.state = state;
        self.count().await
    }

    /// Counts items anew, and gives whether the numbers have changed.
    async fn count(&mut self) -> anyhow::Result<bool> {
        let mut out = BTreeMap::<&str, u64>::new();
        for stage in self.state.stages.iter().filter(|stage| stage.out > 0) {
            *out.entry(&stage.queue).or_default() += stage.out;
        }
        let mut running = 0;
        if !out.is_empty() {
            let queues: Vec<_> = out.keys().map(|queue| (*queue).to_owned()).collect();
            for overview in self.desk.admin.overviews_of(&queues, false).await? {
                // Jobs of others run in the same queue.
                let most = out.get(overview.queue.as_str()).copied();
                running += overview.running.min(most.unwrap_or(0));
            }
        }
        let (done, failed) = (self.state.sum(|it| it.done), self.state.sum(|it| it.failed));
        let total = self.state.sum(|it| it.total);
        let counts = Counts {
            done,
            failed,
            running,
            waiting: total.saturating_sub(done + failed + running),
            vanished: 0,
        };
        let has_changed = counts != self.counts;
        self.counts = counts;
        Ok(has_changed)
    }

    /// Whether there is nothing to wait for any more.
    pub(super) fn end(&self) -> Option<End> {
        if self.state.state == batch::FINISHED {
            return Some(End::Finished);
        }
        (!goes_on(&self.loaded.plan, &self.state)).then_some(End::StandsStill)
    }
}
