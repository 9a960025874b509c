//! A command tried on files, without a queue and without a bucket.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ending::Verdict;
use super::job_line::{JobInput, JobLine};
use super::log::Log;
use super::outputs::{self, Outputs};
use super::runner::Runner;
use super::scratch::Scratch;
use super::session::Listener;
use super::settings::{ExecSettings, ResultForm};
use crate::error_report;

/// What there is to see, while it happens.
pub(crate) enum Seen<'a> {
    /// The words of the command.
    Command(&'a [String]),
    /// The job, as the command is given it.
    Job(&'a str),
    /// A line that it has written.
    Line(&'a str),
    /// Per cent, and a text beside it.
    Progress(u64, &'a str),
    /// A file that it has left, with its size.
    Output(&'a str, u64),
    /// A job that it asks for: queue and name.
    Child(&'a str, &'a str),
    /// A field of its own.
    Field(&'a str, &'a str),
    /// The time that it took, and the number of jobs that a consumer would wait for now.
    Done(Duration, usize),
    /// The class and the text of what went wrong.
    Failed(Duration, &'a str, &'a str),
}

/// A job that is made up.
pub(crate) struct Trial<'a> {
    pub(crate) files: &'a [PathBuf],
    pub(crate) fields: &'a [(String, String)],
    /// Where the results of the last run go.
    pub(crate) keep: Option<&'a Path>,
}

/// Who watches a trial.
struct Watcher<'a>(&'a mut (dyn FnMut(Seen<'_>) + Send));

impl Listener for Watcher<'_> {
    fn line(&mut self, text: &str) {
        (self.0)(Seen::Line(text));
    }

    fn progress(&mut self, percent: u64, note: &str) {
        (self.0)(Seen::Progress(percent, note));
    }

    /// Each of them was told.
    fn tail(&mut self, _: &str) {}
}

/// Runs the command on copies of these files, so many times, and gives whether it was done each time.
///
/// # Errors
///
/// Files that cannot be read, and folders that cannot be made.
pub(crate) async fn rehearse(
    settings: ExecSettings,
    trial: &Trial<'_>,
    times: usize,
    watch: &mut (dyn FnMut(Seen<'_>) + Send),
) -> anyhow::Result<bool> {
    let (runner, mut watcher) = (Runner::new(settings), Watcher(watch));
    let mut is_done = true;
    let mut failed = Ok(());
    for run in 1..=times {
        let keep = trial.keep.filter(|_| run == times);
        match once(&runner, &Trial { keep, ..*trial }, &mut watcher).await {
            Ok(was_done) => is_done &= was_done,
            Err(error) => {
                failed = Err(error);
                break;
            }
        }
    }
    failed.map(|()| is_done)
}

async fn once(
    runner: &Runner,
    trial: &Trial<'_>,
    watcher: &mut Watcher<'_>,
) -> anyhow::Result<bool> {
    let settings = &runner.settings;
    let id = format!("{:016x}", fastrand::u64(..));
    let mut scratch = runner.scratch()?;
    let line = trial.line(settings, id, &mut scratch)?;
    let words = line.words(&settings.command, &scratch).unwrap_or_default();
    let words: Vec<_> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    (watcher.0)(Seen::Command(&words));
    (watcher.0)(Seen::Job(&line.to_json(&scratch)));
    let mut log = Log::new(&scratch.log());
    let began = Instant::now();
    let verdict = runner.run(&line, &scratch, &mut log, watcher).await?;
    let took = began.elapsed();
    let outputs = match verdict {
        Verdict::Worked if settings.result == ResultForm::None => outputs::about(&scratch.output()),
        Verdict::Worked => outputs::look(&scratch.output(), &settings.outputs),
        Verdict::Failed(error) => Err(error),
        Verdict::NotRunnable(why) => {
            (watcher.0)(Seen::Failed(took, "the command cannot be run", &why));
            return Ok(false);
        }
    };
    match outputs {
        Ok(outputs) => {
            trial.take(&outputs, watcher)?;
            (watcher.0)(Seen::Done(took, outputs.about.children.len()));
            Ok(true)
        }
        Err(error) => {
            let class = error_report::class(&error);
            (watcher.0)(Seen::Failed(took, class.as_str(), &format!("{error:#}")));
            Ok(false)
        }
    }
}

impl Trial<'_> {
    /// The job, with copies of its files.
    fn line(
        &self,
        settings: &ExecSettings,
        id: String,
        scratch: &mut Scratch,
    ) -> anyhow::Result<JobLine> {
        let inputs = self.files.iter().map(|file| {
            let key = file.to_string_lossy();
            let path = scratch.input(&key);
            let size = std::fs::copy(file, &path)
                .map_err(|error| anyhow::anyhow!("{} cannot be read: {error}", file.display()))?;
            anyhow::Ok(JobInput::in_file(path, &key, size))
        });
        let fields = self.fields.iter();
        Ok(JobLine {
            inputs: inputs.collect::<Result<_, _>>()?,
            key: format!("test:{id}").into(),
            queue: "test".to_owned(),
            attempt: 1,
            crashes: 0,
            fields: fields
                .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
                .collect(),
            timeout: settings.timeout,
            memory: settings.memory.unwrap_or(0),
            children: Vec::new(),
            expect: Vec::new(),
            id,
        })
    }

    /// Shows what the command has left, and keeps it if it is wanted.
    fn take(&self, outputs: &Outputs, watcher: &mut Watcher<'_>) -> anyhow::Result<()> {
        for (path, file) in &outputs.files {
            (watcher.0)(Seen::Output(path, file.metadata()?.len()));
            if let Some(keep) = self.keep {
                let to = keep.join(path);
                std::fs::create_dir_all(to.parent().unwrap_or(keep))?;
                std::fs::copy(file, to)?;
            }
        }
        for child in &outputs.about.children {
            (watcher.0)(Seen::Child(child.queue(), child.name()));
        }
        for (name, value) in outputs.about.fields() {
            (watcher.0)(Seen::Field(&name, &value));
        }
        Ok(())
    }
}
