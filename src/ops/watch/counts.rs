//! How many jobs or items stand where, in one line.

use std::time::Instant;

use serde_json::json;

use super::super::desk::{Age, Line};

/// How many jobs or items stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) running: u64,
    pub(super) waiting: u64,
    /// Their hashes have expired or were deleted.
    pub(super) vanished: u64,
}

impl Counts {
    pub(super) fn ended(&self) -> u64 {
        self.done + self.failed + self.vanished
    }

    /// The numbers, how many end in a second, and how long it has taken.
    pub(super) fn line(&self, (rate, begun): (f64, Instant)) -> Line {
        let Self {
            done,
            failed,
            running,
            waiting,
            vanished,
        } = self;
        let mut text =
            format!("done {done}  failed {failed}  running {running}  waiting {waiting}");
        if *vanished > 0 {
            text += &format!("  vanished {vanished}");
        }
        text += &format!("  {rate:.1}/s  {}", Age(begun.elapsed()));
        Line {
            text,
            json: json!({
                "done": done, "failed": failed, "running": running, "waiting": waiting,
                "vanished": vanished, "per_s": (rate * 10.0).round() / 10.0,
            }),
        }
    }
}
