//! What commands that change batches have in common.

use clap::Args;

use super::super::desk::DeskArguments;

#[derive(Args)]
pub(crate) struct NameArguments {
    pub(super) batch: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) desk: DeskArguments,
}
