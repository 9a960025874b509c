//! Reports as people read them.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::{Kind, StageReport, Verified};
use crate::figures::{counted, grouped};
use crate::untrusted;

/// Problems of one kind that people are told of a stage.
const TOLD: usize = 10;

impl Verified {
    /// Prints a line for each stage, and below it what is wrong; `after` follows the number of problems.
    pub(crate) fn show(&self, after: &str) -> io::Result<()> {
        let told: Vec<_> = self.stages.iter().filter(|stage| stage.is_told()).collect();
        let widest = |text: fn(&StageReport) -> String| {
            let widths = told.iter().map(|stage| text(stage).chars().count());
            widths.max().unwrap_or(0)
        };
        let widths = [
            widest(|stage| stage.name.clone()),
            widest(StageReport::number),
        ];
        let mut out = io::stdout();
        for stage in &told {
            writeln!(out, "{}", stage.title(widths))?;
            for line in stage.lines() {
                writeln!(out, "{}", untrusted::message(line))?;
            }
        }
        match self.problems() {
            0 => Ok(()),
            problems => writeln!(out, "{}{after}", counted(problems, "problem")),
        }
    }
}

impl Verified {
    /// What is wrong, a line each, some of each kind; the word for the kind, a colon, what it is about, and why.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.stages.iter().flat_map(StageReport::lines);
        let line = |line: String| match line.trim().split_once(' ') {
            Some((kind, what)) => format!("{kind}: {}", what.trim_start()),
            None => line,
        };
        lines.map(line).collect()
    }
}

impl StageReport {
    /// How many items it has, if that is known.
    fn number(&self) -> String {
        self.items.map_or_else(|| "–".to_owned(), grouped)
    }

    fn title(&self, [name_width, width]: [usize; 2]) -> String {
        let looked_at = match self.items == Some(self.looked_at) || self.rules.is_empty() {
            true => String::new(),
            false => format!(", {} looked at", grouped(self.looked_at)),
        };
        let noun = if self.items == Some(1) {
            "item"
        } else {
            "items"
        };
        let (number, summary) = (self.number(), untrusted::message(self.summary()));
        format!(
            "{:name_width$}  {number:>width$} {noun}{looked_at}{summary}",
            self.name
        )
    }

    /// How often each rule holds, and which were not looked at.
    fn summary(&self) -> String {
        let mut text = String::new();
        for rule in &self.rules {
            let _ = match (rule.kind, rule.holds, rule.left_out) {
                (_, _, Some(setting)) => {
                    write!(text, "  {} not looked at: {setting} is not set", rule.word)
                }
                (Kind::Room, Some(0), _) => write!(text, "  no room"),
                (Kind::Room, Some(_), _) => write!(text, "  room"),
                (_, holds, _) => write!(text, "  {} {}", rule.word, grouped(holds.unwrap_or(0))),
            };
        }
        if !self.uses.is_empty() {
            let _ = write!(text, "  uses {}", shortened(&self.uses, self.uses.len()));
        }
        text
    }

    /// What is wrong, at most so many lines for each kind.
    fn lines(&self) -> Vec<String> {
        let width = self.counts.keys().map(|kind| kind.word().len()).max();
        let width = width.unwrap_or(0);
        let mut lines = Vec::new();
        for (kind, count) in &self.counts {
            let mut add = |text: String| lines.push(format!("  {:width$}  {text}", kind.word()));
            let faults = self.faults.iter().filter(|fault| fault.kind == *kind);
            let (plain, told): (Vec<_>, Vec<_>) = faults.partition(|fault| fault.why.is_empty());
            if !plain.is_empty() {
                let names: Vec<_> = plain.iter().map(|fault| fault.about.clone()).collect();
                let count = *count as usize - told.len();
                add(shortened(&names, count));
            }
            for fault in told.iter().take(TOLD) {
                add(format!("{}: {}", fault.about, fault.why));
            }
            if told.len() > TOLD {
                let rest = *count as usize - plain.len() - TOLD;
                add(format!("… {} more", grouped(rest as u64)));
            }
        }
        lines
    }
}

/// The first of so many names.
fn shortened(names: &[String], count: usize) -> String {
    let mut text = names[..names.len().min(TOLD)].join(", ");
    if count > TOLD {
        let _ = write!(text, " and {} more", grouped((count - TOLD) as u64));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Fault;
    use super::*;

    fn report(faults: impl Iterator<Item = Fault>) -> StageReport {
        let mut report = StageReport {
            name: "seg".to_owned(),
            items: Some(5000),
            looked_at: 5000,
            rules: Vec::new(),
            counts: BTreeMap::new(),
            faults: Vec::new(),
            gatherers: BTreeMap::new(),
            uses: Vec::new(),
        };
        report.add(faults);
        report
    }

    #[test]
    fn the_number_of_a_late_stage_is_not_known() {
        let mut report = report(std::iter::empty());
        report.uses.push("m2 (0 of 3)".to_owned());
        assert_eq!(report.title([4, 5]), "seg   5,000 items  uses m2 (0 of 3)");
        report.items = None;
        assert_eq!(report.title([4, 5]), "seg       – items  uses m2 (0 of 3)");
    }

    #[test]
    fn only_some_of_many_problems_are_told() {
        let missing = (0..1200).map(|n| Fault::new(Kind::Missing, format!("k{n}"), ""));
        let image = (0..12).map(|n| Fault::new(Kind::Image, format!("i{n}"), "no"));
        let report = report(missing.chain(image));
        let lines = report.lines();
        assert_eq!(lines.len(), 1 + 11);
        assert!(lines[0].starts_with("  missing  k0, k1, "), "{}", lines[0]);
        assert!(lines[0].ends_with("k9 and 1,190 more"), "{}", lines[0]);
        assert_eq!(lines[1], "  image    i0: no");
        assert_eq!(lines[11], "  image    … 2 more");
        assert_eq!(report.problems(), 1212);
        assert_eq!(
            report.to_json()["problems"].as_array().map(Vec::len),
            Some(1012)
        );
    }
}
