//! Whether Redis has room for more jobs.

use std::time::{Duration, Instant};

use tracing::warn;

use crate::queue::Admin;

/// How often Redis is asked.
const EVERY: Duration = Duration::from_secs(10);
/// Per cent of its memory from which on nothing is fed, and below which it is again.
pub(crate) const FULL: u64 = 85;
const FREE: u64 = 80;

/// What Redis has last said of its memory.
#[derive(Default)]
pub(super) struct Memory {
    is_full: bool,
    asked: Option<Instant>,
}

impl Memory {
    /// Whether Redis has little memory left.
    pub(super) async fn is_full(&mut self, admin: &Admin) -> anyhow::Result<bool> {
        if self.asked.is_none_or(|asked| asked.elapsed() >= EVERY) {
            let used = admin.memory_used().await?.unwrap_or(0);
            let limit = if self.is_full { FREE } else { FULL };
            let was_full = std::mem::replace(&mut self.is_full, used > limit);
            if self.is_full && !was_full {
                warn!(
                    used_percent = used,
                    "Redis has little memory left: batches are not fed"
                );
            }
            self.asked = Some(Instant::now());
        }
        Ok(self.is_full)
    }
}
