//! What the job of an item gets that gathers others: a list of them with their results.

use batch_plan::{ItemState, Manifest, ManifestItem};

use super::loaded::Loaded;
use crate::queue::Admin;
use crate::storage::Storage;
use crate::wire::{JobKey, batch};

/// Stores the list of an item's children, if its stage wants one. The same each time.
pub(super) async fn gather(
    admin: &Admin,
    storage: &Storage,
    loaded: &mut Loaded,
    stage: usize,
    item: u64,
) -> anyhow::Result<()> {
    if !loaded.plan.stages()[stage].work.manifest {
        return Ok(());
    }
    let name = loaded.plan.name().to_owned();
    let row = loaded.row(Some(storage), stage, item).await?;
    let mut items = Vec::new();
    for (below, children) in loaded.plan.children(stage, item, row.as_ref()) {
        let mut jobs = Vec::new();
        for child in &children {
            let job = loaded.job(Some(storage), below, *child, 0).await?;
            let (id, key) = loaded.identity(Some(storage), below, *child).await?;
            jobs.push((id, JobKey(key.into_bytes()), job.input));
        }
        let done = admin
            .have_mark(&name, below, batch::DONE, &children)
            .await?;
        let keys: Vec<_> = jobs.iter().map(|(_, key, _)| key.clone()).collect();
        let results = admin.results(&keys).await?;
        for (((id, key, input), is_done), result) in jobs.into_iter().zip(done).zip(results) {
            // The hash of a job that was done long ago has gone; its result is where all results are.
            let result = result.unwrap_or_else(|| key.usual_result());
            items.push(ManifestItem {
                id,
                input: (!input.is_empty()).then_some(input),
                result: is_done.then_some(result),
                state: match is_done {
                    true => ItemState::Done,
                    false => ItemState::Failed,
                },
            });
        }
    }
    let key = loaded.manifest_key(storage, stage, item).await?;
    let text = Manifest::new(items).to_json();
    storage.upload(&key, text.into_bytes().into()).await?;
    Ok(())
}
