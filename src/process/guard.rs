//! `redis-consumer exec-guard`: ends what commands have started, should this process be killed.
//!
//! The kernel then kills the commands themselves, but not their children. The guard is told of each command over a pipe, and
//! learns from its end that it is needed.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::members::Members;

/// This program, whatever has become of its file.
pub(super) const SELF: &str = "/proc/self/exe";

/// The hidden subcommand.
pub(super) const GUARD: &str = "exec-guard";

/// The guard of this process, as soon as there is one.
static TOLD: Mutex<Option<(ChildStdin, Child)>> = Mutex::new(None);

/// Has orphans fall to this process, and starts its guard, once.
pub(super) fn begin() -> io::Result<()> {
    let mut told = told();
    if told.is_some() {
        return Ok(());
    }
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))?;
    let mut command = Command::new(SELF);
    command
        .arg(GUARD)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut guard = None;
    // Known, it is nobody's orphan.
    Members::of(String::new(), || {
        let started = guard.insert(command.spawn()?);
        i32::try_from(started.id()).map_err(io::Error::other)
    })?;
    *told = guard.and_then(|mut guard| Some((guard.stdin.take()?, guard)));
    Ok(())
}

/// From now on it looks after these.
pub(super) fn watch(members: &Members) {
    tell(&format!("+{} {}", members.leader, members.mark));
}

/// Nothing of these is left.
pub(super) fn forget(members: &Members) {
    tell(&format!("-{}", members.leader));
}

fn tell(line: &str) {
    if let Some((stdin, _)) = &mut *told() {
        // One that has been killed is missed only if this process is, too.
        let _ = writeln!(stdin, "{line}");
    }
}

fn told() -> MutexGuard<'static, Option<(ChildStdin, Child)>> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the end of the process that it guards, then ends what that has left.
pub(super) fn guard() -> ExitCode {
    // Signals to the group of that process, such as Ctrl-C, are not for the guard.
    let _ = rustix::process::setsid();
    let mut commands = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match line.split_at_checked(1) {
            Some(("+", command)) => {
                let known = command.split_once(' ');
                commands.extend(known.map(|(leader, mark)| (leader.to_owned(), mark.to_owned())));
            }
            Some(("-", leader)) => _ = commands.remove(leader),
            _ => {}
        }
    }
    for (leader, mark) in commands {
        let leader = leader.parse().unwrap_or(0);
        if leader > 0 {
            Members { leader, mark }.kill();
        }
    }
    ExitCode::SUCCESS
}
