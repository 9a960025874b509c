//! What was found.

use std::fmt::Display;

use serde::Serialize;

use crate::consumer::Verdict;

/// One line of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) part: String,
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
}

/// All that was found, in its order.
#[derive(Default)]
pub(crate) struct Report(pub(crate) Vec<Checked>);

impl Report {
    pub(super) fn add(&mut self, part: impl Display, verdict: Verdict, text: impl Display) {
        self.0.push(Checked {
            part: part.to_string(),
            verdict,
            text: text.to_string(),
        });
    }

    /// A part is as it should be.
    pub(super) fn ok(&mut self, part: impl Display, text: impl Display) {
        self.add(part, Verdict::Ok, text);
    }

    /// A part works, but is not as it should be.
    pub(super) fn warn(&mut self, part: impl Display, text: impl Display) {
        self.add(part, Verdict::Warning, text);
    }

    /// Jobs will wait or fail because of this part.
    pub(super) fn wrong(&mut self, part: impl Display, text: impl Display) {
        self.add(part, Verdict::Wrong, text);
    }

    /// How many parts were found so.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.0
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    }
}

impl Verdict {
    /// As reports have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Wrong => "WRONG",
        }
    }
}
