//! What one look has found, each with a fingerprint of the job's hash, which has to be the same in another look.

use std::collections::HashMap;

use super::Finding;
use super::fields::Fields;
use super::places::Fingerprints;

/// What one look has found.
pub(super) struct Suspects {
    pub(super) marks: Fingerprints,
    found: HashMap<Finding, u64>,
}

impl Suspects {
    /// None yet; looks that are to be compared have the same fingerprints.
    pub(super) fn none(marks: Fingerprints) -> Self {
        Self {
            marks,
            found: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, finding: Finding, job: Option<&Fields>) {
        let seen = self.marks.of_fields(job);
        self.found.insert(finding, seen);
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.found.keys()
    }

    /// What is found so far; the next suspects come to an empty place.
    pub(super) fn take(&mut self) -> Self {
        let none = Self::none(self.marks.clone());
        std::mem::replace(self, none)
    }

    /// Those that another look has found, too, with the job untouched, in the order of invariants and jobs.
    pub(super) fn confirmed_by(self, other: &Self) -> Vec<Finding> {
        let found = self.found.into_iter();
        let mut confirmed: Vec<_> = found
            .filter(|(finding, seen)| other.found.get(finding) == Some(seen))
            .map(|(finding, _)| finding)
            .collect();
        confirmed.sort_by(|a, b| {
            let number = |finding: &Finding| finding.invariant.number();
            (number(a), &a.job.0).cmp(&(number(b), &b.job.0))
        });
        confirmed
    }
}
