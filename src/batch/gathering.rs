//! What the job of an item gets that gathers others: a list of them with their results.

use anyhow::Context as _;
use batch_plan::{Expected, ItemState, Manifest, ManifestItem};

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
    let (mut jobs, mut expected) = (Vec::new(), Vec::new());
    for &item in items {
        jobs.push(loaded.rendered(stage, item).await?);
        expected.push(loaded.expected(stage, item).await?.1);
    }
    let name = loaded.plan.name();
    let done = admin.have_mark(name, stage, batch::DONE, items).await?;
    let keys: Vec<_> = jobs
        .iter()
        .map(|job| JobKey(job.key.clone().into_bytes()))
        .collect();
    let results = admin.results(&keys).await?;
    let left = results.into_iter().zip(&expected).zip(&keys);
    let left = left.map(|((told, expected), key)| result_of(told, expected, key));
    let found = jobs.into_iter().zip(done).zip(left);
    let item = |((job, is_done), left): ((_, bool), Option<String>)| {
        let batch_plan::Job { id, input, .. } = job;
        ManifestItem {
            id,
            input: (!input.is_empty()).then_some(input),
            result: left.filter(|_| is_done),
            state: match is_done {
                true => ItemState::Done,
                false => ItemState::Failed,
            },
        }
    };
    Ok(found.map(item).collect())
}

/// Where the result of an item that is done is, if it has one: as its job says, or, if that has gone as those do that were done
/// long ago, as the plan expects it.
fn result_of(told: Option<String>, expected: &[Expected], job: &JobKey) -> Option<String> {
    match (told, expected.first()) {
        (Some(key), _) => (!key.is_empty()).then_some(key),
        (None, None | Some(Expected::Result)) => Some(job.usual_result()),
        (None, Some(Expected::Key { key, .. })) => Some(key.clone()),
        (None, Some(Expected::Prefix { .. })) => None,
    }
}
