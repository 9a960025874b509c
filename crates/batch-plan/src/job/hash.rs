//! The job of one item, and what is written to its hash.

use std::fmt::Write as _;

use crate::layout::Up;

/// The job of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Number of the stage.
    pub stage: usize,
    /// Number of the item.
    pub item: u64,
    /// Identity of the item in its batch.
    pub id: String,
    /// Key of the job's hash.
    pub key: String,
    /// `input_file_name`; empty for none.
    pub input: String,
    /// Fields that the plan gives, by their names.
    pub fields: Vec<(String, String)>,
    /// Seconds of the longest attempt.
    pub timeout: Option<u64>,
    /// Bytes to set aside.
    pub memory: Option<u64>,
    /// Attempts, in place of the settings'.
    pub attempts: Option<u32>,
    /// Crashes, in place of the settings'.
    pub crashes: Option<u32>,
    /// Who is told of its end.
    pub ups: Vec<Up>,
}

impl Job {
    /// `k:i`, as `rc_item` has it.
    pub fn place(&self) -> String {
        format!("{}:{}", self.stage, self.item)
    }

    /// `k:parent:children[;…]`, as `rc_up` has it.
    pub fn ups_text(&self) -> String {
        let mut text = String::new();
        for up in &self.ups {
            let separator = if text.is_empty() { "" } else { ";" };
            let Up {
                stage,
                parent,
                children,
            } = up;
            let _ = write!(text, "{separator}{stage}:{parent}:{children}");
        }
        text
    }

    /// All that is written to the job's hash, but for its status and stamps.
    pub fn hash(&self, batch: &str) -> Vec<(String, String)> {
        let mut hash = self.fields.clone();
        let mut add = |name: &str, value: Option<String>| {
            hash.extend(value.map(|value| (name.to_owned(), value)));
        };
        add(
            "input_file_name",
            Some(self.input.clone()).filter(|input| !input.is_empty()),
        );
        add("rc_batch", Some(batch.to_owned()));
        add("rc_item", Some(self.place()));
        add("rc_up", Some(self.ups_text()).filter(|ups| !ups.is_empty()));
        add(
            "rc_timeout",
            self.timeout.map(|seconds| seconds.to_string()),
        );
        add("rc_memory", self.memory.map(|bytes| bytes.to_string()));
        add(
            "rc_attempts_max",
            self.attempts.map(|count| count.to_string()),
        );
        add(
            "rc_crashes_max",
            self.crashes.map(|count| count.to_string()),
        );
        hash
    }
}
