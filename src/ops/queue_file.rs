//! `redis-consumer queue save` and `restore`: a queue in a file of JSON lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::desk::{ChangeArguments, DeskArguments, Misuse, grouped};
use crate::exit_code;
use crate::queue::control::{SAVE_VERSION, STEP, SavedJob, SavedPlace, save_head};
use crate::untrusted;

#[derive(Args)]
pub(crate) struct SaveArguments {
    queue: String,
    /// The file; `-` is standard output.
    file: PathBuf,
    /// Besides what waits, jobs that are …
    #[arg(long, value_delimiter = ',', value_enum)]
    with: Vec<Others>,
    #[command(flatten)]
    desk: DeskArguments,
}

#[derive(Args)]
pub(crate) struct RestoreArguments {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// The queue to put the jobs into, in place of the one that was saved.
    #[arg(long)]
    queue: Option<String>,
    /// Also jobs that are there, unless a consumer works them.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    change: ChangeArguments,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Others {
    /// … failed, and remembered as such
    Failed,
    /// … to come back later
    Delayed,
    /// … waiting for their children
    Parked,
}

impl From<Others> for SavedPlace {
    fn from(others: Others) -> Self {
        match others {
            Others::Failed => Self::Failed,
            Others::Delayed => Self::Delayed,
            Others::Parked => Self::Parked,
        }
    }
}

/// Writes the jobs of a queue to a file, some hundred at a time.
pub(super) async fn save(arguments: &SaveArguments) -> anyhow::Result<()> {
    let desk = arguments.desk.open()?;
    let queue = arguments.queue.as_str();
    let found = desk.admin.overviews_of(&[queue.to_owned()], false).await?;
    let is_paused = found.iter().any(|overview| overview.pause.is_some());
    let mut out = create(&arguments.file)?;
    let head = save_head(queue);
    writeln!(out, "{head}")?;
    let others = arguments
        .with
        .iter()
        .map(|others| SavedPlace::from(*others));
    let mut saved = 0;
    for place in [SavedPlace::Waiting].into_iter().chain(others) {
        let mut offset = 0;
        loop {
            let (jobs, looked) = desk.admin.jobs_to_save(queue, place, offset).await?;
            if looked == 0 {
                break;
            }
            offset += looked;
            for job in &jobs {
                writeln!(out, "{}", job.to_json())?;
            }
            saved += jobs.len() as u64;
        }
    }
    out.flush()?;
    let mut screen = io::stderr();
    writeln!(screen, "{} jobs saved", grouped(saved))?;
    if !is_paused {
        writeln!(
            screen,
            "{} was not paused: what moved meanwhile may be missing, or there twice",
            untrusted::name(queue)
        )?;
    }
    Ok(())
}

/// Puts the jobs of a file back.
pub(super) async fn restore(arguments: &RestoreArguments) -> anyhow::Result<ExitCode> {
    let change = &arguments.change;
    let desk = change.desk.open()?;
    let path = arguments.file.as_path();
    let mut lines = open(path)?;
    let saved = read_head(&mut lines)?;
    let queue = arguments.queue.clone().unwrap_or(saved);
    let question = format!("Put the jobs of {} into {queue}?", path.display());
    if !change.has_consent(&question)? {
        return Ok(ExitCode::from(exit_code::SUCCESS));
    }
    let mode = if arguments.replace { "replace" } else { "" };
    let mut report = change.report("restored");
    let mut lines = lines.lines().enumerate();
    loop {
        let step = lines.by_ref().take(STEP).map(saved_job);
        let step: Vec<_> = step.collect::<anyhow::Result<_>>()?;
        if step.is_empty() {
            break;
        }
        if change.is_dry() {
            step.iter()
                .try_for_each(|job| report.count(&job.key, None))?;
            continue;
        }
        let ends = desk.admin.restore_jobs(&queue, &step, mode).await?;
        for (job, end) in step.iter().zip(ends) {
            report.count(&job.key, end.obstacle())?;
        }
    }
    report.record(&desk, "queue restore", &queue).await?;
    report.end()
}

/// The job on a line after the head.
fn saved_job((index, line): (usize, io::Result<String>)) -> anyhow::Result<SavedJob> {
    let line = line.context("cannot read the file")?;
    let wrong = || Misuse(format!("line {} of the file is no saved job", index + 2));
    Ok(SavedJob::from_json(&line).ok_or_else(wrong)?)
}

fn create(path: &Path) -> anyhow::Result<BufWriter<Box<dyn Write>>> {
    if is_standard(path) {
        return Ok(BufWriter::new(Box::new(io::stdout())));
    }
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(Box::new(file)))
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if is_standard(path) {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The name of the queue that was saved.
fn read_head(lines: &mut impl BufRead) -> anyhow::Result<String> {
    let mut head = String::new();
    lines.read_line(&mut head).context("cannot read the file")?;
    let head: Value = serde_json::from_str(&head).unwrap_or_default();
    match (head["version"].as_u64(), head["queue"].as_str()) {
        (Some(SAVE_VERSION), Some(queue)) => Ok(queue.to_owned()),
        (Some(version), Some(_)) => {
            let text =
                format!("the file is of version {version}; this program knows {SAVE_VERSION}");
            Err(Misuse(text).into())
        }
        _ => Err(Misuse("the file does not begin as `queue save` writes it".to_owned()).into()),
    }
}
