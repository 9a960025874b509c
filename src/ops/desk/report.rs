//! What came of a command that changes many jobs.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::connection::Desk;
use super::table::print_json;
use crate::exit_code;
use crate::queue::JobKey;
use crate::queue::control::{Changes, exception_to_json};

/// Exceptions that are listed for people; programs get all.
const LISTED: u64 = 20;

/// What came of a command that changes many jobs.
pub(crate) struct Report {
    json: bool,
    is_dry: bool,
    changes: Changes,
}

impl Report {
    /// An empty one; the verb says what was done to jobs, such as `requeued`.
    pub(crate) fn new(verb: &'static str, json: bool, is_dry: bool) -> Self {
        Self {
            json,
            is_dry,
            changes: Changes::new(verb),
        }
    }

    /// Counts what was changed besides.
    pub(crate) fn add(&mut self, changed: u64) {
        self.changes.changed += changed;
    }

    /// Counts a job; the obstacle is why it was not changed.
    pub(crate) fn count(&mut self, job: &JobKey, obstacle: Option<&str>) -> io::Result<()> {
        let Some(why) = obstacle else {
            self.changes.changed += 1;
            return Ok(());
        };
        self.changes.failed += 1;
        if self.json {
            return print_json(&exception_to_json(job, why));
        }
        let verb = self.changes.verb;
        match listed(self.changes.failed, || format!("not {verb}: {job}: {why}")) {
            Some(line) => writeln!(io::stdout(), "{line}"),
            None => Ok(()),
        }
    }

    /// Records what was done: the command, and what it was about.
    pub(crate) async fn record(
        &self,
        desk: &Desk,
        command: &str,
        about: &str,
    ) -> anyhow::Result<()> {
        if self.is_dry {
            return Ok(());
        }
        desk.record(command, about, &self.changes.summary()).await
    }

    /// Prints the numbers, and gives the exit status: 4 if some jobs could not be changed.
    pub(crate) fn end(&self) -> anyhow::Result<ExitCode> {
        if self.json {
            print_json(&self.changes.to_json(self.is_dry))?;
        } else if self.is_dry {
            writeln!(io::stdout(), "would be: {}", self.changes.summary())?;
        } else {
            writeln!(io::stdout(), "{}", self.changes.summary())?;
        }
        Ok(ExitCode::from(if self.changes.failed > 0 {
            exit_code::FOUND
        } else {
            exit_code::SUCCESS
        }))
    }
}

/// The line for the exception of this number, if people are to see one: they see the first ones, and that there are more.
pub(crate) fn listed(number: u64, line: impl FnOnce() -> String) -> Option<String> {
    match number {
        ..=LISTED => Some(line()),
        number if number == LISTED + 1 => Some("…".to_owned()),
        _ => None,
    }
}
