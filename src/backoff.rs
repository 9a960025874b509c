//! Delays between attempts: they double up to a cap, and chance keeps those who failed together apart.

use std::time::Duration;

/// How long to wait before each further attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The delay before the first retry.
    pub(crate) first: Duration,
    /// The longest delay.
    pub(crate) cap: Duration,
    /// What chance does to it.
    pub(crate) jitter: Jitter,
}

/// What chance does to a delay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Jitter {
    /// Adds up to this much, within the cap.
    Added(Duration),
    /// ±50 %, around the cap too.
    Half,
    /// Anything from nothing to the whole delay.
    Full,
}

impl Backoff {
    /// The delay before retry `retries`, counted from 0.
    pub(crate) fn delay(&self, retries: u32) -> Duration {
        let factor = 1_u32.checked_shl(retries).unwrap_or(u32::MAX);
        let doubled = self.first.saturating_mul(factor).min(self.cap);
        match self.jitter {
            Jitter::Added(most) => (doubled + most.mul_f64(fastrand::f64())).min(self.cap),
            Jitter::Half => doubled.mul_f64(0.5 + fastrand::f64()),
            Jitter::Full => doubled.mul_f64(fastrand::f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_double_up_to_the_cap(
            retries in 0_u32..200,
            first_ms in 0_u64..5_000,
            cap_ms in 0_u64..100_000,
        ) {
            let (first, cap) = (Duration::from_millis(first_ms), Duration::from_millis(cap_ms));
            let delay = |jitter| Backoff { first, cap, jitter }.delay(retries);
            let expected = first.as_secs_f64() * 2_f64.powi(retries.try_into().expect("small"));
            let expected = expected.min(cap.as_secs_f64());
            let within = |delay: Duration, from: f64, to: f64| {
                (from - 1e-6..=to + 1e-6).contains(&delay.as_secs_f64())
            };

            let added = delay(Jitter::Added(Duration::from_secs(1)));
            prop_assert!(added <= cap && within(added, expected, expected + 1.0));
            prop_assert!(within(delay(Jitter::Half), 0.5 * expected, 1.5 * expected));
            prop_assert!(within(delay(Jitter::Full), 0.0, expected));
        }
    }
}
