//! Items that wait for some that have failed.

use std::collections::BTreeMap;

use batch_plan::work::OnFailure;

use super::loaded::Loaded;
use crate::queue::Admin;
use crate::queue::control::BatchState;
use crate::storage::Storage;
use crate::wire::{JobKey, batch};

/// Failed items that are looked at, and those of them that are named for each item that waits.
const LOOKED: usize = 1000;
const NAMED: usize = 5;

/// An item that waits for some that have failed.
pub(crate) struct BlockedItem {
    pub(crate) stage: usize,
    /// Its identity in the batch.
    pub(crate) id: String,
    /// The first ones of those that it waits for, and how many there are.
    pub(crate) children: Vec<FailedItem>,
    pub(crate) count: usize,
}

/// An item that has failed.
pub(crate) struct FailedItem {
    pub(crate) stage: usize,
    pub(crate) id: String,
    pub(crate) key: JobKey,
}

/// Some items that wait for one of the first thousand failed items of each stage.
pub(crate) async fn blocked_items(
    (admin, storage): (&Admin, Option<Storage>),
    (name, state): (&str, &BatchState),
    most: usize,
) -> anyhow::Result<Vec<BlockedItem>> {
    let mut loaded = Loaded::fetch(admin, storage, name, state).await?;
    let mut waiting: BTreeMap<(usize, u64), Vec<(usize, u64)>> = BTreeMap::new();
    for (number, stage) in state.stages.iter().enumerate() {
        let holds = loaded.plan.stages()[number].work.on_failure == OnFailure::Wait;
        if stage.failed == 0 || !holds {
            continue;
        }
        let marked = admin.marked(name, number, batch::FAILED, 0, LOOKED);
        for item in marked.await?.0.into_iter().take(LOOKED) {
            // Only the row of an item tells its group, and it may be in a bucket that is away.
            let row = loaded.row(number, item).await.ok().flatten();
            for up in loaded.plan.ups(number, item, row.as_ref()) {
                let children = waiting.entry((up.stage, up.parent)).or_default();
                children.push((number, item));
            }
        }
    }
    let mut blocked = Vec::new();
    for ((stage, parent), children) in waiting.into_iter().take(most) {
        blocked.push(BlockedItem {
            stage,
            id: loaded.identity(stage, parent).await?.0,
            count: children.len(),
            children: named(&mut loaded, &children).await?,
        });
    }
    Ok(blocked)
}

async fn named(loaded: &mut Loaded, items: &[(usize, u64)]) -> anyhow::Result<Vec<FailedItem>> {
    let mut named = Vec::new();
    for &(stage, item) in items.iter().take(NAMED) {
        let (id, key) = loaded.identity(stage, item).await?;
        let key = JobKey(key.into_bytes());
        named.push(FailedItem { stage, id, key });
    }
    Ok(named)
}
