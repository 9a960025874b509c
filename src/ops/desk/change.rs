//! What commands that change jobs have in common on the command line.

use clap::Args;

use super::connection::DeskArguments;
use super::consent::{Consent, consent};
use super::report::Report;

#[derive(Args)]
pub(crate) struct ChangeArguments {
    #[command(flatten)]
    consent: Consent,
    /// One JSON object for each exception, and one at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) desk: DeskArguments,
}

impl ChangeArguments {
    pub(crate) fn is_dry(&self) -> bool {
        self.consent.dry_run
    }

    /// Whether the operator wants it.
    pub(crate) fn has_consent(&self, question: &str) -> anyhow::Result<bool> {
        consent(&self.consent, question)
    }

    /// An empty report; the verb says what was done to jobs, such as `requeued`.
    pub(crate) fn report(&self, verb: &'static str) -> Report {
        Report::new(verb, self.json, self.is_dry())
    }
}
