//! What a command is held to while it works a job.

use std::path::Path;
use std::time::Duration;

use regex::bytes::Regex;
use tokio::time::Instant;

use super::settings::Mode;

/// The limits of a command, and what tells its job apart.
pub(super) struct Bounds<'a> {
    pub(super) id: &'a str,
    pub(super) mode: Mode,
    pub(super) timeout: Option<Duration>,
    /// Time besides, until a persistent command is ready.
    pub(super) ready: Duration,
    /// Bytes of memory; 0 is no limit.
    pub(super) memory: u64,
    pub(super) disk: u64,
    pub(super) folder: &'a Path,
    pub(super) progress: Option<&'a Regex>,
}

/// Until when a command may work.
pub(super) struct Deadline {
    began: Instant,
    /// Of the time since; the longest there is if there is none.
    pub(super) limit: Duration,
    is_loading: bool,
}

impl Deadline {
    pub(super) fn new(bounds: &Bounds<'_>, is_ready: bool) -> Self {
        let is_loading = bounds.mode == Mode::Persistent && !is_ready;
        let loading = if is_loading {
            bounds.ready
        } else {
            Duration::ZERO
        };
        let limit = bounds.timeout.map(|timeout| timeout + loading);
        Self {
            began: Instant::now(),
            limit: limit.unwrap_or(Duration::MAX),
            is_loading,
        }
    }

    /// The time for loading is over as soon as the command is ready.
    pub(super) fn ready(&mut self, bounds: &Bounds<'_>, is_ready: bool) {
        if self.is_loading && is_ready {
            *self = Self::new(bounds, true);
        }
    }

    pub(super) async fn passed(&self) {
        match self.began.checked_add(self.limit) {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}
