//! Runs the command for jobs, whoever gives them.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ending::{Ending, Verdict, failure};
use super::job_line::{self, JobLine};
use super::log::Log;
use super::scratch::Scratch;
use super::session::{Bounds, Said, Session};
use super::settings::{ExecSettings, Mode};
use super::trouble::Trouble;
use super::warm::Warm;
use crate::error_class::{ErrorClass, InvalidInput};
use crate::process::Start;

/// Starts of a warm command that end before a job is done, until it counts as one that cannot be run.
const EARLY_ENDS: u32 = 3;

/// Who is told of the progress: per cent, and a text beside it.
pub(super) type OnProgress<'a> = &'a mut (dyn FnMut(u64, &str) + Send);

/// Runs the command for jobs, whoever gives them.
pub(super) struct Runner {
    pub(super) settings: ExecSettings,
    pub(super) trouble: Trouble,
    warm: Warm,
    early_ends: Mutex<u32>,
}

/// Why no command was started.
enum Refused {
    /// The job cannot be put into its words.
    Job(String),
    Start(io::Error),
}

impl Runner {
    pub(super) fn new(settings: ExecSettings) -> Self {
        Self {
            settings,
            trouble: Trouble::default(),
            warm: Warm::default(),
            early_ends: Mutex::default(),
        }
    }

    /// Why the command cannot be run, if it cannot.
    pub(super) fn obstacle(&self) -> Option<String> {
        let why = self.trouble.why()?;
        let program = self.settings.command.program();
        Some(format!("the command `{program}` cannot be run: {why}"))
    }

    /// Runs the command, or has a warm one work the job.
    pub(super) async fn run(
        &self,
        line: &JobLine,
        scratch: &Scratch,
        log: &mut Log,
        on_progress: OnProgress<'_>,
    ) -> anyhow::Result<Verdict> {
        let json = line.to_json(scratch);
        std::fs::write(scratch.job(), &json)?;
        let mut session = match self.session(line, scratch) {
            Ok(session) => session,
            Err(Refused::Job(why)) => return Ok(Verdict::Failed(InvalidInput(why).into())),
            Err(Refused::Start(error)) => return Ok(Verdict::NotRunnable(error.to_string())),
        };
        let mut said = Said {
            log,
            failure: None,
            on_progress,
        };
        let bounds = self.bounds(line, scratch);
        let ending = session.work(&json, &bounds, &mut said).await?;
        let told = said.failure.take();
        let is_first = session.jobs == 0;
        self.let_go(session, &ending).await;
        Ok(self.judge(ending, told, log, is_first))
    }

    fn bounds<'a>(&'a self, line: &'a JobLine, scratch: &'a Scratch) -> Bounds<'a> {
        let settings = &self.settings;
        Bounds {
            id: &line.id,
            mode: settings.mode,
            timeout: line.timeout,
            ready: settings.ready,
            memory: line.memory,
            disk: settings.disk,
            folder: scratch.folder(),
            progress: settings.progress.as_ref(),
        }
    }

    /// A warm command that has answered waits for the next job; any other is ended.
    async fn let_go(&self, session: Session, ending: &Ending) {
        let most = self.settings.max_jobs;
        match ending {
            Ending::Done | Ending::Failed(..) if most.is_none_or(|most| session.jobs < most) => {
                self.warm.put(session, self.settings.idle);
            }
            // It may take more at any time.
            Ending::Memory(..) | Ending::Disk(..) => session.kill().await,
            _ => session.end().await,
        }
    }

    /// What an ending means for the job, and for the command itself.
    fn judge(
        &self,
        ending: Ending,
        told: Option<(String, String)>,
        log: &Log,
        is_first: bool,
    ) -> Verdict {
        let is_answer = !matches!(ending, Ending::Exited(_));
        let is_warm = self.settings.mode == Mode::Persistent;
        let verdict = ending.verdict(told, log.last_error(), &self.settings.retry);
        let verdict = match verdict {
            Verdict::Worked if is_warm && !is_answer => Verdict::Failed(failure(
                ErrorClass::Crash,
                "the command ended without an answer".to_owned(),
            )),
            Verdict::Failed(error) if is_warm && !is_answer => Verdict::Failed(failure(
                ErrorClass::Crash,
                format!("the command ended without an answer: {error}"),
            )),
            verdict => verdict,
        };
        let mut early_ends = self.early_ends();
        *early_ends = if is_warm && is_first && !is_answer {
            *early_ends + 1
        } else {
            0
        };
        match verdict {
            Verdict::NotRunnable(why) => Verdict::NotRunnable(why),
            Verdict::Failed(error) if *early_ends >= EARLY_ENDS => Verdict::NotRunnable(format!(
                "it has ended {early_ends} times in a row before it had worked a job; {error}"
            )),
            verdict => {
                self.trouble.mended();
                verdict
            }
        }
    }

    fn session(&self, line: &JobLine, scratch: &Scratch) -> Result<Session, Refused> {
        if let Some(session) = self.warm.take() {
            return Ok(session);
        }
        let settings = &self.settings;
        let words = line.words(&settings.command, scratch);
        let words = words.map_err(Refused::Job)?;
        let (environment, folder) = match settings.mode {
            Mode::Once => (
                line.environment(settings, scratch),
                scratch.folder().to_owned(),
            ),
            // It outlives the folder of this job.
            Mode::Persistent => {
                let folder = self.folder_of_warm().map_err(Refused::Start)?;
                (job_line::common(settings, &folder), folder)
            }
        };
        let start = Start {
            words: &words,
            folder: &folder,
            environment: &environment,
        };
        Session::start(&start, settings.grace).map_err(Refused::Start)
    }

    fn folder_of_warm(&self) -> io::Result<PathBuf> {
        let folder = self.settings.scratch.join("warm");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn early_ends(&self) -> MutexGuard<'_, u32> {
        self.early_ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
