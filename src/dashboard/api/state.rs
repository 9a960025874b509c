//! What the API keeps between requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};
use tracing::warn;

use super::super::auth::Throttle;
use super::super::settings::ApiSettings;
use crate::serving::Served;

/// Requests from one address within a second.
const MOST_A_SECOND: u32 = 50;

/// Uploads at the same time, each of which holds three parts of 8 MiB at most; others wait for their turn.
const UPLOADS: usize = 8;

/// What the API keeps between requests.
pub(in super::super) struct Api {
    pub(in super::super) settings: ApiSettings,
    pub(super) throttle: Throttle,
    pub(in super::super) uploads: Semaphore,
    /// Models that there are, and when they were looked for.
    pub(super) models: Mutex<Option<(Instant, Served)>>,
    has_warned: AtomicBool,
}

impl Api {
    pub(in super::super) fn new(settings: ApiSettings) -> Self {
        Self {
            settings,
            throttle: Throttle::new(MOST_A_SECOND, Duration::from_secs(1)),
            uploads: Semaphore::new(UPLOADS),
            models: Mutex::new(None),
            has_warned: AtomicBool::new(false),
        }
    }

    /// What keys of uploaded files begin with, without a slash at its end.
    pub(in super::super) fn upload_prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// Says once why clients may be turned away.
    pub(super) fn warn_of_tokens(&self) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(
                "a request to the API had no token and was refused; kiosk-client cannot send one: DASHBOARD_API=open serves it as a \
                 Kiosk does"
            );
        }
    }
}
