//! Batches, stages and items by their names.

use std::io::{self, Write as _};

use super::connection::Desk;
use super::refusal::Misuse;
use crate::batch::{Feeder, Loaded, Plans};
use crate::queue::control::BatchState;
use crate::storage::Storage;
use crate::untrusted;

/// A batch that has to be there.
pub(crate) async fn known(desk: &Desk, name: &str) -> anyhow::Result<BatchState> {
    let state = desk.admin.batch(name).await?;
    state.ok_or_else(|| {
        let name = untrusted::name(name);
        Misuse(format!(
            "there is no batch {name}; redis-consumer batch list shows them"
        ))
        .into()
    })
}

/// The number of a stage.
pub(crate) fn stage_of(state: &BatchState, name: &str) -> Result<usize, Misuse> {
    let found = state.stages.iter().position(|stage| stage.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = state.stages.iter().map(|it| it.name.as_str()).collect();
        Misuse(format!(
            "there is no stage {}, only {}",
            untrusted::name(name),
            names.join(", ")
        ))
    })
}

/// Queues the first items of a batch that goes on: they are what an autoscaler sees, where all consumers of its queues are at zero.
pub(crate) async fn feed_first(
    desk: &Desk,
    storage: Option<Storage>,
    name: &str,
) -> anyhow::Result<()> {
    let mut plans = Plans::new(desk.admin.clone(), storage);
    if let Err(error) = Feeder::default().feed(&mut plans, name).await {
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
