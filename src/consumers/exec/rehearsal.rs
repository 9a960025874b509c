//! A command tried on files, without a queue and without a bucket.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ending::Verdict;
use super::job_line::{JobInput, JobLine};
use super::log::Log;
use super::outputs;
use super::runner::Runner;
use super::scratch::Scratch;
use super::settings::ExecSettings;
use crate::error_report;

/// What one run has shown.
pub(crate) struct Rehearsal {
    /// The job, as the command was given it.
    pub(crate) job: String,
    /// The words of the command.
    pub(crate) command: Vec<String>,
    /// What it has written, with times.
    pub(crate) log: Vec<u8>,
    /// Per cent, and texts beside it.
    pub(crate) progress: Vec<(u64, String)>,
    /// Files that it has left, with their sizes.
    pub(crate) outputs: Vec<(String, u64)>,
    /// Fields of its own.
    pub(crate) fields: Vec<(String, String)>,
    /// The class and the text of what went wrong.
    pub(crate) failure: Option<(String, String)>,
    pub(crate) took: Duration,
}

/// Runs the command on copies of these files, so many times; the results of the last time go to a folder, if one is named.
///
/// # Errors
///
/// Files that cannot be read, and folders that cannot be made.
pub(crate) async fn rehearse(
    settings: ExecSettings,
    files: &[PathBuf],
    fields: &[(String, String)],
    (times, keep): (usize, Option<&Path>),
) -> anyhow::Result<Vec<Rehearsal>> {
    let folder = settings.scratch.clone();
    let runner = Runner::new(settings);
    let mut runs = Vec::new();
    for attempt in 1..=times {
        let keep = keep.filter(|_| attempt == times);
        runs.push(once(&runner, files, fields, keep).await?);
    }
    drop(runner);
    let _ = std::fs::remove_dir_all(folder);
    Ok(runs)
}

async fn once(
    runner: &Runner,
    files: &[PathBuf],
    fields: &[(String, String)],
    keep: Option<&Path>,
) -> anyhow::Result<Rehearsal> {
    let settings = &runner.settings;
    let id = format!("{:016x}", fastrand::u64(..));
    let mut scratch = Scratch::create(&settings.scratch, &id)?;
    let mut inputs = Vec::new();
    for file in files {
        let key = file.to_string_lossy().into_owned();
        let path = scratch.input(&key);
        let size = std::fs::copy(file, &path)
            .map_err(|error| anyhow::anyhow!("{} cannot be read: {error}", file.display()))?;
        let name = path.file_name().unwrap_or_default();
        inputs.push(JobInput {
            name: name.to_string_lossy().into_owned(),
            path: Some(path),
            key,
            size: Some(size),
        });
    }
    let line = JobLine {
        key: format!("test:{id}").into(),
        queue: "test".to_owned(),
        attempt: 1,
        crashes: 0,
        inputs,
        fields: fields
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect(),
        timeout: settings.timeout,
        memory: settings.memory.unwrap_or(0),
        id,
    };
    let mut log = Log::new(&scratch.log())?;
    let mut progress = Vec::new();
    let mut on_progress = |percent: u64, note: &str| progress.push((percent, note.to_owned()));
    let began = Instant::now();
    let verdict = runner
        .run(&line, &scratch, &mut log, &mut on_progress)
        .await?;
    let took = began.elapsed();
    let words = line.words(&settings.command, &scratch).unwrap_or_default();
    let mut run = Rehearsal {
        job: std::fs::read_to_string(scratch.job()).unwrap_or_default(),
        command: words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        log: log.read()?,
        progress,
        outputs: Vec::new(),
        fields: Vec::new(),
        failure: None,
        took,
    };
    match verdict {
        Verdict::Worked => run.look(settings, &scratch, keep)?,
        Verdict::Failed(error) => run.fail(&error),
        Verdict::NotRunnable(why) => {
            run.failure = Some(("the command cannot be run".to_owned(), why));
        }
    }
    Ok(run)
}

impl Rehearsal {
    fn look(
        &mut self,
        settings: &ExecSettings,
        scratch: &Scratch,
        keep: Option<&Path>,
    ) -> anyhow::Result<()> {
        let outputs = match outputs::look(&scratch.output(), &settings.outputs) {
            Ok(outputs) => outputs,
            Err(error) => {
                self.fail(&error);
                return Ok(());
            }
        };
        self.fields = outputs.about.fields().collect();
        for (path, file) in &outputs.files {
            self.outputs.push((path.clone(), file.metadata()?.len()));
            if let Some(keep) = keep {
                let to = keep.join(path);
                std::fs::create_dir_all(to.parent().unwrap_or(keep))?;
                std::fs::copy(file, to)?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: &anyhow::Error) {
        let class = error_report::class(error).to_string();
        self.failure = Some((class, format!("{error:#}")));
    }
}
