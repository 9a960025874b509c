//! How a batch fares, in one line that is shown again and again.

use std::io;
use std::time::Instant;

use serde_json::{Value, json};

use super::super::super::desk::{Line, Progress, Rate, Screen};
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
    pub(super) fn begin(it: &Followed<'_>, screen: Screen) -> io::Result<Self> {
        let begun = Instant::now();
        let total = it.state.sum(|stage| stage.total);
        let line = line(it, (0.0, begun));
        Ok(Self {
            progress: Progress::begin(screen, "batch", Some(total), line)?,
            rate: Rate::new(),
            begun,
            ended_before: it.counts.ended(),
        })
    }

    pub(super) fn show(&mut self, it: &Followed<'_>) -> io::Result<()> {
        let line = self.line(it);
        self.progress.show(it.counts.ended(), || line)
    }

    /// Shows the last state, and gives it.
    pub(super) fn end(mut self, it: &Followed<'_>) -> io::Result<Line> {
        let line = self.line(it);
        self.progress.end(it.counts.ended(), line.clone())?;
        Ok(line)
    }

    fn line(&mut self, it: &Followed<'_>) -> Line {
        let ended = it.counts.ended().saturating_sub(self.ended_before);
        line(it, (self.rate.of(ended), self.begun))
    }
}

/// Where the batch stands, for people and for programs.
fn line(it: &Followed<'_>, rate_since: (f64, Instant)) -> Line {
    let mut line = it.counts.line(rate_since);
    let stages = it.state.stages.iter().map(|stage| {
        json!({
            "name": stage.name, "total": stage.total, "out": stage.out, "done": stage.done,
            "failed": stage.failed,
        })
    });
    let stages: Vec<_> = stages.collect();
    extend(
        &mut line.json,
        json!({ "batch": it.name, "stages": stages }),
    );
    line
}

/// Adds the members of an object to another.
pub(super) fn extend(object: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}
