//! Failures by what caused them.

use std::collections::HashMap;

use super::failures::Failure;
use crate::wire::JobKey;

/// Failures with the same cause.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) why: String,
    pub(crate) class: String,
    pub(crate) count: u64,
    /// When the first and the last of them failed, in milliseconds since 1970.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) example: JobKey,
    pub(crate) input: String,
}

/// Failures that are being sorted by cause.
#[derive(Default)]
pub(crate) struct Groups(HashMap<(String, String), Group>);

impl Groups {
    /// Counts a failure.
    pub(crate) fn add(&mut self, failure: &Failure) {
        let (class, why, at) = (failure.class(), failure.why(), failure.at);
        let group = self
            .0
            .entry((class.clone(), why.clone()))
            .or_insert_with(|| Group {
                why,
                class,
                count: 0,
                first: at,
                last: at,
                example: failure.key.clone(),
                input: failure.input(),
            });
        group.count += 1;
        group.first = group.first.min(at);
        group.last = group.last.max(at);
    }

    /// The most frequent first.
    pub(crate) fn sorted(self) -> Vec<Group> {
        let mut groups: Vec<_> = self.0.into_values().collect();
        groups.sort_by(|a, b| (b.count, &a.why, &a.class).cmp(&(a.count, &b.why, &b.class)));
        groups
    }
}
