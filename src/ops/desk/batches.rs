//! Batches and stages by their names.

use super::connection::Desk;
use super::refusal::Misuse;
use crate::queue::control::BatchState;
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
