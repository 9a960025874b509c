//! What the exit status says.

use std::sync::atomic::{AtomicU8, Ordering};

/// All went well, or the process was told to stop.
pub(crate) const SUCCESS: u8 = 0;

/// Something failed that no other status stands for.
pub(crate) const FAILURE: u8 = 1;

/// Done, and something is not as it should be: `check` or `fsck` found what was not repaired, jobs failed, or some could not be
/// changed.
pub(crate) const FOUND: u8 = 4;

/// The settings or the command line are wrong (`EX_USAGE` of sysexits.h).
pub(crate) const WRONG_SETTINGS: u8 = 64;

/// Refused for now, and nothing was changed (`EX_TEMPFAIL`).
pub(crate) const REFUSED: u8 = 75;

/// `--timeout` has passed before all jobs had ended, as `timeout` of coreutils has it.
pub(crate) const TIMED_OUT: u8 = 124;

/// SIGINT has ended it. What was done is done.
const INTERRUPTED: u8 = 130;

/// SIGTERM has.
const TERMINATED: u8 = 143;

/// The status of the signal that came last.
static OF_LAST_SIGNAL: AtomicU8 = AtomicU8::new(INTERRUPTED);

/// A signal of this name has come.
pub(crate) fn note_signal(name: &str) {
    let status = match name {
        "SIGTERM" => TERMINATED,
        _ => INTERRUPTED,
    };
    OF_LAST_SIGNAL.store(status, Ordering::Relaxed);
}

/// A signal has ended it.
pub(crate) fn of_signal() -> u8 {
    OF_LAST_SIGNAL.load(Ordering::Relaxed)
}
