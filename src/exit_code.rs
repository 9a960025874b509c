//! What the exit status says.

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

/// The operator has broken it off. What was done is done.
pub(crate) const INTERRUPTED: u8 = 130;
