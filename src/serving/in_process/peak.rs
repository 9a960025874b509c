//! What a run of a model takes, by trying it.

use std::fs;
use std::time::{Duration, Instant};

use ndarray::ArrayD;

use super::session::Session;

/// Bytes for each element of the input, where the kernel does not tell: what a U-Net at full resolution takes.
const BYTES_PER_ELEMENT: u64 = 3500;

/// What became of a trial.
pub(super) struct Trial {
    /// Shape of its input.
    pub(super) shape: Vec<usize>,
    /// Time.
    pub(super) took: Duration,
    /// Memory beside the weights, at its peak.
    pub(super) bytes: u64,
}

/// Runs a model on zeros: one row of the sizes that it wants, `tile` where it leaves them open.
///
/// Other work of the process at the same time counts too, so what comes out is rather too much.
///
/// # Errors
/// Why it does not run.
pub(super) fn of_trial(session: &dyn Session, tile: usize) -> Result<Trial, String> {
    let inputs: Vec<_> = session
        .inputs()
        .into_iter()
        .map(|input| {
            let sizes = input.shape.iter().enumerate();
            let shape: Vec<_> = sizes
                .map(|(axis, size)| match usize::try_from(*size) {
                    Ok(size) => size,
                    Err(_) if axis == 0 => 1,
                    Err(_) => tile,
                })
                .collect();
            (input.name, ArrayD::zeros(shape))
        })
        .collect();
    let shape = inputs.first().map(|(_, array)| array.shape().to_vec());
    let elements: usize = inputs.iter().map(|(_, array)| array.len()).sum();
    // The first run tells memory, which is kept for the next ones; it may prepare weights, so the second tells the time.
    let before = reset_peak();
    session.run(inputs.clone())?;
    let measured = before.and_then(|before| Some(status("VmHWM:")?.saturating_sub(before)));
    let began = Instant::now();
    session.run(inputs)?;
    let took = began.elapsed();
    Ok(Trial {
        shape: shape.unwrap_or_default(),
        took,
        bytes: measured.unwrap_or(elements as u64 * BYTES_PER_ELEMENT),
    })
}

/// Lets the kernel forget the highest memory of this process so far: its memory now, in bytes.
fn reset_peak() -> Option<u64> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    status("VmRSS:")
}

/// A size of this process, in bytes.
fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
