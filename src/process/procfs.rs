//! What Linux tells of processes.

use std::fs;
use std::io::Read as _;
use std::path::Path;

/// Bytes of an environment that are looked through at most; one may have megabytes.
const ENVIRONMENT: u64 = 256 << 10;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) session: i32,
    /// It has ended, and somebody has to take notice.
    pub(super) is_zombie: bool,
}

/// All processes that are seen from here.
pub(super) fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

/// The process of this number, if there is one.
pub(super) fn process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name, which may have blanks and brackets, ends with the last bracket.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = String::from_utf8_lossy(stat.get(end + 2..)?).into_owned();
    let mut words = rest.split(' ');
    let is_zombie = matches!(words.next()?, "Z" | "X");
    let parent = words.next()?.parse().ok()?;
    let session = words.nth(1)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        session,
        is_zombie,
    })
}

/// The children of this process, those that have ended among them; nothing if the kernel does not list them.
pub(super) fn own_children() -> Option<Vec<i32>> {
    if !Path::new("/proc/thread-self/children").exists() {
        return None;
    }
    let tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
    // A thread may just have ended.
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = |list: String| {
        list.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<_>>()
    };
    Some(lists.flat_map(pids).collect())
}

/// Whether the environment that a process was started with has this word, such as `A=b`.
pub(super) fn has_in_environment(pid: i32, word: &str) -> bool {
    let Ok(file) = fs::File::open(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let mut environment = Vec::new();
    if file
        .take(ENVIRONMENT)
        .read_to_end(&mut environment)
        .is_err()
    {
        return false;
    }
    environment
        .split(|&byte| byte == 0)
        .any(|found| found == word.as_bytes())
}

/// The memory of a process in bytes: its share of what it shares with others, or all of that where the kernel does not tell.
pub(super) fn memory(pid: i32) -> u64 {
    let kilobytes = |file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().split(' ').next()?.parse::<u64>().ok()
    };
    let share = kilobytes("smaps_rollup", "Pss:").or_else(|| kilobytes("status", "VmRSS:"));
    share.unwrap_or(0) * 1024
}
