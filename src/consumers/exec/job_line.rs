//! A job as its command sees it: one line of JSON, and variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use batch_plan::{ItemState, ManifestItem};
use serde::Serialize;
use serde_json::{Value, json};

use super::children::ChildLine;
use super::command::{Command, Values};
use super::scratch::Scratch;
use super::settings::{ExecSettings, Mode};

/// Variables by which numerical libraries are told how many threads to use.
const THREADS: [&str; 4] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
];

/// Bytes of a field above which it becomes no variable: the system refuses a program whose variables are too long.
const LONGEST_VARIABLE: usize = 32 << 10;

/// An input of a job.
#[derive(Clone, Debug, Serialize)]
pub(super) struct JobInput {
    pub(super) name: String,
    /// Where it lies; nothing if the command fetches it.
    pub(super) path: Option<PathBuf>,
    pub(super) key: String,
    pub(super) size: Option<u64>,
    /// What is known of it as an item of a manifest.
    #[serde(flatten)]
    item: Option<InputItem>,
}

#[derive(Clone, Debug, Serialize)]
struct InputItem {
    #[serde(rename = "item")]
    id: String,
    state: ItemState,
    results: Vec<PathBuf>,
}

impl JobInput {
    /// An input that lies in this file.
    pub(super) fn in_file(path: PathBuf, key: &str, size: u64) -> Self {
        Self {
            name: name_of(&path),
            path: Some(path),
            key: key.to_owned(),
            size: Some(size),
            item: None,
        }
    }

    /// An input that the command fetches, and that would lie there otherwise.
    pub(super) fn elsewhere(path: &Path, key: &str) -> Self {
        Self {
            name: name_of(path),
            path: None,
            key: key.to_owned(),
            size: None,
            item: None,
        }
    }

    /// The same as that of an item which has these results.
    #[must_use]
    pub(super) fn of_item(mut self, item: ManifestItem, results: Vec<PathBuf>) -> Self {
        self.item = Some(InputItem {
            id: item.id,
            state: item.state,
            results,
        });
        self
    }

    /// What the command is told of where it is.
    fn place(&self) -> &OsStr {
        let path = self.path.as_ref();
        path.map_or(OsStr::new(&self.key), |path| path.as_os_str())
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A job as its command sees it.
pub(super) struct JobLine {
    /// New for each attempt, so that nothing but the command can know it.
    pub(super) id: String,
    pub(super) key: Value,
    pub(super) queue: String,
    pub(super) attempt: u64,
    pub(super) crashes: u64,
    pub(super) inputs: Vec<JobInput>,
    /// Name and value of fields.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    pub(super) timeout: Option<Duration>,
    /// Bytes; 0 is no limit.
    pub(super) memory: u64,
    /// Jobs that it has asked for, and that have ended.
    pub(super) children: Vec<ChildLine>,
    /// Keys that its results have to have.
    pub(super) expect: Vec<String>,
}

impl JobLine {
    /// What the command is to do: its work, or what is left when the jobs that it has asked for have ended.
    fn phase(&self) -> &'static str {
        match self.children.is_empty() {
            true => "work",
            false => "collect",
        }
    }

    pub(super) fn to_json(&self, scratch: &Scratch) -> String {
        let fields: BTreeMap<_, _> = self
            .fields
            .iter()
            .map(|(name, value)| (name, text_or_base64(value)))
            .collect();
        let deadline = self
            .timeout
            .map(|timeout| (jiff::Timestamp::now() + timeout).to_string());
        json!({
            "id": self.id,
            "key": self.key,
            "queue": self.queue,
            "phase": self.phase(),
            "attempt": self.attempt,
            "crashes": self.crashes,
            "inputs": self.inputs,
            "output": scratch.output(),
            "tmp": scratch.tmp(),
            "fields": fields,
            "deadline": deadline,
            "memory": (self.memory > 0).then_some(self.memory),
            "children": self.children,
            "expect": self.expect,
        })
        .to_string()
    }

    /// The words of a command that is started for this job.
    pub(super) fn words(
        &self,
        command: &Command,
        scratch: &Scratch,
    ) -> Result<Vec<OsString>, String> {
        let inputs = self.inputs.iter().map(JobInput::place);
        let field = |name: &str| {
            let (_, value) = self.fields.iter().find(|(other, _)| other == name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        command.words(&Values {
            inputs: inputs.collect(),
            output: scratch.output().as_os_str(),
            job: scratch.job().as_os_str(),
            name: self.inputs.first().map_or("", |input| &input.name),
            field: &field,
        })
    }

    /// The variables of a command that is started for this job.
    pub(super) fn environment(
        &self,
        settings: &ExecSettings,
        scratch: &Scratch,
    ) -> Vec<(OsString, OsString)> {
        let mut all = common(settings, &scratch.tmp());
        let mut add = |name: &str, value: &OsStr| all.push((name.into(), value.to_owned()));
        add("RC_JOB", scratch.job().as_os_str());
        add("RC_ID", OsStr::new(&self.id));
        add("RC_PHASE", OsStr::new(self.phase()));
        add("RC_OUTPUT", scratch.output().as_os_str());
        add("RC_TMP", scratch.tmp().as_os_str());
        let input = self.inputs.first().map(JobInput::place);
        add("RC_INPUT", input.unwrap_or_default());
        if let Some(timeout) = self.timeout {
            add(
                "RC_DEADLINE",
                OsStr::new(&(jiff::Timestamp::now() + timeout).to_string()),
            );
        }
        if self.memory > 0 {
            add("RC_MEMORY", OsStr::new(&self.memory.to_string()));
        }
        let expect = self.expect.join("\n");
        if !expect.is_empty() && expect.len() <= LONGEST_VARIABLE {
            add("RC_EXPECT", OsStr::new(&expect));
        }
        for (name, value) in &self.fields {
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if is_name && !value.contains(&0) && value.len() <= LONGEST_VARIABLE {
                let name = format!("RC_FIELD_{}", name.to_uppercase());
                add(&name, OsStr::from_bytes(value));
            }
        }
        all
    }
}

/// The variables of every command.
pub(super) fn common(settings: &ExecSettings, tmp: &Path) -> Vec<(OsString, OsString)> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpus = (cores / settings.slots.max(1)).max(1).to_string();
    let mode = match settings.mode {
        Mode::Once => "once",
        Mode::Persistent => "persistent",
    };
    let mut all: Vec<(OsString, OsString)> = THREADS
        .into_iter()
        .chain(["RC_CPUS"])
        .map(|name| (name.into(), cpus.as_str().into()))
        .collect();
    all.push(("RC_MODE".into(), mode.into()));
    all.push(("PYTHONUNBUFFERED".into(), "1".into()));
    all.push(("TMPDIR".into(), tmp.into()));
    for (name, value) in &settings.environment {
        all.retain(|(other, _)| other != OsStr::new(name));
        all.push((name.into(), value.into()));
    }
    all
}

fn text_or_base64(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": STANDARD.encode(value) }),
    }
}
