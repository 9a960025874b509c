//! How often something is looked at whose end is waited for.

use std::time::Duration;

/// Pauses between two looks: they grow while nothing happens.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Of the time at most this part is spent on looks.
const LOOKS: u32 = 5;

/// How long the pauses have become.
pub(super) struct Pace(Duration);

impl Pace {
    pub(super) fn new() -> Self {
        Self(PAUSES.0)
    }

    /// The pause after a look that took so long.
    pub(super) fn pause(&mut self, has_changed: bool, look: Duration) -> Duration {
        let pause = match has_changed {
            true => self.0 / 2,
            false => self.0 + self.0 / 2,
        };
        self.0 = pause.clamp(PAUSES.0, PAUSES.1);
        self.0.max(look * LOOKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_nothing_happens() {
        let mut pace = Pace::new();
        let quick = Duration::from_millis(1);
        let pauses: Vec<_> = (0..20).map(|_| pace.pause(false, quick)).collect();
        assert!(pauses.is_sorted() && pauses[0] == Duration::from_millis(300));
        assert_eq!(pauses[19], PAUSES.1);
        assert!(pace.pause(true, quick) < PAUSES.1);
        assert_eq!(
            pace.pause(true, Duration::from_secs(4)),
            Duration::from_secs(20)
        );
    }
}
