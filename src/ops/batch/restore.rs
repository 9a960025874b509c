//! Batches that are made anew from what is kept of them in the bucket.

use std::sync::Arc;

use clap::Args;

use super::super::desk::{DeskArguments, Misuse, Refused};
use super::super::repair::Restoration;
use crate::batch::{Loaded, kept_plan};
use crate::storage::{Storage, StorageSettings};
use crate::untrusted;

#[derive(Args)]
pub(crate) struct RestoreArguments {
    batch: String,
    /// Have it wait for `batch resume`.
    #[arg(long)]
    paused: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Makes a batch of which Redis knows nothing any more.
pub(super) async fn restore(arguments: &RestoreArguments) -> anyhow::Result<()> {
    let (desk, storage) = arguments.desk.open_with(StorageSettings::load)?;
    let storage = Storage::open(&storage)?;
    // A folder of the bucket stands for its batch.
    let name = arguments.batch.trim_end_matches('/');
    let name = name.rsplit('/').next().unwrap_or(name);
    if desk.admin.batch(name).await?.is_some() {
        let text = format!(
            "there is a batch {name}; redis-consumer repair --batch {name} compares it with the bucket"
        );
        return Err(Refused(text).into());
    }
    let plan = kept_plan(&storage, name).await.map_err(|error| {
        let name = untrusted::name(name);
        Misuse(format!(
            "the bucket has no plan of a batch {name}: {error:#}"
        ))
    })?;
    let lists = plan.inline_lists()?;
    let mut restoration = Restoration {
        desk: &desk,
        storage: &storage,
        loaded: Loaded::of(Arc::new(plan), lists, Some(storage.clone()))?,
        lists: None,
        is_paused: arguments.paused,
        with_orphans: false,
        how: "the command without --dry-run",
        json: false,
    };
    restoration.run(!arguments.dry_run).await?;
    Ok(())
}
