//! What can be asked for whatever is submitted.

use std::path::PathBuf;

use clap::Args;

use super::super::desk::{Desk, DeskArguments, Screen, Span};

/// What can be asked for whatever is submitted.
#[derive(Args)]
pub(super) struct Options {
    /// Wait until all jobs have ended.
    #[arg(long)]
    pub(super) wait: bool,
    /// Wait no longer than this.
    #[arg(long, value_name = "TIME", requires = "wait")]
    pub(super) timeout: Option<Span>,
    /// Wait, and unpack each result into a folder of its own in this one.
    #[arg(long, value_name = "FOLDER")]
    pub(super) download: Option<PathBuf>,
    /// Do everything but the changes, and report the same.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// One JSON object for each job, and one at the end.
    #[arg(long)]
    pub(super) json: bool,
    /// No progress.
    #[arg(long)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) desk: DeskArguments,
}

impl Options {
    /// Whether what was submitted is followed to its end.
    pub(super) fn follows(&self) -> bool {
        self.wait || self.download.is_some()
    }

    pub(super) fn screen(&self, desk: &Desk) -> Screen {
        Screen::of(self.json, self.quiet, &desk.term)
    }
}
