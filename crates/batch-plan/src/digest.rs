//! What decides what a plan does, in 32 bytes.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::problem::PlanError;
use crate::resolved::Resolved;
use crate::value::canonical;

/// What of a plan may not change while its batch runs.
const HARD: [&str; 4] = ["name", "plan", "sample", "set"];
/// The same of a stage. The rest may: how much at once, how long, how often, what is verified, kept, or started by hand.
const HARD_OF_STAGE: [&str; 15] = [
    "after",
    "chosen",
    "expect",
    "fields",
    "id",
    "input",
    "items",
    "late",
    "listed",
    "manifest",
    "name",
    "on_failure",
    "queue",
    "shuffle",
    "vars",
];

/// Whether what stands at a path is hard.
pub(crate) fn is_hard(path: &[&str]) -> bool {
    match path {
        // A stage that comes or goes, or stands elsewhere.
        ["stages"] | ["stages", _] => true,
        ["stages", _, field, ..] => *field == "sort" || HARD_OF_STAGE.contains(field),
        [field, ..] => HARD.contains(field),
        [] => true,
    }
}

impl Resolved {
    /// SHA-256 of the canonical JSON of what may not change while the batch runs, as 64 hexadecimal digits.
    ///
    /// Lists belong to it once they were read; those that are read late do not.
    ///
    /// # Errors
    ///
    /// As [`to_json`](Self::to_json), but for the size.
    pub fn digest(&self) -> Result<String, PlanError> {
        let mut hard = self.to_value()?;
        if let Value::Object(members) = &mut hard {
            members.retain(|name, _| is_hard(&[name]));
        }
        let stages = hard["stages"].as_array_mut().into_iter().flatten();
        for (number, stage) in stages.enumerate() {
            if let Value::Object(members) = stage {
                keep_hard(members, self.is_late(number));
            }
        }
        Ok(hex(&Sha256::digest(canonical(&hard).as_bytes())))
    }
}

fn keep_hard(members: &mut Map<String, Value>, late: bool) {
    members.retain(|name, _| is_hard(&["stages", "", name]) && !(late && name == "listed"));
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
