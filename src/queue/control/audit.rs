//! A record of what operators have changed.

use std::collections::HashMap;

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{self, timestamp};

/// Entries that are kept, or a few more.
const KEPT: usize = 10_000;

/// What somebody has changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// When, as a time stamp.
    pub(crate) at: String,
    pub(crate) who: String,
    /// The command, without the name of the program.
    pub(crate) verb: String,
    /// What it was about, such as a queue.
    pub(crate) about: String,
    /// What came of it.
    pub(crate) result: String,
}

impl Record {
    fn read(fields: &HashMap<String, Vec<u8>>) -> Self {
        let text = |name: &str| {
            let value = fields.get(name).map(Vec::as_slice);
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        Self {
            at: text("at"),
            who: text("who"),
            verb: text("verb"),
            about: text("about"),
            result: text("result"),
        }
    }
}

impl Admin {
    /// The last changes, the latest first.
    pub(crate) async fn records(&self, count: usize) -> Result<Vec<Record>, Error> {
        let mut range = redis::cmd("XREVRANGE");
        range
            .arg(wire::AUDIT)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(count);
        let found: Vec<(String, HashMap<String, Vec<u8>>)> =
            self.command("read what was changed", &range).await?;
        Ok(found
            .iter()
            .map(|(_, fields)| Record::read(fields))
            .collect())
    }

    /// Records that somebody has changed something: the verb, what it was about, and what came of it.
    pub(crate) async fn record(
        &self,
        who: &str,
        verb: &str,
        about: &str,
        result: &str,
    ) -> Result<(), Error> {
        let mut add = redis::cmd("XADD");
        add.arg(wire::AUDIT)
            .arg("MAXLEN")
            .arg("~")
            .arg(KEPT)
            .arg("*");
        let (at, pairs) = (
            timestamp(),
            [
                ("who", who),
                ("verb", verb),
                ("about", about),
                ("result", result),
            ],
        );
        add.arg("at").arg(at);
        for (name, value) in pairs {
            add.arg(name).arg(value);
        }
        let id: Result<String, Error> = self.command("record what was changed", &add).await;
        id.map(drop)
    }
}
