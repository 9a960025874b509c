//! Runs the command for jobs, whoever gives them.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bounds::Bounds;
use super::ending::{Ending, Verdict};
use super::job_line::{self, JobLine};
use super::log::Log;
use super::scratch::{Scratch, Workplace};
use super::session::{Listener, Session};
use super::settings::{ExecSettings, Mode};
use super::trouble::Trouble;
use super::warm::Warm;
use crate::error_class::{ErrorClass, InvalidInput, error_of};
use crate::process::Start;

/// Starts of a persistent command that end before a job is done, until it counts as one that cannot be run.
const EARLY_ENDS: u32 = 3;

/// Runs the command for jobs, whoever gives them.
pub(super) struct Runner {
    pub(super) settings: ExecSettings,
    pub(super) trouble: Trouble,
    warm: Warm,
    /// Claimed for the first job.
    workplace: Mutex<Option<Workplace>>,
    /// Of how many processes in a row none has answered a job.
    early_ends: Mutex<u32>,
}

/// Why no command was started.
enum Refused {
    /// The job cannot be put into its words and variables.
    Job(anyhow::Error),
    Start(io::Error),
}

impl Runner {
    pub(super) fn new(settings: ExecSettings) -> Self {
        Self {
            settings,
            trouble: Trouble::default(),
            warm: Warm::default(),
            workplace: Mutex::default(),
            early_ends: Mutex::default(),
        }
    }

    /// Why the command cannot be run, if it cannot.
    pub(super) fn obstacle(&self) -> Option<String> {
        let why = self.trouble.why()?;
        let program = self.settings.command.program();
        Some(format!("the command `{program}` cannot be run: {why}"))
    }

    /// A folder for a job.
    pub(super) fn scratch(&self) -> io::Result<Scratch> {
        let mut workplace = self.workplace();
        match &mut *workplace {
            Some(workplace) => workplace.scratch(),
            none => none
                .insert(Workplace::claim(&self.settings.scratch)?)
                .scratch(),
        }
    }

    /// Something in the folder of this process is to stay.
    pub(super) fn keep(&self) {
        if let Some(workplace) = &mut *self.workplace() {
            workplace.keep();
        }
    }

    fn workplace(&self) -> MutexGuard<'_, Option<Workplace>> {
        self.workplace
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the command, or has a warm one work the job.
    pub(super) async fn run(
        &self,
        line: &JobLine,
        scratch: &Scratch,
        log: &mut Log,
        listener: &mut dyn Listener,
    ) -> anyhow::Result<Verdict> {
        let json = line.to_json(scratch);
        if self.settings.mode == Mode::Once {
            tokio::fs::write(scratch.job(), &json).await?;
        }
        if let Some(file) = self.settings.command.missing_script() {
            return Ok(Verdict::NotRunnable(format!("there is no file `{file}`")));
        }
        let mut session = match self.session(line, scratch) {
            Ok(session) => session,
            Err(Refused::Job(error)) => return Ok(Verdict::Failed(error)),
            Err(Refused::Start(error)) => return Ok(Verdict::NotRunnable(error.to_string())),
        };
        let bounds = self.bounds(line, scratch);
        let ending = session.work(&json, &bounds, log, listener).await?;
        let early_ends = self.count_early_end(&session, &ending);
        self.let_go(session, &ending).await;
        let (mode, retry) = (self.settings.mode, &self.settings.retry);
        let verdict = ending.verdict(mode, log.last_words(), retry);
        Ok(match verdict {
            Verdict::Failed(error) if early_ends >= EARLY_ENDS => Verdict::NotRunnable(format!(
                "it has ended {early_ends} times in a row before it had worked a job; {error}"
            )),
            verdict => verdict,
        })
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

    /// Counts a persistent command that has ended without ever having answered, and gives how many have in a row.
    fn count_early_end(&self, session: &Session, ending: &Ending) -> u32 {
        let is_early = self.settings.mode == Mode::Persistent
            && session.jobs == 0
            && matches!(ending, Ending::Exited(..));
        let early_ends = self.early_ends.lock();
        let mut early_ends = early_ends.unwrap_or_else(PoisonError::into_inner);
        *early_ends = if is_early { *early_ends + 1 } else { 0 };
        *early_ends
    }

    /// A persistent command that has answered waits for the next job; any other is ended.
    async fn let_go(&self, session: Session, ending: &Ending) {
        let most = self.settings.max_jobs;
        match ending {
            Ending::Done | Ending::Failed(_) if most.is_none_or(|most| session.jobs < most) => {
                self.warm.put(session, self.settings.idle);
            }
            // It may take more at any time.
            Ending::Memory(..) | Ending::Disk(..) => session.kill().await,
            _ => session.end().await,
        }
    }

    fn session(&self, line: &JobLine, scratch: &Scratch) -> Result<Session, Refused> {
        if let Some(session) = self.warm.take() {
            return Ok(session);
        }
        let settings = &self.settings;
        let words = line.words(&settings.command, scratch);
        let words = words.map_err(|why| Refused::Job(InvalidInput(why).into()))?;
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
            fence: settings.is_fenced.then_some(match settings.mode {
                Mode::Once => scratch.folder(),
                // It works jobs that are not known yet.
                Mode::Persistent => &settings.scratch,
            }),
        };
        Session::start(&start, settings.grace).map_err(|error| match settings.mode {
            // Another job is shorter.
            Mode::Once if error.kind() == io::ErrorKind::ArgumentListTooLong => {
                let text = "the job is too long for the words and variables of a command, which can read it from its standard input or {job}";
                Refused::Job(error_of(ErrorClass::TooLarge, text.to_owned()))
            }
            _ => Refused::Start(error),
        })
    }

    fn folder_of_warm(&self) -> io::Result<PathBuf> {
        let folder = self.settings.scratch.join("warm");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
