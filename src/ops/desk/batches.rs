//! Batches, stages and items by their names.

use std::io::{self, Write as _};

use super::connection::Desk;
pub(crate) use crate::batch::stage_of;
use crate::batch::{self, Loaded, Operator};
use crate::queue::control::BatchState;
use crate::refusal::Misuse;
use crate::storage::Storage;
use crate::untrusted;

/// A batch that has to be there.
pub(crate) async fn known(desk: &Desk, name: &str) -> anyhow::Result<BatchState> {
    batch::known(&desk.admin, name).await
}

impl Desk {
    /// The operator, where batches are changed.
    pub(crate) fn operator(&self, storage: Option<Storage>) -> Operator<'_> {
        Operator {
            admin: &self.admin,
            storage,
            who: &self.who,
        }
    }
}

/// Queues the first items of a batch that goes on.
pub(crate) async fn feed_first(
    desk: &Desk,
    storage: Option<Storage>,
    name: &str,
) -> anyhow::Result<()> {
    if let Err(error) = desk.operator(storage).feed_first(name).await {
        let error = untrusted::message(format!("{error:#}"));
        writeln!(
            io::stderr(),
            "no item was queued, which is left to consumers: {error}"
        )?;
    }
    Ok(())
}

/// Items that are compared with the identity that is looked for, in stages whose numbers do not follow from it.
const LOOKED: u64 = 100_000;

/// The number of an item of a stage with so many, by its identity, or by `#` and its number.
pub(crate) async fn item_of(
    loaded: &mut Loaded,
    (stage, total): (usize, u64),
    text: &str,
) -> anyhow::Result<u64> {
    let missing = || Misuse(format!("there is no item {}", untrusted::name(text)));
    if let Some(number) = text.strip_prefix('#') {
        let number = number.parse().ok().filter(|number| *number < total);
        return Ok(number.ok_or_else(missing)?);
    }
    // Of a grid, coordinates are the usual identity.
    let point: Option<Vec<u64>> = text.split('_').map(|part| part.parse().ok()).collect();
    let grid = loaded.plan.grid(stage);
    let likely = grid.and_then(|grid| grid.number(&point?));
    for number in likely.into_iter().chain(0..total.min(LOOKED)) {
        let (id, _) = loaded.identity(stage, number).await?;
        if id == text {
            return Ok(number);
        }
    }
    Err(missing().into())
}
