//! Limits and the like of a batch that runs, changed.

use std::io::{self, Write as _};

use batch_plan::Resolved;
use clap::Args;

use super::super::desk::{Desk, known, stage_of};
use super::change::NameArguments;
use crate::storage::Storage;
use crate::untrusted;

#[derive(Args)]
pub(crate) struct SetArguments {
    #[command(flatten)]
    of: NameArguments,
    /// The stage.
    #[arg(long)]
    stage: String,
    /// What to change, as it stands in the plan: `limit.at_once=200`, `timeout=5m`, `stop_after.failed=10%`.
    #[arg(value_name = "PATH=VALUE", required = true, value_parser = parse_change)]
    changes: Vec<(String, String)>,
}

/// Changes a batch.
pub(super) async fn set(arguments: &SetArguments) -> anyhow::Result<()> {
    let SetArguments { of, stage, changes } = arguments;
    let (desk, storage) = of.desk.open_with_bucket()?;
    let state = known(&desk, &of.batch).await?;
    stage_of(&state, stage)?;
    let operator = desk.operator(storage.clone());
    let (plan, lines) = operator.with_limits(&of.batch, stage, changes).await?;
    if lines.is_empty() {
        writeln!(io::stdout(), "{}: nothing differs", of.batch)?;
        return Ok(());
    }
    let shown = untrusted::message(&lines);
    if of.dry_run {
        writeln!(io::stdout(), "would be changed: {shown}")?;
        return Ok(());
    }
    update(&desk, storage.as_ref(), &plan, &lines).await?;
    writeln!(io::stdout(), "{}: changed {shown}", of.batch)?;
    Ok(())
}

/// Writes a plan of a batch that runs anew; what differs is recorded.
pub(in super::super) async fn update(
    desk: &Desk,
    storage: Option<&Storage>,
    plan: &Resolved,
    what: &str,
) -> anyhow::Result<()> {
    let operator = desk.operator(storage.cloned());
    if let Some(error) = operator.update(plan, what).await? {
        let error = untrusted::message(format!("{error:#}"));
        writeln!(
            io::stderr(),
            "the change is not kept in the bucket, from which `batch restore` takes plans: {error}"
        )?;
    }
    Ok(())
}

fn parse_change(text: &str) -> Result<(String, String), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not PATH=VALUE"))?;
    Ok((path.to_owned(), value.to_owned()))
}
