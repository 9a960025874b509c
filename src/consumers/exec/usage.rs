//! What a command takes of memory and disk, looked at now and then.

use std::time::Duration;

use tokio::time::Instant;

use super::bounds::Bounds;
use super::ending::Ending;
use super::scratch;
use crate::process::Running;

/// How often memory is looked at; near the limit …
const MEMORY_LOOK: Duration = Duration::from_millis(500);
/// … this often: above so many per cent of it.
const MEMORY_LOOK_NEAR: Duration = Duration::from_millis(100);
const NEAR_PERCENT: u64 = 80;
/// How often the disk is looked at.
const DISK_LOOK: Duration = Duration::from_secs(5);

/// When memory and disk are looked at next.
pub(super) struct Usage {
    memory: Option<Instant>,
    disk: Instant,
}

impl Usage {
    pub(super) fn new(bounds: &Bounds<'_>) -> Self {
        let now = Instant::now();
        Self {
            memory: (bounds.memory > 0).then_some(now + MEMORY_LOOK),
            disk: now + DISK_LOOK,
        }
    }

    pub(super) async fn due(&self) {
        let next = self
            .memory
            .map_or(self.disk, |memory| memory.min(self.disk));
        tokio::time::sleep_until(next).await;
    }

    /// How the job ends, if the command takes more than it may.
    pub(super) async fn look(&mut self, running: &Running, bounds: &Bounds<'_>) -> Option<Ending> {
        let is_due = |next: Instant| next <= Instant::now();
        if self.memory.is_some_and(is_due) {
            let taken = running.memory().await;
            if taken > bounds.memory {
                return Some(Ending::Memory(taken, bounds.memory));
            }
            let is_near = taken > bounds.memory / 100 * NEAR_PERCENT;
            let pause = if is_near {
                MEMORY_LOOK_NEAR
            } else {
                MEMORY_LOOK
            };
            self.memory = Some(Instant::now() + pause);
        }
        if is_due(self.disk) {
            let folder = bounds.folder.to_owned();
            let looked = tokio::task::spawn_blocking(move || scratch::size(&folder));
            let taken = looked.await.unwrap_or(0);
            if taken > bounds.disk {
                return Some(Ending::Disk(taken, bounds.disk));
            }
            self.disk = Instant::now() + DISK_LOOK;
        }
        None
    }
}
