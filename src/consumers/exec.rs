//! A command as a consumer (`CONSUMER_TYPE` `exec`): it is given a job and a folder, and what it leaves there is the result.
//!
//! The command knows neither Redis nor the bucket. Standard input carries one line of JSON for each job, lines that bear the
//! job's id tell of progress and of the end, everything else that it says is the log.

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
mod warm;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tracing::{info, warn};

use self::ending::{Verdict, failure};
use self::job_line::{JobInput, JobLine};
use self::log::Log;
pub(crate) use self::rehearsal::{Rehearsal, rehearse};
use self::runner::Runner;
use self::scratch::Scratch;
pub(crate) use self::settings::ExecSettings;
use self::settings::LogsKept;
use super::memory;
use crate::compute;
use crate::consumer::{Clients, Consumer, ConsumerKind, Outcome};
use crate::error_class::ErrorClass;
use crate::job::{Job, Step};
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
        let line = self.line(job, id, inputs)?;
        let mut log = Log::new(&scratch.log())?;
        let reserved = memory::reserve(job, &self.clients, line.memory).await?;

        job.step(Step::Predict);
        let verdict = {
            // The command has a time limit of its own.
            let _limited = job.pause_deadline();
            let mut on_progress = |percent: u64, note: &str| {
                job.record_progress(percent);
                if !note.is_empty() {
                    job.record_note(note);
                }
            };
            self.runner
                .run(&line, scratch, &mut log, &mut on_progress)
                .await
        };
        drop(reserved);
        let worked = match verdict {
            Ok(Verdict::NotRunnable(why)) => {
                self.runner.trouble.found(&why);
                return Ok(Outcome::Release);
            }
            Ok(Verdict::Worked) => self.store(job, scratch).await,
            Ok(Verdict::Failed(error)) | Err(error) => Err(error),
        };
        self.record_log(job, &log, worked.is_err()).await;
        worked
    }

    /// Fetches the inputs.
    async fn fetch(&self, job: &Job, scratch: &mut Scratch) -> anyhow::Result<Vec<JobInput>> {
        let storage = &self.clients.storage;
        let (mut inputs, mut total) = (Vec::new(), 0);
        for field in &self.settings().inputs {
            let keys = job.field(field)?.unwrap_or_default();
            for key in keys.lines().map(str::trim).filter(|key| !key.is_empty()) {
                let path = scratch.input(key);
                let name = path.file_name().unwrap_or_default();
                let name = name.to_string_lossy().into_owned();
                let (path, size) = if self.settings().is_fetched {
                    let size = storage.size(key).await?;
                    total += size;
                    if total > self.settings().disk {
                        let limit = self.settings().disk;
                        return Err(failure(
                            ErrorClass::TooLarge,
                            format!(
                                "the inputs have {total} bytes, and {limit} are allowed (EXEC_DISK)"
                            ),
                        ));
                    }
                    storage.download_to(key, &path).await?;
                    (Some(path), Some(size))
                } else {
                    (None, None)
                };
                let key = key.to_owned();
                inputs.push(JobInput {
                    name,
                    path,
                    key,
                    size,
                });
            }
        }
        Ok(inputs)
    }

    fn line(&self, job: &Job, id: &str, inputs: Vec<JobInput>) -> anyhow::Result<JobLine> {
        let number = |name: &str| -> anyhow::Result<Option<u64>> {
            Ok(job
                .field(name)?
                .and_then(|text| text.parse().ok())
                .filter(|number| *number > 0))
        };
        let budget = self.clients.memory.usage().budget_bytes;
        let share = budget / self.settings().slots.max(1) as u64;
        let own_timeout = number(field::TIMEOUT)?.map(Duration::from_secs);
        Ok(JobLine {
            id: id.to_owned(),
            key: job.key().to_json(),
            queue: job.queue_name().to_owned(),
            attempt: job.progress().attempts() + 1,
            crashes: job.progress().lease().crashes(),
            inputs,
            fields: job.given_fields(),
            timeout: own_timeout.or(self.settings().timeout),
            memory: number(field::MEMORY)?
                .or(self.settings().memory)
                .unwrap_or(share),
        })
    }

    /// The last lines go to the job, the whole log to the bucket if it is wanted there. It is worth no failure.
    async fn record_log(&self, job: &Job, log: &Log, has_failed: bool) {
        let tail = log.tail();
        if !tail.is_empty() {
            job.record_log_tail(&tail);
        }
        let is_wanted = match self.settings().logs {
            LogsKept::All => true,
            LogsKept::Failed => has_failed,
            LogsKept::None => false,
        };
        if !is_wanted || tail.is_empty() {
            return;
        }
        let key = format!("output/{}.log.txt", job.stable_id());
        let stored = match log.read() {
            Ok(text) => self
                .clients
                .storage
                .upload(&key, text.into())
                .await
                .map(drop)
                .map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        match stored {
            Ok(()) => job.record_log_file(&key),
            Err(error) => warn!(error = %error, "could not store the log of the command"),
        }
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
            let _ = std::fs::remove_dir_all(kept.remove(0));
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
