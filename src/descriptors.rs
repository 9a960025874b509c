//! Whether the process may open more files and connections.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// Files and connections that a job may need at once, beside those that stay open.
const NEEDED: usize = 16;

/// Pause before descriptors are tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long it is taken for granted that there are some. To look before every claim takes as much of the system as the claim.
const GRANTED: Duration = Duration::from_millis(100);

/// When there were some.
static FOUND: Mutex<Option<Instant>> = Mutex::new(None);

/// Waits until there are descriptors for a job. Without them it would fail, whatever is asked of bucket or model server.
pub(crate) async fn until_free() {
    if were_free_lately() || are_free() {
        return;
    }
    warn!("the process has too many open files; claiming no new jobs until there are fewer");
    while !are_free() {
        tokio::time::sleep(PAUSE).await;
    }
    info!("files can be opened again");
}

/// Whether an error says that the process, or the system, has too many open files. That passes.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    // ENFILE and EMFILE have the same numbers on all systems that this program runs on.
    matches!(error.raw_os_error(), Some(23 | 24))
}

fn were_free_lately() -> bool {
    let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.is_some_and(|found| found.elapsed() < GRANTED)
}

/// Whether so many more files can be opened; any other trouble with them is somebody else's to tell.
fn are_free() -> bool {
    let files: io::Result<Vec<File>> = (0..NEEDED).map(|_| File::open("/dev/null")).collect();
    let are_free = !files.is_err_and(|error| is_shortage(&error));
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    *found = are_free.then(Instant::now);
    are_free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shortage_is_one() {
        assert!(is_shortage(&io::Error::from_raw_os_error(24)));
        assert!(is_shortage(&io::Error::from_raw_os_error(23)));
        assert!(!is_shortage(&io::Error::from_raw_os_error(2)));
        assert!(!is_shortage(&io::Error::other("Too many open files")));
        assert!(are_free());
    }
}
