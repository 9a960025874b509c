//! What commands that change batches have in common.

use std::collections::BTreeSet;

use clap::Args;

use super::super::desk::{Desk, DeskArguments, Refused};
use crate::queue::control::BatchState;

#[derive(Args)]
pub(crate) struct NameArguments {
    pub(super) batch: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) desk: DeskArguments,
}

/// Changes the state of a batch, unless it has ended meanwhile.
pub(super) async fn set_state(desk: &Desk, name: &str, wanted: &str) -> anyhow::Result<()> {
    let state = desk.admin.set_batch_state(name, wanted).await?;
    match state.as_deref() {
        Some(state) if state == wanted => Ok(()),
        Some(state) => Err(Refused(format!("batch {name} is {state} meanwhile")).into()),
        None => Err(Refused(format!("batch {name} was deleted meanwhile")).into()),
    }
}

/// Takes what waits of a batch, or of one of its stages, out of the queues, and gives how many jobs that were.
pub(super) async fn take_back(
    desk: &Desk,
    name: &str,
    state: &BatchState,
    stage: Option<usize>,
) -> anyhow::Result<u64> {
    let queues = match stage {
        Some(stage) => BTreeSet::from([state.stages[stage].queue.as_str()]),
        None => state.queues(),
    };
    let mut taken = 0;
    for queue in queues {
        let of = Some((name, stage));
        taken += desk.admin.take_back(of, queue.as_bytes()).await?;
    }
    Ok(taken)
}
