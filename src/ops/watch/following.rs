//! How jobs or a batch are followed.

use std::path::Path;
use std::time::{Duration, Instant};

use super::super::desk::Screen;
use crate::storage::Storage;

/// How jobs or a batch are followed.
pub(crate) struct Following<'f> {
    pub(crate) screen: Screen,
    pub(crate) timeout: Option<Duration>,
    /// Where results come from and go to.
    pub(crate) results: Option<(&'f Storage, &'f Path)>,
}

impl Following<'_> {
    /// The time that is left for those that have been followed since then.
    pub(super) fn left(&self, begun: Instant) -> Duration {
        self.timeout.map_or(Duration::MAX, |timeout| {
            timeout.saturating_sub(begun.elapsed())
        })
    }
}
