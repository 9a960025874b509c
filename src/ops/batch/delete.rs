//! Batches that are forgotten.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{Consent, Desk, DeskArguments, Misuse, Refused, consent, counted, known};
use crate::batch::forget_plan;
use crate::queue::control::BatchState;

#[derive(Args)]
pub(crate) struct DeleteArguments {
    batch: String,
    /// Remove what is kept of it in the bucket, too: its plan and its lists. It cannot be restored then.
    #[arg(long)]
    with_plan: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Removes a batch of which nothing is under way.
pub(super) async fn delete(arguments: &DeleteArguments) -> anyhow::Result<()> {
    let (desk, storage) = arguments.desk.open_with_bucket()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    refuse_if_busy(name, &state)?;
    let question = format!("Forget the batch {name} and all that is known of its items?");
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would be deleted: {name}")?;
        return Ok(());
    }
    let mut text = "deleted".to_owned();
    if arguments.with_plan {
        let missing = || Misuse("--with-plan needs the bucket: set STORAGE_BUCKET".to_owned());
        let removed = forget_plan(&storage.ok_or_else(missing)?, name).await?;
        text += &format!(", with {} of the bucket", counted(removed as u64, "object"));
    }
    forget(&desk, name, &state).await?;
    writeln!(io::stdout(), "{name}: {text}")?;
    Ok(())
}

/// Removes a batch of which nothing is under way, without asking.
pub(in super::super) async fn forget(
    desk: &Desk,
    name: &str,
    state: &BatchState,
) -> anyhow::Result<()> {
    refuse_if_busy(name, state)?;
    desk.admin.delete_batch(name).await?;
    desk.record("batch delete", name, "deleted").await
}

fn refuse_if_busy(name: &str, state: &BatchState) -> Result<(), Refused> {
    let out = state.sum(|stage| stage.out);
    if out == 0 {
        return Ok(());
    }
    Err(Refused(format!(
        "{} of {name} under way; redis-consumer batch cancel {name} ends what runs",
        counted(out, "item")
    )))
}
