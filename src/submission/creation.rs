//! Batches of plans, written to Redis.

use super::prepared::Prepared;
use crate::batch::new_batch;
use crate::figures::counted;
use crate::queue::Admin;

/// Writes the batch of a plan, and records it. Gives its items and stages; nothing if there is a batch of this name.
pub(crate) async fn create(
    admin: &Admin,
    prepared: &Prepared,
    (who, is_paused): (&str, bool),
) -> anyhow::Result<Option<(u64, u64)>> {
    let batch = new_batch(&prepared.plan, who, is_paused)?;
    if admin.create_batch(&batch).await?.is_some() {
        return Ok(None);
    }
    let items = batch.stages.iter().filter_map(|stage| stage.total).sum();
    let text = counted(items, "item");
    admin
        .record(who, "submit --plan", &batch.name, &text)
        .await?;
    Ok(Some((items, batch.stages.len() as u64)))
}
