//! Which processes belong to a command, and how all of them are ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::procfs::{self, Process};

/// The variable that marks all processes of a command.
pub(super) const MARK: &str = "RC_PROCESS";

/// How long a process is given to end that was killed.
const PAUSE: Duration = Duration::from_millis(1);

/// Rounds in which processes are killed: each may have started others before it was.
const ROUNDS: usize = 1000;

/// The commands that run, by their first processes, with their marks.
static COMMANDS: Mutex<BTreeMap<i32, String>> = Mutex::new(BTreeMap::new());

/// The processes of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Members {
    /// The first one, which leads their session.
    pub(super) leader: i32,
    pub(super) mark: String,
}

impl Members {
    /// Those of a command that is started now, and known from then on. It gives the number of the first one.
    pub(super) fn of(mark: String, start: impl FnOnce() -> io::Result<i32>) -> io::Result<Self> {
        // Whoever looks for orphans meanwhile waits, and so does not take it for one.
        let mut commands = commands();
        let leader = start()?;
        commands.insert(leader, mark.clone());
        Ok(Self { leader, mark })
    }

    /// The first process has ended, and somebody has taken notice.
    pub(super) fn forget(&self) {
        commands().remove(&self.leader);
    }

    /// All that are alive, and have not ended unnoticed.
    fn alive(&self) -> BTreeSet<i32> {
        let all = procfs::processes();
        let mark = format!("{MARK}={}", self.mark);
        let is_member = |process: &Process| {
            process.session == self.leader || procfs::has_in_environment(process.pid, &mark)
        };
        let mut members: BTreeSet<_> = all
            .iter()
            .filter(|process| is_member(process))
            .map(|process| process.pid)
            .collect();
        // Those that have left session and environment still have parents.
        loop {
            let more: Vec<_> = all
                .iter()
                .filter(|process| {
                    members.contains(&process.parent) && !members.contains(&process.pid)
                })
                .map(|process| process.pid)
                .collect();
            if more.is_empty() {
                break;
            }
            members.extend(more);
        }
        let zombies = all.iter().filter(|process| process.is_zombie);
        zombies.for_each(|process| _ = members.remove(&process.pid));
        members
    }

    /// The memory that all of them take, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.alive().into_iter().map(procfs::memory).sum()
    }

    /// Asks them to end.
    pub(super) fn terminate(&self) {
        self.alive()
            .into_iter()
            .for_each(|pid| send(pid, Signal::TERM));
    }

    /// Kills all that are left, and orphans that nobody else claims.
    pub(super) fn kill(&self) {
        for _ in 0..ROUNDS {
            let mut left = self.alive();
            left.extend(orphans(self));
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(|pid| send(pid, Signal::KILL));
            std::thread::sleep(PAUSE);
        }
    }

    /// The same, if anything may be left: mostly nothing is, which is soon found out.
    pub(super) fn kill_left_overs(&self) {
        let may_be_left = procfs::own_children().is_none_or(|children| {
            let commands = commands();
            children.iter().any(|pid| !commands.contains_key(pid))
        });
        if may_be_left {
            self.kill();
        }
    }
}

/// Children of this process that no other command claims: what was started by processes that are gone. Those that have ended
/// are taken notice of.
fn orphans(of: &Members) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let children = match procfs::own_children() {
        Some(children) => children.into_iter().filter_map(procfs::process).collect(),
        None => {
            let mut all = procfs::processes();
            all.retain(|process| process.parent == own);
            all
        }
    };
    let commands = commands().clone();
    let is_of_other = |process: &Process| {
        let mut others = commands.iter().filter(|(leader, _)| **leader != of.leader);
        commands.contains_key(&process.pid)
            || others.any(|(leader, mark)| {
                process.session == *leader
                    || procfs::has_in_environment(process.pid, &format!("{MARK}={mark}"))
            })
    };
    let orphans = children.into_iter().filter(|process| !is_of_other(process));
    orphans
        .filter(|process| {
            let pid = Pid::from_raw(process.pid);
            let ended = pid.map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
            !matches!(ended, Some(Ok(Some(_))))
        })
        .map(|process| process.pid)
        .collect()
}

fn commands() -> MutexGuard<'static, BTreeMap<i32, String>> {
    COMMANDS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}
