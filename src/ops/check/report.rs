//! What `check` has found, as a table for people or as JSON.

use std::fmt::{self, Display};
use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::consumer::Verdict;
use crate::untrusted;

/// One line of the report.
#[derive(Debug, Serialize)]
struct Finding {
    part: String,
    verdict: Verdict,
    text: String,
}

/// All that was found, in its order.
#[derive(Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn add(&mut self, part: impl Display, verdict: Verdict, text: impl Display) {
        self.0.push(Finding {
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

    /// Writes the report to the standard output.
    pub(super) fn print(&self, json: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            for finding in &self.0 {
                writeln!(out, "{}", serde_json::to_string(finding)?)?;
            }
            return Ok(());
        }
        let colors = out.is_terminal();
        let width = self
            .0
            .iter()
            .map(|finding| finding.part.chars().count())
            .max()
            .unwrap_or(0);
        for Finding {
            part,
            verdict,
            text,
        } in &self.0
        {
            let verdict = if colors {
                format!("\x1b[{}m{verdict:5}\x1b[0m", verdict.color())
            } else {
                format!("{verdict:5}")
            };
            let text = untrusted::message(text);
            writeln!(out, "{verdict}  {part:width$}  {text}")?;
        }
        let (wrong, warnings) = (self.count(Verdict::Wrong), self.count(Verdict::Warning));
        match (wrong, warnings) {
            (0, 0) => writeln!(out, "\nall checks passed"),
            (0, 1) => writeln!(out, "\njobs can be processed; 1 warning"),
            (0, warnings) => writeln!(out, "\njobs can be processed; {warnings} warnings"),
            (1, _) => writeln!(out, "\n1 problem: jobs will wait or fail"),
            (wrong, _) => writeln!(out, "\n{wrong} problems: jobs will wait or fail"),
        }
    }

    /// How many parts were found so.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.0
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Wrong => "WRONG",
        })
    }
}

impl Verdict {
    /// The number of a color of terminals.
    fn color(self) -> u8 {
        match self {
            Self::Ok => 32,
            Self::Warning => 33,
            Self::Wrong => 31,
        }
    }
}
