//! The settings of consumers that run a command.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::outputs::Pattern;
use crate::process;
use crate::settings::{Bytes, List, Loader, Parsed, Seconds, Switch, Word};

crate::settings! {
    /// A command as a consumer (`CONSUMER_TYPE=exec`).
    struct ExecVariables {
        /// The command, split into words as by a shell, with `{input}`, `{inputs}`, `{output}`, `{job}`, `{name}`, `{stem}` and `{field:NAME}`; no shell runs it.
        exec_command: String = String::new(),
        /// Run the command by `/bin/sh -c`; it has variables such as `$RC_INPUT` in place of placeholders.
        exec_shell: Switch = Switch(false),
        /// `once`: a process per job. `persistent`: a process per slot, which gets one job after the other.
        exec_mode: Word<Mode> = Word(Mode::Once),
        /// Fetch the inputs; otherwise the command is only told their keys.
        exec_download: Switch = Switch(true),
        /// Fields of the job that name its inputs, each one key or several on lines of their own.
        exec_inputs: List = List(vec!["input_file_name".to_owned()]),
        /// Patterns such as `*.csv,labels/*.tif`; an output has to match each.
        exec_outputs: List = List(Vec::new()),
        /// `zip`: the outputs become one archive. `file`: there is one output, which is stored as it is. `keys`: each output is stored under a key that the job expects (`rc_expect`). `none`: nothing is stored; the command writes elsewhere.
        exec_result: Word<ResultForm> = Word(ResultForm::Zip),
        /// Longest time of the command for one job, in seconds; 0 means no limit.
        exec_timeout: Seconds = Seconds::new(3600),
        /// Memory of the command and all processes that it starts.
        exec_memory: Option<Bytes> = None => "`MEMORY_BUDGET` / `CONCURRENCY`",
        /// Largest size of the files of one job: inputs, outputs and all.
        exec_disk: Bytes = Bytes(20 << 30),
        /// Time between SIGTERM and SIGKILL, in seconds.
        exec_stop_grace: Seconds = Seconds::new(10),
        /// Exit statuses after which the job is tried again, besides 69 and 75, such as `1,100-110`.
        exec_retry_codes: Parsed<Codes> = Parsed(Codes::default()),
        /// Let the command write to its own folder and to devices only, and read everything but the secrets of its pod (Landlock, Linux 5.13).
        exec_sandbox: Switch = Switch(false),
        /// Names of variables that the command gets besides `PATH`, `HOME` and the like.
        exec_env: List = List(Vec::new()),
        /// Persistent: longest time for loading, in seconds, until the command says `::ready` or has ended its first job.
        exec_ready: Seconds = Seconds::new(600),
        /// Persistent: jobs after which the process is replaced; 0 means never.
        exec_max_jobs: u64 = 0,
        /// Persistent: time without a job after which the process ends, in seconds; 0 means never.
        exec_idle: Seconds = Seconds::new(0),
        /// How many folders of failed jobs are kept, the latest ones.
        exec_keep_failed: usize = 0,
        /// Regular expression with one group that finds the progress, in per cent, in what the command writes.
        exec_progress: Option<String> = None,
        /// Logs that go to the bucket: `all`, `failed` or `none`.
        exec_log: Word<LogsKept> = Word(LogsKept::Failed),
    }
}

/// How processes and jobs belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Once,
    Persistent,
}

/// What becomes of the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ResultForm {
    Zip,
    File,
    Keys,
    None,
}

/// Which logs go to the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogsKept {
    All,
    Failed,
    None,
}

/// Exit statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Codes(Vec<RangeInclusive<u8>>);

impl Codes {
    pub(super) fn contain(&self, code: u8) -> bool {
        self.0.iter().any(|range| range.contains(&code))
    }
}

impl FromStr for Codes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected exit statuses from 1 to 255 such as `1,100-110`";
        let number = |text: &str| match text.trim().parse() {
            Ok(0) | Err(_) => Err(EXPECTED),
            Ok(code) => Ok(code),
        };
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        let ranges = parts.map(|part| match part.split_once('-') {
            None => number(part).map(|code| code..=code),
            Some((from, to)) => {
                let range = number(from)?..=number(to)?;
                (!range.is_empty()).then_some(range).ok_or(EXPECTED)
            }
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }
}

impl Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self
            .0
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (from, to) if from == to => from.to_string(),
                (from, to) => format!("{from}-{to}"),
            });
        f.write_str(&parts.collect::<Vec<_>>().join(","))
    }
}

/// What a command is, and how it is run.
#[derive(Clone, Debug)]
pub(crate) struct ExecSettings {
    pub(super) command: Command,
    pub(super) mode: Mode,
    pub(super) is_fetched: bool,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<Pattern>,
    pub(super) result: ResultForm,
    pub(super) timeout: Option<Duration>,
    /// None is a share of the budget.
    pub(super) memory: Option<u64>,
    pub(super) disk: u64,
    pub(super) grace: Duration,
    pub(super) retry: Codes,
    pub(super) environment: Vec<(String, String)>,
    pub(super) is_fenced: bool,
    pub(super) ready: Duration,
    pub(super) max_jobs: Option<u64>,
    pub(super) idle: Option<Duration>,
    pub(super) kept: usize,
    pub(super) progress: Option<Regex>,
    pub(super) logs: LogsKept,
    pub(super) slots: usize,
    /// The folder of all jobs of this process.
    pub(super) scratch: PathBuf,
}

/// Variables that every command gets, if they are set.
const INHERITED: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_",
];

/// Parts of names of variables that look like secrets.
const SECRETS: [&str; 6] = ["PASSWORD", "SECRET", "TOKEN", "AWS_", "GOOGLE_", "AZURE_"];

impl ExecSettings {
    /// Loads `EXEC_COMMAND` and the like.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: ExecVariables = loader.load();
        let process = loader.shown("HOSTNAME").unwrap_or_default();
        Self {
            command: variables.command(loader),
            is_fenced: variables.fence(loader),
            outputs: variables.patterns(loader),
            progress: variables.progress(loader),
            environment: variables.environment(loader),
            mode: variables.exec_mode.0,
            is_fetched: variables.exec_download.0,
            inputs: variables.exec_inputs.0,
            result: variables.exec_result.0,
            timeout: variables.exec_timeout.limit(),
            memory: variables.exec_memory.map(|Bytes(bytes)| bytes),
            disk: variables.exec_disk.0,
            grace: variables.exec_stop_grace.0,
            retry: variables.exec_retry_codes.0,
            ready: variables.exec_ready.0,
            max_jobs: (variables.exec_max_jobs > 0).then_some(variables.exec_max_jobs),
            idle: variables.exec_idle.limit(),
            kept: variables.exec_keep_failed,
            logs: variables.exec_log.0,
            slots: loader
                .shown("CONCURRENCY")
                .and_then(|slots| slots.parse().ok())
                .unwrap_or(1),
            scratch: super::scratch::folder_of(&process),
        }
    }
}

impl ExecVariables {
    fn command(&self, loader: &mut Loader<'_>) -> Command {
        let text = self.exec_command.trim();
        if text.is_empty() {
            loader.problem(
                "EXEC_COMMAND",
                "there is no command: set it to one that works a job, such as `python3 cells.py`",
            );
            return Command::for_shell("");
        }
        let command = if self.exec_shell.0 {
            Ok(Command::for_shell(text))
        } else {
            let here = std::env::current_dir().unwrap_or_default();
            Command::parse(text).map(|command| command.with_files_of(&here))
        };
        let command = command.unwrap_or_else(|why| {
            loader.refuse("EXEC_COMMAND", text, why);
            Command::for_shell("")
        });
        let in_shell = self.exec_shell.0.then(|| Command::parse(text));
        if let Some(Ok(words)) = in_shell
            && words.has_placeholders()
        {
            let why = "a shell gets no placeholders, as names of files would be its commands: use \"$RC_INPUT\", \"$RC_OUTPUT\" and \"$RC_FIELD_…\"";
            loader.refuse("EXEC_COMMAND", text, why);
        }
        if self.exec_mode.0 == Mode::Persistent && command.has_placeholders() {
            let why = "a persistent command is started once for many jobs, and reads each from its standard input: no placeholders";
            loader.refuse("EXEC_COMMAND", text, why);
        }
        command
    }

    /// The variables that the command gets, with their values.
    fn environment(&self, loader: &mut Loader<'_>) -> Vec<(String, String)> {
        let mut names = INHERITED.to_vec();
        for name in &self.exec_env.0 {
            let upper = name.to_uppercase();
            if SECRETS.iter().any(|part| upper.contains(part)) {
                let text = format!("EXEC_ENV gives the command {name}, which looks like a secret");
                loader.warn(text);
            }
            names.push(name);
        }
        loader.passed_on(&names)
    }

    fn fence(&self, loader: &mut Loader<'_>) -> bool {
        if self.exec_sandbox.0 && !process::has_sandbox() {
            let text = "EXEC_SANDBOX is set, but this kernel knows no Landlock: the command is not fenced in";
            loader.warn(text.to_owned());
        }
        self.exec_sandbox.0
    }

    fn patterns(&self, loader: &mut Loader<'_>) -> Vec<Pattern> {
        let mut patterns = Vec::new();
        for text in &self.exec_outputs.0 {
            match Pattern::parse(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(why) => loader.refuse("EXEC_OUTPUTS", text, why),
            }
        }
        patterns
    }

    fn progress(&self, loader: &mut Loader<'_>) -> Option<Regex> {
        let text = self.exec_progress.as_ref()?;
        match Regex::new(text) {
            Ok(regex) if regex.captures_len() == 2 => Some(regex),
            Ok(_) => {
                loader.refuse(
                    "EXEC_PROGRESS",
                    text,
                    "expected one group, such as in `(\\d+)%`",
                );
                None
            }
            Err(error) => {
                loader.refuse("EXEC_PROGRESS", text, error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Env;

    fn load(variables: &[(&str, &str)]) -> Result<ExecSettings, String> {
        let env: Env = variables.iter().copied().collect();
        let mut loader = Loader::new(&env);
        let settings = ExecSettings::load(&mut loader);
        loader
            .finish()
            .map(|_| settings)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn codes_are_numbers_and_ranges() {
        let codes: Codes = "1, 100-110".parse().expect("codes");
        assert!(codes.contain(1) && codes.contain(105) && !codes.contain(2) && !codes.contain(111));
        assert_eq!(codes.to_string(), "1,100-110");
        for wrong in ["0", "256", "9-5", "x", "1-"] {
            assert!(wrong.parse::<Codes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_told_and_secrets_stay_here() {
        let error = |variables: &[(&str, &str)]| load(variables).expect_err("a mistake");
        assert!(error(&[]).contains("EXEC_COMMAND"));
        assert!(error(&[("EXEC_COMMAND", "a {ouput}")]).contains("{output}"));
        assert!(error(&[("EXEC_COMMAND", "a {input}"), ("EXEC_SHELL", "1")]).contains("RC_INPUT"));
        assert!(
            error(&[("EXEC_COMMAND", "a {input}"), ("EXEC_MODE", "persistent")])
                .contains("standard input")
        );
        assert!(error(&[("EXEC_COMMAND", "a"), ("EXEC_PROGRESS", "%")]).contains("one group"));
        let given = [
            ("EXEC_COMMAND", "a"),
            ("EXEC_ENV", "MODEL"),
            ("MODEL", "cyto"),
            ("PATH", "/bin"),
            ("NVIDIA_VISIBLE_DEVICES", "all"),
            ("REDIS_PASSWORD", "s3cret"),
        ];
        let environment = load(&given).expect("settings").environment;
        let names: Vec<_> = environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["MODEL", "NVIDIA_VISIBLE_DEVICES", "PATH"]);
    }
}
