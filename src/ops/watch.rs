//! `redis-consumer watch`, and what `submit --wait` does: jobs are followed until all have ended. Batches have `batch.rs`.

mod batch;
mod counts;
mod following;
mod pace;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub(crate) use self::batch::follow_batch;
use self::counts::Counts;
pub(crate) use self::following::Following;
use self::pace::Pace;
use super::desk::{
    Desk, DeskArguments, Line, Misuse, Progress, Rate, Screen, Span, extend, is_open, print_json,
    read_keys,
};
use super::fetch::unpack_result;
use crate::exit_code;
use crate::queue::control::Standing;
use crate::queue::{Admin, JobKey};
use crate::storage::Storage;
use crate::untrusted;
use crate::wire::Status;

/// Jobs each of which has lines of its own.
const LISTED: usize = 20;
/// Results that are fetched at the same time.
const FETCHES: usize = 4;

#[derive(Args)]
pub(crate) struct WatchArguments {
    /// Keys of jobs; `-` reads them from standard input, one a line.
    #[arg(value_name = "JOB", required_unless_present = "batch")]
    jobs: Vec<OsString>,
    /// This batch, in place of jobs.
    #[arg(long, value_name = "NAME", conflicts_with = "jobs")]
    batch: Option<String>,
    /// Wait no longer than this.
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// One JSON object for each change, and one at the end.
    #[arg(long)]
    json: bool,
    /// Only the end.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    desk: DeskArguments,
}

/// Follows the jobs or the batch that is named.
pub(crate) async fn watch(
    arguments: WatchArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let desk = arguments.desk.open()?;
    let following = Following {
        screen: Screen::of(arguments.json, arguments.quiet, &desk.term),
        timeout: arguments.timeout.map(Duration::from),
        results: None,
    };
    if let Some(name) = &arguments.batch {
        let status = follow_batch(&desk, name, &following, &stop).await?;
        return Ok(ExitCode::from(status));
    }
    let keys = read_keys(&arguments.jobs)?;
    if let [key] = &keys[..]
        && !desk.admin.exists(key).await?
    {
        return Err(Misuse::no_job(key).into());
    }
    let end = follow(&desk, keys, &following, &stop).await?;
    Ok(ExitCode::from(end.status()))
}

/// How that ended.
#[derive(Debug, Default)]
pub(crate) struct End {
    counts: Counts,
    /// Results that could not be fetched.
    unfetched: u64,
    is_late: bool,
    is_stopped: bool,
}

/// Jobs, and what was last seen of them.
struct Followed {
    keys: Vec<JobKey>,
    standings: Vec<Option<Standing>>,
    /// Those that are not final.
    open: Vec<usize>,
    pace: Pace,
}

/// Waits until all jobs have ended, and says how they fare.
pub(crate) async fn follow(
    desk: &Desk,
    keys: Vec<JobKey>,
    following: &Following<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<End> {
    let begun = Instant::now();
    let mut jobs = Followed::new(keys);
    let mut screen = JobsScreen::begin(&jobs, following.screen, begun)?;
    let mut end = End::default();
    loop {
        let looked = Instant::now();
        let changed = jobs.look(&desk.admin).await?;
        end.counts = jobs.counts();
        screen.show(&jobs, &changed, &end.counts)?;
        if let Some(results) = following.results {
            end.unfetched += jobs.fetch(desk, &changed, results).await?;
        }
        let left = following.left(begun);
        end.is_late = !jobs.open.is_empty() && left.is_zero();
        if jobs.open.is_empty() || end.is_late {
            break;
        }
        let pause = jobs
            .pace
            .pause(!changed.is_empty(), looked.elapsed())
            .min(left);
        let slept = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        end.is_stopped = slept.is_none();
        if end.is_stopped {
            break;
        }
    }
    screen.end(&end)?;
    Ok(end)
}

/// What is shown of jobs: each change of a few, the numbers of many.
struct JobsScreen {
    screen: Screen,
    numbers: Option<Progress>,
    rate: Rate,
    begun: Instant,
}

impl JobsScreen {
    fn begin(jobs: &Followed, screen: Screen, begun: Instant) -> io::Result<Self> {
        let count = jobs.keys.len();
        let numbers = (count > LISTED).then(|| {
            let line = jobs.counts().line((0.0, begun));
            Progress::begin(screen, "jobs", Some(count as u64), line)
        });
        Ok(Self {
            screen,
            numbers: numbers.transpose()?,
            rate: Rate::new(),
            begun,
        })
    }

    fn show(&mut self, jobs: &Followed, changed: &[usize], counts: &Counts) -> io::Result<()> {
        let Some(numbers) = &self.numbers else {
            return jobs.tell(changed, self.screen);
        };
        let line = counts.line((self.rate.of(counts.ended()), self.begun));
        numbers.show(counts.ended(), || line)
    }

    fn end(mut self, end: &End) -> io::Result<()> {
        let ended = end.counts.ended();
        let line = end.counts.line((self.rate.of(ended), self.begun));
        if let Some(numbers) = self.numbers {
            numbers.end(ended, line.clone())?;
        }
        end.print(self.screen, line)
    }
}

impl Followed {
    fn new(mut keys: Vec<JobKey>) -> Self {
        let mut known = HashSet::new();
        keys.retain(|key| known.insert(key.clone()));
        Self {
            standings: vec![
                Some(Standing {
                    status: Status::New.to_string(),
                    progress: None,
                });
                keys.len()
            ],
            open: (0..keys.len()).collect(),
            keys,
            pace: Pace::new(),
        }
    }

    /// Looks at those that are not final, and gives those that have come further.
    async fn look(&mut self, admin: &Admin) -> anyhow::Result<Vec<usize>> {
        let keys: Vec<_> = self.open.iter().map(|&at| self.keys[at].clone()).collect();
        let seen = admin.standings(&keys).await?;
        let mut changed = Vec::new();
        for (&at, seen) in self.open.iter().zip(seen) {
            let tenth = |standing: &Standing| standing.progress.map(|per_cent| per_cent / 10);
            let is_same = match (&self.standings[at], &seen) {
                (Some(before), Some(now)) => {
                    before.status == now.status && tenth(before) == tenth(now)
                }
                (before, now) => before.is_none() == now.is_none(),
            };
            if !is_same {
                changed.push(at);
            }
            self.standings[at] = seen;
        }
        let standings = &self.standings;
        self.open.retain(|&at| is_open(standings[at].as_ref()));
        Ok(changed)
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for standing in &self.standings {
            let count = match standing.as_ref().map(|standing| standing.status.as_str()) {
                None => &mut counts.vanished,
                Some("done") => &mut counts.done,
                Some("failed") => &mut counts.failed,
                Some("new") => &mut counts.waiting,
                Some(_) => &mut counts.running,
            };
            *count += 1;
        }
        counts
    }

    /// A line for each of these.
    fn tell(&self, changed: &[usize], screen: Screen) -> io::Result<()> {
        for &at in changed {
            let (key, standing) = (&self.keys[at], self.standings[at].as_ref());
            let status = standing.map_or("vanished", |standing| &standing.status);
            let progress = standing.and_then(|standing| standing.progress);
            match screen {
                Screen::Quiet => {}
                Screen::Json => print_json(&json!({
                    "event": "status", "key": key.to_json(), "status": status,
                    "progress": progress,
                }))?,
                Screen::Bar | Screen::Lines => {
                    let mut line = untrusted::name(status).to_string();
                    if let Some(progress) = progress {
                        line += &format!(" {progress} %");
                    }
                    if self.keys.len() > 1 {
                        line = format!("{line:20} {key}");
                    }
                    writeln!(io::stdout(), "{line}")?;
                }
            }
        }
        Ok(())
    }

    /// Unpacks the results of those of these that are done, and gives the number of those that could not be.
    async fn fetch(
        &self,
        desk: &Desk,
        changed: &[usize],
        (storage, to): (&Storage, &Path),
    ) -> anyhow::Result<u64> {
        let is_done = |at: &&usize| {
            let standing = self.standings[**at].as_ref();
            standing.is_some_and(|standing| standing.status == Status::Done.as_str())
        };
        let done: Vec<_> = changed
            .iter()
            .filter(is_done)
            .map(|&at| self.keys[at].clone())
            .collect();
        let fields = desk.admin.jobs(&done).await?;
        let failed = stream::iter(done.iter().zip(&fields))
            .map(async |(key, fields)| (key, unpack_result(storage, key, fields, to).await))
            .buffer_unordered(FETCHES)
            .filter_map(async |(key, fetched)| Some((key, fetched.err()?)))
            .collect::<Vec<_>>()
            .await;
        for (key, error) in &failed {
            let text = format!("no result of {key}: {error:#}");
            writeln!(io::stderr(), "{}", untrusted::message(text))?;
        }
        Ok(failed.len() as u64)
    }
}

impl End {
    /// The exit status: 124 if there was no time left, 4 if not all jobs are done.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self {
                is_stopped: true, ..
            } => exit_code::of_signal(),
            Self { is_late: true, .. } => exit_code::TIMED_OUT,
            Self {
                counts, unfetched, ..
            } if counts.failed + counts.vanished + unfetched > 0 => exit_code::FOUND,
            _ => exit_code::SUCCESS,
        }
    }

    fn print(&self, screen: Screen, line: Line) -> io::Result<()> {
        if screen == Screen::Json {
            let mut object = json!({
                "event": "ended", "timed_out": self.is_late, "unfetched": self.unfetched,
            });
            extend(&mut object, line.json);
            return print_json(&object);
        }
        writeln!(io::stdout(), "{}", line.text)?;
        let open = self.counts.running + self.counts.waiting;
        if open > 0 {
            writeln!(io::stderr(), "{open} go on without this command")?;
        }
        if self.counts.failed > 0 {
            let failed = self.counts.failed;
            writeln!(
                io::stderr(),
                "{failed} failed; redis-consumer failed --group shows why"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_what_matters_most() {
        let mut end = End::default();
        assert_eq!(end.status(), 0);
        end.counts.vanished = 1;
        assert_eq!(end.status(), 4);
        end.is_late = true;
        assert_eq!(end.status(), 124);
        end.is_stopped = true;
        assert_eq!(end.status(), 130);
    }
}
