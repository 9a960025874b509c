//! How far a command has come: a bar on a terminal, plain lines elsewhere, objects for programs.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::{clock, extend, print_json};
use crate::wire::millis_since_1970;

/// Redraws of a bar in a second.
const REDRAWS: u8 = 5;
/// Between two lines lies this much time, and a tenth of the whole.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// The time over which a rate is a mean, in seconds.
const MEMORY_S: f64 = 30.0;

/// In less time than this nothing has a rate, in seconds.
const SHORTEST_S: f64 = 0.1;

/// How progress may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// On a terminal that can redraw a line.
    Bar,
    /// Where lines are kept.
    Lines,
    /// As objects on standard output.
    Json,
    /// Not at all.
    Quiet,
}

impl Screen {
    /// The one for these options and this `TERM`.
    pub(crate) fn of(json: bool, quiet: bool, term: &str) -> Self {
        match (json, quiet) {
            (_, true) => Self::Quiet,
            (true, _) => Self::Json,
            _ if io::stderr().is_terminal() && term != "dumb" => Self::Bar,
            _ => Self::Lines,
        }
    }
}

/// Where something stands, for people and for programs.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// An object.
    pub(crate) json: Value,
}

/// One thing that goes on.
pub(crate) struct Progress {
    what: &'static str,
    screen: Screen,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    shown: Mutex<Shown>,
}

struct Shown {
    at: Instant,
    done: u64,
}

impl Progress {
    /// Shows that it begins. Without a total there is no bar, only its text.
    pub(crate) fn begin(
        screen: Screen,
        what: &'static str,
        total: Option<u64>,
        line: Line,
    ) -> io::Result<Self> {
        let bar = (screen == Screen::Bar).then(|| bar(what, total));
        let progress = Self {
            what,
            screen,
            bar,
            total,
            shown: Mutex::new(Shown {
                at: Instant::now(),
                done: 0,
            }),
        };
        progress.print(0, line)?;
        Ok(progress)
    }

    /// Shows it if it is time to.
    pub(crate) fn show(&self, done: u64, line: impl FnOnce() -> Line) -> io::Result<()> {
        if self.screen == Screen::Quiet {
            return Ok(());
        }
        {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            let (pause, step) = match self.screen {
                Screen::Bar => (Duration::from_secs(1) / u32::from(REDRAWS), 0),
                _ => (LINE_EVERY, self.total.map_or(0, |total| total / 10)),
            };
            if shown.at.elapsed() < pause || done < shown.done.saturating_add(step) {
                return Ok(());
            }
            *shown = Shown {
                at: Instant::now(),
                done,
            };
        }
        self.print(done, line())
    }

    /// Shows it for the last time.
    pub(crate) fn end(self, done: u64, line: Line) -> io::Result<()> {
        let Some(bar) = &self.bar else {
            return self.print(done, line);
        };
        bar.finish_and_clear();
        writeln!(io::stderr(), "{} {}", self.what, line.text)
    }

    fn print(&self, done: u64, line: Line) -> io::Result<()> {
        match (self.screen, &self.bar) {
            (Screen::Quiet, _) => Ok(()),
            (_, Some(bar)) => {
                bar.set_message(line.text);
                bar.set_position(done);
                Ok(())
            }
            (Screen::Json, _) => {
                let mut object = json!({ "event": "progress", "what": self.what });
                extend(&mut object, line.json);
                print_json(&object)
            }
            _ => {
                let now = clock(millis_since_1970() / 1000 * 1000);
                writeln!(io::stderr(), "{now} {} {}", self.what, line.text)
            }
        }
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(REDRAWS));
    let template = match total {
        Some(_) => "{prefix} {bar:24} {wide_msg}",
        None => "{prefix} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what);
    bar
}

/// How much comes in a second, lately.
#[derive(Debug)]
pub(crate) struct Rate {
    begun: Instant,
    at: Instant,
    /// What had come by then.
    total: u64,
    mean: f64,
}

impl Rate {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            at: now,
            total: 0,
            mean: 0.0,
        }
    }

    /// The rate if so much has come by now.
    pub(crate) fn of(&mut self, total: u64) -> f64 {
        self.at(total, Instant::now())
    }

    fn at(&mut self, total: u64, now: Instant) -> f64 {
        let seconds = now.duration_since(self.at).as_secs_f64();
        if seconds > 0.0 {
            let weight = 1.0 - (-seconds / MEMORY_S).exp();
            let latest = total.saturating_sub(self.total) as f64 / seconds;
            self.mean += weight * (latest - self.mean);
            (self.at, self.total) = (now, total);
        }
        let begun = now.duration_since(self.begun).as_secs_f64();
        if begun < SHORTEST_S {
            return 0.0;
        }
        // What was before the beginning does not count as nothing.
        self.mean / (1.0 - (-begun / MEMORY_S).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_half_minute() {
        let mut rate = Rate::new();
        let begun = rate.begun;
        let mut total = 0;
        let mut last = 0.0;
        for second in 1..=600 {
            total += if second <= 300 { 100 } else { 10 };
            last = rate.at(total, begun + Duration::from_secs(second));
            if second <= 300 {
                assert!((last - 100.0).abs() < 1e-6, "{last} after {second} s");
            }
        }
        assert!((last - 10.0).abs() < 0.1, "{last}");
    }
}
