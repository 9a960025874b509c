//! The line that moves while the job does.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// One line that is written over and over, for terminals.
    Rewritten,
    /// A line for each stage, for files and pipes.
    Lines,
}

/// The stages that were seen, and since when.
pub(crate) struct Progress<W> {
    out: W,
    style: Style,
    start: Instant,
    stages: Vec<String>,
}

impl<W: Write> Progress<W> {
    /// Progress that begins now.
    pub(crate) fn new(out: W, style: Style) -> Self {
        Self {
            out,
            style,
            start: Instant::now(),
            stages: Vec::new(),
        }
    }

    /// Shows that the job stands at `stage`; fit to be called often.
    pub(crate) fn show(&mut self, stage: &str) -> io::Result<()> {
        let is_new = self.stages.last().is_none_or(|last| last != stage);
        if is_new {
            self.stages.push(stage.to_owned());
        }
        let elapsed = self.start.elapsed();
        match self.style {
            Style::Rewritten => write!(self.out, "\r  {}\x1b[K", line(&self.stages, elapsed))?,
            Style::Lines if is_new => {
                writeln!(self.out, "  {:6.2} s  {stage}", elapsed.as_secs_f64())?
            }
            Style::Lines => {}
        }
        self.out.flush()
    }

    /// Leaves the line as it is, and what is written next goes below it.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match self.style {
            Style::Rewritten => writeln!(self.out),
            Style::Lines => Ok(()),
        }
    }
}

fn line(stages: &[String], elapsed: Duration) -> String {
    format!("{}  {:.2} s", stages.join(" → "), elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(style: Style) -> String {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, style);
        for stage in ["new", "new", "started"] {
            progress.show(stage).expect("memory takes it");
        }
        progress.finish().expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_terminal_gets_one_line() {
        let text = shown(Style::Rewritten);
        assert_eq!(
            (text.matches('\n').count(), text.matches('\r').count()),
            (1, 3)
        );
        assert!(
            text.rsplit('\r')
                .next()
                .is_some_and(|last| last.contains("new → started")),
            "{text}"
        );
    }

    #[test]
    fn a_file_gets_each_stage_once() {
        let text = shown(Style::Lines);
        let stages: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert_eq!(stages, ["new", "started"]);
    }
}
