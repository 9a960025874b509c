//! How a command is started: below `redis-consumer exec-child`, which becomes the command.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit, Signal};
use rustix::thread::CapabilitySet;

use super::guard::{self, SELF};
use super::members::{MARK, Members};
use super::running::Running;
use super::sandbox;

/// The hidden subcommand that becomes a command.
pub(super) const CHILD: &str = "exec-child";

/// The kernel takes memory from commands first.
const OOM_SCORE: &str = "1000";

/// What lets a process see the memory and the variables of another.
const LOOKS_INTO_OTHERS: [CapabilitySet; 3] = [
    CapabilitySet::SYS_PTRACE,
    CapabilitySet::PERFMON,
    CapabilitySet::SYS_ADMIN,
];

/// The exit statuses of a shell for a command that is not there, and for one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

/// A command that is yet to be started.
pub(crate) struct Start<'a> {
    /// The program, and its arguments.
    pub(crate) words: &'a [OsString],
    pub(crate) folder: &'a Path,
    /// All variables that it gets, but for the mark of its processes.
    pub(crate) environment: &'a [(OsString, OsString)],
    /// The only folder that it may write to, if it is to be fenced in.
    pub(crate) fence: Option<&'a Path>,
}

impl Start<'_> {
    /// Starts it. Must run on a thread that lives as long as the command, or else the kernel ends it: those of a runtime that
    /// run tasks do.
    pub(crate) fn start(&self) -> io::Result<Running> {
        guard::begin()?;
        hide()?;
        let mark = format!("{:016x}", fastrand::u64(..));
        let mut command = tokio::process::Command::new(SELF);
        command
            .arg(CHILD)
            .arg(std::process::id().to_string())
            .arg(self.fence.unwrap_or(Path::new("")))
            .args(self.words)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(MARK, &mark)
            .current_dir(self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = None;
        let members = Members::of(mark, || {
            let started = child.insert(command.spawn()?);
            let pid = started.id().and_then(|pid| i32::try_from(pid).ok());
            pid.ok_or_else(|| io::Error::other("the command has no number"))
        })?;
        guard::watch(&members);
        Ok(Running::new(child, members))
    }
}

/// Keeps the variables and the memory of this process from commands of the same user: there are passwords in them.
fn hide() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(
        DumpableBehavior::NotDumpable,
    )?)
}

/// Becomes a command, as the first process of a session that ends with the parent of this number. Returns only if that cannot be.
pub(super) fn become_command() -> ExitCode {
    let mut arguments = env::args_os().skip(2);
    let parent = arguments.next().and_then(|pid| pid.to_str()?.parse().ok());
    let (Some(fence), Some(program)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(NOT_RUNNABLE);
    };
    if let Err(error) = settle(parent, Path::new(&fence)) {
        let _ = writeln!(io::stderr(), "cannot start a command: {error}");
        return ExitCode::from(NOT_RUNNABLE);
    }
    let error = Command::new(&program).args(arguments).exec();
    let (shown, status) = (program.display(), status_of(&program, &error));
    let _ = writeln!(io::stderr(), "cannot run `{shown}`: {error}");
    ExitCode::from(status)
}

/// An empty path is no fence.
fn settle(parent: Option<i32>, fence: &Path) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before.
    if rustix::process::getppid() != parent.and_then(Pid::from_raw) {
        return Err(io::Error::other("whoever started it is gone"));
    }
    rustix::process::setsid()?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    rustix::thread::set_no_new_privs(true)?;
    // Root could look into the daemon with these; nobody else has them.
    for capability in LOOKS_INTO_OTHERS {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    // Best effort: a system may forbid it.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    if fence.as_os_str().is_empty() {
        return Ok(());
    }
    sandbox::enter(fence)
}

fn status_of(program: &OsStr, error: &io::Error) -> u8 {
    // A script whose interpreter is missing is there.
    let is_there = program.as_encoded_bytes().contains(&b'/') && Path::new(program).exists();
    if error.kind() == ErrorKind::NotFound && !is_there {
        NOT_FOUND
    } else {
        NOT_RUNNABLE
    }
}
