//! A command that cannot be run: no job is claimed then but one now and then, to see whether it has been mended.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info};

/// The longest pause between two trials.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether the command can be run, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<Found>>);

#[derive(Debug)]
struct Found {
    why: String,
    times: u32,
    next: Instant,
}

impl Found {
    fn pause(&self) -> Duration {
        LONGEST.min(Duration::from_secs(1 << self.times.min(6)))
    }
}

impl Trouble {
    /// The command could not be run.
    pub(super) fn found(&self, why: &str) {
        let mut found = self.lock();
        let times = found.as_ref().map_or(0, |found| found.times + 1);
        let new = found.insert(Found {
            why: why.to_owned(),
            times,
            next: Instant::now(),
        });
        let pause = new.pause();
        new.next += pause;
        let pause_s = pause.as_secs_f64();
        error!(
            why,
            pause_s, "the command cannot be run: claiming no jobs until it can"
        );
    }

    /// It could.
    pub(super) fn mended(&self) {
        if self.lock().take().is_some() {
            info!("the command can be run again");
        }
    }

    /// Waits until it may be tried: at once if nothing is known to be wrong with it; by one slot at a time otherwise.
    pub(super) async fn until_try(&self) {
        loop {
            let wait = {
                let mut found = self.lock();
                let Some(found) = &mut *found else { return };
                let wait = found.next.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    found.next = Instant::now() + found.pause();
                    return;
                }
                wait
            };
            tokio::time::sleep(wait.min(Duration::from_secs(1))).await;
        }
    }

    /// Why it cannot be run.
    pub(super) fn why(&self) -> Option<String> {
        self.lock().as_ref().map(|found| found.why.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
