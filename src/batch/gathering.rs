//! What the job of an item gets that gathers others: a list of them with their results.

use anyhow::Context as _;
use batch_plan::{ItemState, Manifest, ManifestItem};

use super::loaded::Loaded;
use crate::queue::Admin;
use crate::wire::{JobKey, batch};

/// Stores the list of an item's children, if its stage wants one. The same each time.
pub(super) async fn gather(
    admin: &Admin,
    loaded: &mut Loaded,
    stage: usize,
    item: u64,
) -> anyhow::Result<()> {
    if !loaded.plan.stages()[stage].work.manifest {
        return Ok(());
    }
    let row = loaded.row(stage, item).await?;
    let mut items = Vec::new();
    for (below, children) in loaded.plan.children(stage, item, row.as_ref()) {
        items.extend(results_of(admin, loaded, below, &children).await?);
    }
    let key = loaded.manifest_key(stage, item).await?;
    let text = Manifest::new(items).to_json();
    let storage = loaded.storage();
    let storage = storage.context("lists of children need a bucket: set STORAGE_BUCKET")?;
    storage.upload(&key, text.into_bytes().into()).await?;
    Ok(())
}

/// What items of a stage have left.
async fn results_of(
    admin: &Admin,
    loaded: &mut Loaded,
    stage: usize,
    items: &[u64],
) -> anyhow::Result<Vec<ManifestItem>> {
    let mut jobs = Vec::new();
    for &item in items {
        jobs.push(loaded.rendered(stage, item).await?);
    }
    let name = loaded.plan.name();
    let done = admin.have_mark(name, stage, batch::DONE, items).await?;
    let keys: Vec<_> = jobs
        .iter()
        .map(|job| JobKey(job.key.clone().into_bytes()))
        .collect();
    let results = admin.results(&keys).await?;
    let found = jobs.into_iter().zip(&keys).zip(done).zip(results);
    let item = |(((job, key), is_done), result): (((_, &JobKey), bool), Option<String>)| {
        let batch_plan::Job { id, input, .. } = job;
        ManifestItem {
            id,
            input: (!input.is_empty()).then_some(input),
            // The hash of a job that was done long ago has gone; its result is where all results are.
            result: is_done.then(|| result.unwrap_or_else(|| key.usual_result())),
            state: match is_done {
                true => ItemState::Done,
                false => ItemState::Failed,
            },
        }
    };
    Ok(found.map(item).collect())
}
