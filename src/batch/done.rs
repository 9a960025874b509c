//! Items of a batch that are done.

use super::loaded::Loaded;
use crate::queue::Admin;
use crate::queue::control::BatchState;
use crate::storage::Storage;
use crate::wire::{JobKey, batch};

/// An item that is done.
pub(crate) struct DoneItem {
    /// Its identity in the batch.
    pub(crate) id: String,
    pub(crate) key: JobKey,
}

/// Items of a batch that are done, from the front, so many at most. Their jobs may have vanished.
pub(crate) async fn done_items(
    (admin, storage): (&Admin, Option<Storage>),
    (name, state): (&str, &BatchState),
    most: usize,
) -> anyhow::Result<Vec<DoneItem>> {
    let mut loaded = Loaded::fetch(admin, storage, name, state).await?;
    let mut found = Vec::new();
    for stage in 0..state.stages.len() {
        let mut from = Some(0);
        while let Some(at) = from.filter(|_| found.len() < most) {
            let left = most - found.len();
            let (items, next) = admin.marked(name, stage, batch::DONE, at, left).await?;
            for item in items.into_iter().take(left) {
                let job = loaded.rendered(stage, item).await?;
                found.push(DoneItem {
                    id: job.id,
                    key: JobKey(job.key.into_bytes()),
                });
            }
            from = next;
        }
    }
    Ok(found)
}
