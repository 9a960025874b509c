//! What came of the results of a batch's items.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::super::super::desk::{counted, grouped, listed};
use crate::queue::JobKey;
use crate::untrusted;

/// How many results were fetched, and how many were not, and why.
#[derive(Debug, Default)]
pub(super) struct Tally {
    fetched: u64,
    there: u64,
    /// Items that have left no result.
    without: u64,
    failed: u64,
}

/// What came of one item.
pub(super) enum Fetched {
    New,
    Known,
    Nothing,
}

impl Tally {
    /// Counts the result of an item, and says why it could not be fetched.
    pub(super) fn count(
        &mut self,
        job: &JobKey,
        fetched: anyhow::Result<Fetched>,
    ) -> io::Result<()> {
        match fetched {
            Ok(Fetched::New) => self.fetched += 1,
            Ok(Fetched::Known) => self.there += 1,
            Ok(Fetched::Nothing) => self.without += 1,
            Err(error) => {
                self.failed += 1;
                let line = || format!("no result of {job}: {error:#}");
                if let Some(line) = listed(self.failed, line) {
                    writeln!(io::stderr(), "{}", untrusted::message(line))?;
                }
            }
        }
        Ok(())
    }

    /// Items whose results were looked for.
    pub(super) fn handled(&self) -> u64 {
        self.fetched + self.there + self.without + self.failed
    }

    /// Results that could not be fetched.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// The numbers, for programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "fetched": self.fetched, "already_there": self.there, "without": self.without,
            "failed": self.failed,
        })
    }

    /// The numbers, in a few words.
    pub(super) fn summary(&self) -> String {
        let mut text = format!("{} fetched", counted(self.fetched, "result"));
        for (count, what) in [
            (self.there, "there already"),
            (self.without, "without a result"),
            (self.failed, "not fetched"),
        ] {
            if count > 0 {
                text += &format!(", {} {what}", grouped(count));
            }
        }
        text
    }
}
