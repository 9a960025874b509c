//! Commands of users as child processes: each in a session of its own, watched, and ended with everything that it has started.
//!
//! A command runs below `redis-consumer exec-child`, which makes the kernel kill it when this process dies and then becomes the
//! command. What it starts itself is found by its session, by a mark in its environment, or as an orphan that falls to this
//! process, and by `redis-consumer exec-guard` should this process be killed.

mod guard;
mod members;
mod procfs;
mod running;
mod sandbox;
mod start;

use std::process::ExitCode;

pub(crate) use self::running::Running;
pub(crate) use self::sandbox::is_available as has_sandbox;
pub(crate) use self::start::Start;

/// Whether this program was started by itself, to become or to guard a command: that takes a moment, or next to nothing.
pub fn is_helper() -> bool {
    let name = std::env::args_os().nth(1);
    name.is_some_and(|name| name == start::CHILD || name == guard::GUARD)
}

/// Does what the program is started for by itself, if it is; else there is no exit status.
pub(crate) fn as_helper() -> Option<ExitCode> {
    let name = std::env::args_os().nth(1)?;
    match name.to_str()? {
        start::CHILD => Some(start::become_command()),
        guard::GUARD => Some(guard::guard()),
        _ => None,
    }
}
