//! Batches that are forgotten.

use std::io::{self, Write as _};

use clap::Args;

use super::super::desk::{Consent, DeskArguments, Refused, consent, counted, known};

#[derive(Args)]
pub(crate) struct DeleteArguments {
    batch: String,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Removes a batch of which nothing is under way.
pub(super) async fn delete(arguments: &DeleteArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let name = &arguments.batch;
    let state = known(&desk, name).await?;
    let out = state.sum(|stage| stage.out);
    if out > 0 {
        let text = format!(
            "{} of {name} under way; redis-consumer batch cancel {name} ends what runs",
            counted(out, "item")
        );
        return Err(Refused(text).into());
    }
    let question = format!("Forget the batch {name} and all that is known of its items?");
    if !consent(&arguments.consent, &question)? {
        return Ok(());
    }
    if arguments.consent.dry_run {
        writeln!(io::stdout(), "would be deleted: {name}")?;
        return Ok(());
    }
    desk.admin.delete_batch(name).await?;
    desk.record("batch delete", name, "deleted").await?;
    writeln!(io::stdout(), "{name}: deleted")?;
    Ok(())
}
