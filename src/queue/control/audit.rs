//! A record of what operators have changed.

use super::super::admin::Admin;
use super::super::error::Error;
use crate::wire::{self, timestamp};

/// Entries that are kept, or a few more.
const KEPT: usize = 10_000;

impl Admin {
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
