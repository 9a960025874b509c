//! A command as a consumer (`CONSUMER_TYPE` `exec`): it is given a job and a folder, and what it leaves there is the result.
//!
//! The command knows neither Redis nor the bucket. Standard input carries one line of JSON for each job, lines that bear the
//! job's id tell of progress and of the end, everything else that it says is the log.

mod bounds;
mod command;
mod ending;
mod job_line;
mod lines;
mod log;
mod outputs;
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
use self::job_line::{JobInput, JobLine};
use self::log::Log;
pub(crate) use self::rehearsal::{Seen, Trial, rehearse};
use self::runner::Runner;
use self::scratch::Scratch;
use self::session::Listener;
pub(crate) use self::settings::ExecSettings;
use self::settings::LogsKept;
use super::memory;
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, Outcome};
use crate::error_class::TooLarge;
use crate::job::{Job, Step};
use crate::untrusted;

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
        scratch::clean_up(&settings.scratch);
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

    fn obstacle(&self) -> Option<String> {
        self.runner.obstacle()
    }

    async fn consume(&self, job: &Job) -> anyhow::Result<Outcome> {
        job.step(Step::Download);
        let id = format!("{:016x}", fastrand::u64(..));
        let mut scratch = Scratch::create(&self.settings().scratch, &id)?;
        let worked = self.work(job, &id, &mut scratch).await;
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

    async fn work(&self, job: &Job, id: &str, scratch: &mut Scratch) -> anyhow::Result<Outcome> {
        let inputs = self.fetch(job, scratch).await?;
        let line = self.line(job, id, inputs);
        let mut log = Log::new(&scratch.log())?;
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
            Verdict::Worked => self.store(job, scratch).await,
            Verdict::Failed(error) => Err(error),
        };
        self.runner.trouble.mended();
        self.record_log(job, &log, worked.is_err()).await;
        worked
    }

    /// Fetches the inputs.
    async fn fetch(&self, job: &Job, scratch: &mut Scratch) -> anyhow::Result<Vec<JobInput>> {
        let mut keys = Vec::new();
        for field in &self.settings().inputs {
            let lines = job.field(field)?.unwrap_or_default().lines();
            keys.extend(lines.map(str::trim).filter(|key| !key.is_empty()));
        }
        let (mut inputs, mut room) = (Vec::new(), self.settings().disk);
        for key in keys {
            let path = scratch.input(key);
            inputs.push(if self.settings().is_fetched {
                self.fetch_one(key, path, &mut room).await?
            } else {
                JobInput::elsewhere(&path, key)
            });
        }
        Ok(inputs)
    }

    /// Fetches one input, if there is room for it.
    async fn fetch_one(
        &self,
        key: &str,
        path: PathBuf,
        room: &mut u64,
    ) -> anyhow::Result<JobInput> {
        let storage = &self.clients.storage;
        let size = storage.size(key).await?;
        *room = room.checked_sub(size).ok_or_else(|| {
            let limit = self.settings().disk;
            TooLarge(format!(
                "the inputs have more than {limit} bytes, which is all that the files of a job may take (EXEC_DISK)"
            ))
        })?;
        storage.download_to(key, &path).await?;
        Ok(JobInput::in_file(path, key, size))
    }

    fn line(&self, job: &Job, id: &str, inputs: Vec<JobInput>) -> JobLine {
        let (settings, progress) = (self.settings(), job.progress());
        let share = self.clients.memory.usage().budget_bytes / settings.slots.max(1) as u64;
        let usual = settings.memory.unwrap_or(share);
        JobLine {
            id: id.to_owned(),
            key: job.key().to_json(),
            queue: job.queue_name().to_owned(),
            attempt: progress.attempts() + 1,
            crashes: progress.lease().crashes(),
            inputs,
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
        info!(folder = %scratch.folder().display(), "the folder of the job is kept");
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(scratch.folder().to_owned());
        if kept.len() > self.settings().kept {
            scratch::remove(&kept.remove(0));
        }
    }

    async fn store(&self, job: &Job, scratch: &Scratch) -> anyhow::Result<Outcome> {
        let (folder, wanted) = (scratch.output(), self.settings().outputs.clone());
        let outputs = compute::run(move || outputs::look(&folder, &wanted)).await?;
        for (name, value) in outputs.about.fields() {
            job.record_field(&name, value)?;
        }
        if let Some(quality) = &outputs.about.quality {
            job.record_quality(&quality.to_string());
        }
        store::store(job, &self.clients, self.settings().result, outputs, scratch).await
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
}
