//! What came of a command that changes many jobs.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::json;

use crate::exit_code;
use crate::queue::JobKey;

/// Exceptions that are listed for people; programs get all.
const LISTED: usize = 20;

/// What came of a command that changes many jobs.
pub(crate) struct Report {
    verb: &'static str,
    json: bool,
    matched: u64,
    changed: u64,
    failed: u64,
}

impl Report {
    /// An empty one; the verb says what was done to jobs, such as `requeued`.
    pub(crate) fn new(verb: &'static str, json: bool) -> Self {
        Self {
            verb,
            json,
            matched: 0,
            changed: 0,
            failed: 0,
        }
    }

    /// Counts a job; the obstacle is why it was not changed.
    pub(crate) fn count(&mut self, job: &JobKey, obstacle: Option<&str>) -> io::Result<()> {
        self.matched += 1;
        let Some(why) = obstacle else {
            self.changed += 1;
            return Ok(());
        };
        self.failed += 1;
        if self.json {
            let line = json!({ "event": "exception", "key": job.to_json(), "why": why });
            return writeln!(io::stdout(), "{line}");
        }
        match self.failed {
            failed if failed <= LISTED as u64 => {
                writeln!(io::stdout(), "not {}: {job}: {why}", self.verb)
            }
            failed if failed == LISTED as u64 + 1 => writeln!(io::stdout(), "…"),
            _ => Ok(()),
        }
    }

    /// The numbers, in a few words.
    pub(crate) fn summary(&self) -> String {
        let Self {
            matched,
            changed,
            failed,
            verb,
            ..
        } = self;
        match failed {
            0 => format!("{changed} {verb}"),
            _ => format!("{changed} of {matched} {verb}, {failed} not"),
        }
    }

    /// Prints the numbers, and gives the exit status: 4 if some jobs could not be changed.
    pub(crate) fn end(&self, is_dry: bool) -> io::Result<ExitCode> {
        let mut out = io::stdout();
        if self.json {
            let line = json!({
                "event": "ended",
                "verb": self.verb,
                "dry_run": is_dry,
                "matched": self.matched,
                "changed": self.changed,
                "skipped": 0,
                "failed": self.failed,
            });
            writeln!(out, "{line}")?;
        } else if is_dry {
            writeln!(out, "would be: {}", self.summary())?;
        } else {
            writeln!(out, "{}", self.summary())?;
        }
        Ok(ExitCode::from(if self.failed > 0 {
            exit_code::FOUND
        } else {
            exit_code::SUCCESS
        }))
    }
}
