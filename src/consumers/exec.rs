//! A command as a consumer (`CONSUMER_TYPE` `exec`): it is given a job and a folder, and what it leaves there is the result.
//!
//! The command knows neither Redis nor the bucket. Standard input carries one line of JSON for each job, lines that bear the
//! job's id tell of progress and of the end, everything else that it says is the log.

mod bounds;
mod children;
mod command;
mod ending;
mod findings;
mod inputs;
mod job_line;
mod lines;
mod log;
mod outputs;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod parsers;
mod rehearsal;
mod runner;
mod scratch;
mod session;
mod settings;
mod store;
mod trouble;
mod usage;
mod warm;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tracing::{debug, info, warn};

use self::ending::Verdict;
use self::inputs::Fetcher;
use self::job_line::JobLine;
use self::log::Log;
pub(crate) use self::rehearsal::{Seen, Trial, rehearse};
use self::runner::Runner;
use self::scratch::Scratch;
use self::session::Listener;
pub(crate) use self::settings::ExecSettings;
use self::settings::{LogsKept, ResultForm};
use super::memory;
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, Finding, Outcome};
use crate::job::{Child, ChildState, Job, Output, Step};
use crate::untrusted;
use crate::wire::field;

/// Runs a command for each job.
pub const KIND: ConsumerKind = ConsumerKind {
    name: "exec",
    aliases: &[],
    summary: "runs a command of yours for each job",
    queue_suffix: "",
    configure: |loader| {
        let settings = ExecSettings::load(loader);
        Box::new(move |clients| Box::new(Exec::new(settings, clients)))
    },
};

struct Exec {
    runner: Runner,
    clients: Clients,
    /// Folders of jobs that failed, the latest last.
    kept: Mutex<Vec<PathBuf>>,
}

impl Exec {
    fn new(settings: ExecSettings, clients: &Clients) -> Self {
        Self {
            runner: Runner::new(settings),
            clients: clients.clone(),
            kept: Mutex::default(),
        }
    }
}

#[async_trait]
impl Consumer for Exec {
    async fn until_ready(&self) {
        self.runner.trouble.until_try().await;
    }

    fn findings(&self) -> Vec<Finding> {
        findings::of(self.settings())
    }

    fn obstacle(&self) -> Option<String> {
        self.runner.obstacle()
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        let children = match job.children().await? {
            ChildState::None => Vec::new(),
            ChildState::Finished(children) => children,
            ChildState::CreatedElsewhere(children) => return Ok(Outcome::Wait(children)),
        };
        job.step(Step::Download);
        let id = format!("{:016x}", fastrand::u64(..));
        let mut scratch = match self.runner.scratch() {
            Ok(scratch) => scratch,
            Err(error) => {
                // No job would have one.
                let why = format!("there is no folder for its jobs (TMPDIR): {error}");
                self.runner.trouble.found(&why);
                return Ok(Outcome::Release);
            }
        };
        let worked = self.work(job, &id, &children, &mut scratch).await;
        if worked.is_err() {
            self.keep(scratch);
        }
        worked
    }
}

impl Exec {
    fn settings(&self) -> &ExecSettings {
        &self.runner.settings
    }

    async fn work(
        &self,
        job: &Job,
        id: &str,
        children: &[Child],
        scratch: &mut Scratch,
    ) -> anyhow::Result<Outcome> {
        let line = self.fetch(job, id, children, scratch).await?;
        let mut log = Log::new(&scratch.log());
        let reserved = memory::reserve(job, &self.clients, line.memory).await?;

        job.step(Step::Predict);
        let limited = job.pause_deadline(); // the command has a time limit of its own
        let verdict = self
            .runner
            .run(&line, scratch, &mut log, &mut JobListener(job))
            .await?;
        drop((limited, reserved));
        let worked = match verdict {
            Verdict::NotRunnable(why) => {
                self.runner.trouble.found(&why);
                return Ok(Outcome::Release);
            }
            Verdict::Worked => self.store(job, &line, children, scratch).await,
            Verdict::Failed(error) => Err(error),
        };
        self.runner.trouble.mended();
        self.record_log(job, &log, worked.is_err()).await;
        worked
    }

    /// Fetches what the job brings along, and tells the command of it.
    async fn fetch(
        &self,
        job: &Job,
        id: &str,
        children: &[Child],
        scratch: &mut Scratch,
    ) -> anyhow::Result<JobLine> {
        let settings = self.settings();
        let fetcher = Fetcher::new(&self.clients.storage, settings.disk);
        let (fields, is_fetched) = (&settings.inputs, settings.is_fetched);
        let inputs = fetcher.inputs(job, fields, is_fetched, scratch).await?;
        let expect = job.field(field::EXPECT)?.unwrap_or_default().lines();
        Ok(JobLine {
            inputs,
            children: fetcher.children(children, scratch).await?,
            expect: expect.map(str::to_owned).collect(),
            ..self.line(job, id)
        })
    }

    fn line(&self, job: &Job, id: &str) -> JobLine {
        let (settings, progress) = (self.settings(), job.progress());
        let share = self.clients.memory.usage().budget_bytes / settings.slots.max(1) as u64;
        let usual = settings.memory.unwrap_or(share);
        JobLine {
            id: id.to_owned(),
            key: job.key().to_json(),
            queue: job.queue_name().to_owned(),
            attempt: progress.attempts() + 1,
            crashes: progress.lease().crashes(),
            inputs: Vec::new(),
            children: Vec::new(),
            expect: Vec::new(),
            fields: job.given_fields(),
            timeout: progress.own_timeout().or(settings.timeout),
            memory: match job.least_memory() {
                0 => usual,
                own => own,
            },
        }
    }

    /// The last lines go to the job, the whole log to the bucket if it is wanted there. It is worth no failure.
    async fn record_log(&self, job: &Job, log: &Log, has_failed: bool) {
        let tail = log.tail();
        if tail.is_empty() {
            return;
        }
        job.record_log_tail(&tail);
        let is_wanted = match self.settings().logs {
            LogsKept::All => true,
            LogsKept::Failed => has_failed,
            LogsKept::None => false,
        };
        if !is_wanted {
            return;
        }
        let key = format!("output/{}.log.txt", job.stable_id());
        match self.store_log(&key, log).await {
            Ok(()) => job.record_log_file(&key),
            Err(error) => warn!(error = %error, "could not store the log of the command"),
        }
    }

    async fn store_log(&self, key: &str, log: &Log) -> anyhow::Result<()> {
        let files = log.files();
        let text = compute::run(move || files.read()).await?;
        self.clients.storage.upload(key, text.into()).await?;
        Ok(())
    }

    /// Keeps the folder of a job that failed, if any are to be kept.
    fn keep(&self, mut scratch: Scratch) {
        if self.settings().kept == 0 {
            return;
        }
        scratch.keep();
        self.runner.keep();
        info!(folder = %scratch.folder().display(), "the folder of the job is kept");
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(scratch.folder().to_owned());
        if kept.len() > self.settings().kept {
            scratch::remove(&kept.remove(0));
        }
    }

    async fn store(
        &self,
        job: &Job,
        line: &JobLine,
        children: &[Child],
        scratch: &Scratch,
    ) -> anyhow::Result<Outcome> {
        let (folder, wanted) = (scratch.output(), self.settings().outputs.clone());
        let outputs = match self.settings().result {
            ResultForm::None => outputs::about(&folder)?,
            _ => compute::run(move || outputs::look(&folder, &wanted)).await?,
        };
        for (name, value) in outputs.about.fields() {
            job.record_field(&name, value)?;
        }
        if let Some(quality) = &outputs.about.quality {
            job.record_quality(quality.to_string());
        }
        if let Some(asked) = outputs.about.asked() {
            return children::create(job, &self.clients, &asked, &outputs.files, children).await;
        }
        // The command may have told of less.
        job.record_progress(100);
        let result = match self.settings().result {
            ResultForm::Zip => store::as_archive(job, outputs, scratch).await?,
            ResultForm::File => store::as_file(job, outputs)?,
            ResultForm::Keys => store::under_keys(&line.expect, outputs)?,
            ResultForm::None => return Ok(Outcome::Done(Output::none())),
        };
        store::store(job, &self.clients, result).await
    }
}

/// Writes what a command tells of its progress to the job.
struct JobListener<'j>(&'j Job);

impl Listener for JobListener<'_> {
    fn line(&mut self, text: &str) {
        debug!(line = %untrusted::message(text), "the command says");
    }

    fn progress(&mut self, percent: u64, note: &str) {
        self.0.record_progress(percent);
        if !note.is_empty() {
            self.0.record_note(note);
        }
    }

    fn tail(&mut self, lines: &str) {
        self.0.record_log_tail(lines);
    }
}
