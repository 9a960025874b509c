//! Lists that are read only when the stages are done that write them.

use std::time::Duration;

use batch_plan::{Lists, Resolved};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::archive::keep_plan;
use super::creation::new_batch;
use super::loaded::Loaded;
use super::supply::Bucket;
use crate::queue::Admin;
use crate::wire::batch;

/// How long others leave it to the one who reads.
const TURN: Duration = Duration::from_secs(300);

/// Reads the list of a stage whose barrier has opened, unless somebody else does.
pub(super) async fn read_list(
    admin: &Admin,
    loaded: &Loaded,
    stage: usize,
    revision: u64,
) -> anyhow::Result<()> {
    let name = loaded.plan.name();
    let is_late = loaded.plan.stages()[stage].work.late;
    if !is_late || !admin.take_list_turn(name, stage, TURN).await? {
        return Ok(());
    }
    let opened = open(admin, loaded, stage, revision).await;
    admin.end_list_turn(name, stage).await?;
    opened
}

/// Reads the list and opens the stage with it. A list that cannot be read holds the stage.
async fn open(admin: &Admin, loaded: &Loaded, stage: usize, revision: u64) -> anyhow::Result<()> {
    let name = loaded.plan.name();
    let (plan, lists) = match read(loaded, stage).await {
        Ok(read) => read,
        Err(error) => {
            warn!(batch = name, stage, error = %format!("{error:#}"), "a list cannot be read");
            let held = format!("its list cannot be read: {error:#}");
            let field = (batch::stage_field(stage, batch::HELD), held);
            return Ok(admin.set_batch(name, &[field]).await?);
        }
    };
    if let Some(storage) = loaded.storage() {
        keep_plan(storage, &plan, &lists).await?;
    }
    let stages: Vec<_> = (stage..plan.stages().len())
        .filter(|at| loaded.plan.total(*at).is_none() && plan.total(*at).is_some())
        .collect();
    let new = new_batch(&plan, "", false)?;
    let is_open = admin.open_late(&new, &stages, revision).await?;
    info!(batch = name, stage, is_open, "read a list");
    Ok(())
}

async fn read(loaded: &Loaded, stage: usize) -> anyhow::Result<(Resolved, Lists)> {
    let mut plan = Resolved::clone(&loaded.plan);
    let mut supply = Bucket {
        storage: loaded.storage().cloned(),
        handle: Handle::current(),
    };
    let read = tokio::task::spawn_blocking(move || {
        let lists = plan.read_late(stage, &mut supply)?;
        anyhow::Ok((plan, lists))
    });
    read.await?
}
