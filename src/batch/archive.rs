//! What of a batch is kept in the bucket: its plan, from which it can be restored when Redis is gone, and its lists.

use batch_plan::{Lists, Resolved};

use super::rows::{folder, write_rows};
use crate::storage::Storage;

fn plan_key(batch: &str) -> String {
    format!("{}plan.json", folder(batch))
}

/// Stores a plan with its lists.
pub(crate) async fn keep_plan(
    storage: &Storage,
    plan: &Resolved,
    lists: &Lists,
) -> anyhow::Result<()> {
    for (stage, list) in lists.iter() {
        let stage = &plan.stages()[stage].name;
        write_rows(storage, plan.name(), stage, list).await?;
    }
    keep_changed_plan(storage, plan).await
}

/// Stores a plan whose lists are there.
pub(crate) async fn keep_changed_plan(storage: &Storage, plan: &Resolved) -> anyhow::Result<()> {
    let json = plan.to_json()?.into_bytes();
    storage.upload(&plan_key(plan.name()), json.into()).await?;
    Ok(())
}

/// The plan of a batch as it was kept.
pub(crate) async fn kept_plan(storage: &Storage, batch: &str) -> anyhow::Result<Resolved> {
    let json = storage.download(&plan_key(batch)).await?;
    Ok(Resolved::from_json(str::from_utf8(&json)?)?)
}

/// Removes all that is kept of a batch, and gives how many objects that were.
pub(crate) async fn forget_plan(storage: &Storage, batch: &str) -> anyhow::Result<usize> {
    let mut listing = storage.listing(&folder(batch));
    let mut keys = Vec::new();
    while let Some(page) = listing.next_page().await? {
        keys.extend(page.into_iter().map(|found| found.key));
    }
    let count = keys.len();
    storage.remove(keys).await;
    Ok(count)
}
