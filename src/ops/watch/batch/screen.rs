//! How a batch fares, in one line that is shown again and again.

use std::io;
use std::time::Instant;

use serde_json::json;

use super::super::super::desk::{Line, Progress, Rate, Screen, extend};
use super::followed::Followed;

/// How the numbers are shown.
pub(super) struct BatchScreen {
    progress: Progress,
    rate: Rate,
    pub(super) begun: Instant,
    /// Items that had ended before.
    ended_before: u64,
}

impl BatchScreen {
    /// Shows that it begins; `is_fetched` says that results are fetched as well.
    pub(super) fn begin(it: &Followed<'_>, screen: Screen, is_fetched: bool) -> io::Result<Self> {
        let begun = Instant::now();
        let total = it.state.sum(|stage| stage.total) * (1 + u64::from(is_fetched));
        let line = line(it, (0.0, begun), None);
        Ok(Self {
            progress: Progress::begin(screen, "batch", Some(total), line)?,
            rate: Rate::new(),
            begun,
            ended_before: it.counts.ended(),
        })
    }

    /// Shows it if it is time to, with the number of items whose results were looked for, if they are.
    pub(super) fn show(&mut self, it: &Followed<'_>, results: Option<u64>) -> io::Result<()> {
        let since = self.since(it);
        let come = it.counts.ended() + results.unwrap_or(0);
        self.progress.show(come, || line(it, since, results))
    }

    /// Shows the last state, and gives it.
    pub(super) fn end(mut self, it: &Followed<'_>, results: Option<u64>) -> io::Result<Line> {
        let since = self.since(it);
        let come = it.counts.ended() + results.unwrap_or(0);
        self.progress.end(come, line(it, since, results))?;
        Ok(line(it, since, None))
    }

    fn since(&mut self, it: &Followed<'_>) -> (f64, Instant) {
        let ended = it.counts.ended().saturating_sub(self.ended_before);
        (self.rate.of(ended), self.begun)
    }
}

/// Where the batch stands, for people and for programs.
fn line(it: &Followed<'_>, since: (f64, Instant), results: Option<u64>) -> Line {
    let mut line = it.counts.line(since);
    if let Some(results) = results {
        line.text += &format!("  results {results}");
    }
    let stages = it.state.stages.iter().map(|stage| {
        json!({
            "name": stage.name, "total": stage.total, "out": stage.out, "done": stage.done,
            "failed": stage.failed,
        })
    });
    let stages: Vec<_> = stages.collect();
    let more = json!({ "batch": it.name, "stages": stages, "results_seen": results });
    extend(&mut line.json, more);
    line
}
