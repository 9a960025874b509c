//! Whether the operator wants what a command is about to do.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;

use crate::refusal::Misuse;
use crate::untrusted;

#[derive(Args)]
pub(crate) struct Consent {
    /// Do everything but the changes, and report the same.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// Asks on a terminal; elsewhere the command line has to say yes. False if the answer is no.
pub(crate) fn consent(arguments: &Consent, question: &str) -> anyhow::Result<bool> {
    if arguments.yes || arguments.dry_run {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        let text =
            format!("{question} Nobody can be asked here: add --yes, or --dry-run to see it");
        return Err(Misuse(text).into());
    }
    let mut screen = io::stderr();
    write!(screen, "{} [y/N] ", untrusted::message(question))?;
    screen.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
