//! Metric types that all modules share.
//!
//! Each owner (queue, worker, storage, serving) keeps its metrics in a struct of its own and registers it; there is no global list.
//! Names and units are those of `docs/metrics.md`.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Counters by label.
pub(crate) type Counters<L> = Family<L, Counter>;

/// Histograms by label.
pub(crate) type Histograms<L> = Family<L, Histogram>;

/// Seconds of work on a job: 5 ms to an hour.
pub(crate) fn work_seconds() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
        600.0, 1800.0, 3600.0,
    ])
}

/// Seconds of one call over the network: 0.25 ms to a minute.
pub(crate) fn call_seconds() -> Histogram {
    Histogram::new([
        0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0, 30.0, 60.0,
    ])
}

/// When something happened last. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastTime(Arc<AtomicU64>);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl LastTime {
    /// It happens now.
    pub(crate) fn touch(&self) {
        // Zero says never.
        let since_start = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.store(since_start + 1, Ordering::Relaxed);
    }

    /// How long ago that was, if it has happened.
    pub(crate) fn age(&self) -> Option<Duration> {
        let touched = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(
            START
                .elapsed()
                .saturating_sub(Duration::from_millis(touched)),
        )
    }

    /// Seconds since 1970; 0 for never.
    pub(crate) fn unix_seconds(&self) -> f64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.age()
            .map_or(0.0, |age| now.saturating_sub(age).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_has_no_age() {
        let last = LastTime::default();
        assert_eq!((last.age(), last.unix_seconds()), (None, 0.0));
        last.clone().touch();
        assert!(last.age().is_some_and(|age| age < Duration::from_secs(60)));
        assert!(last.unix_seconds() > 1.6e9);
    }
}
