//! When a job is retried and when it is given up, and how long steps and the end of the process may take.

use std::time::Duration;

use crate::backoff::{Backoff, Jitter};
use crate::error_class::ErrorClass;
use crate::job::StepLimits;
use crate::settings::Reader;

/// The longest delay before another attempt, in first delays.
const LONGEST_DELAY: u32 = 60;

/// When a job is tried again, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// Attempts that may fail with a transient error, the first included.
    pub(crate) max_attempts: u64,
    /// Consumers that may die while they work a job.
    pub(crate) max_crashes: u64,
    /// The first delay is at most this long; it doubles with each attempt.
    base_delay: Duration,
    pub(crate) limits: StepLimits,
    /// How long running jobs may go on after SIGTERM.
    pub(crate) grace: Duration,
    /// How long the children of a job that is over are kept.
    pub(crate) child_lifetime: Duration,
}

impl RetryPolicy {
    /// Reads `MAX_ATTEMPTS`, `MAX_CRASHES` and the like.
    pub(crate) fn load(reader: &mut Reader<'_>) -> Self {
        let max_attempts = reader.parsed(
            "MAX_ATTEMPTS",
            1,
            "attempts at a job that fails in a way that may pass",
        );
        let max_crashes = reader.parsed(
            "MAX_CRASHES",
            3,
            "consumers that may die with a job before it is given up",
        );
        for (name, value) in [("MAX_ATTEMPTS", max_attempts), ("MAX_CRASHES", max_crashes)] {
            if value == 0 {
                reader.problem(name, "`0` cannot be used: expected 1 or more");
            }
        }
        let doc =
            "longest first pause before another attempt, seconds; doubles up to 60 times that";
        let base_delay = reader.seconds("RETRY_BACKOFF", 2.0, doc);
        let mut limit = |name, default, doc| {
            Some(reader.seconds(name, default, doc)).filter(|limit| !limit.is_zero())
        };
        let limits = StepLimits {
            download: limit(
                "DOWNLOAD_TIMEOUT",
                300.0,
                "longest time for fetching a job's input, seconds; 0 is no limit",
            ),
            predict: limit(
                "PREDICT_TIMEOUT",
                600.0,
                "longest time for preparing and predicting; 0 is no limit",
            ),
            postprocess: limit(
                "POSTPROCESS_TIMEOUT",
                600.0,
                "longest time for post-processing; 0 is no limit",
            ),
            upload: limit(
                "UPLOAD_TIMEOUT",
                300.0,
                "longest time for packing and storing; 0 is no limit",
            ),
        };
        let grace = reader.seconds(
            "SHUTDOWN_GRACE",
            25.0,
            "time for running jobs after SIGTERM, seconds",
        );
        let doc =
            "time for which the parts of an archive or movie are kept when it is over, seconds";
        let child_lifetime = reader.seconds("EXPIRE_TIME", 3600.0, doc);
        Self {
            max_attempts,
            max_crashes,
            base_delay,
            limits,
            grace,
            child_lifetime,
        }
    }

    /// A delay before the next attempt, after so many have failed: at random, so that jobs that failed together do not come
    /// back together. The first crash may have any cause, so the job is served next.
    pub(crate) fn delay(&self, class: ErrorClass, failed: u64) -> Duration {
        if class == ErrorClass::Crash && failed == 1 {
            return Duration::ZERO;
        }
        let backoff = Backoff {
            first: self.base_delay,
            cap: self.base_delay.saturating_mul(LONGEST_DELAY),
            jitter: Jitter::Full,
        };
        backoff.delay(u32::try_from(failed - 1).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Step;
    use crate::settings::Env;

    fn policy(pairs: &[(&str, &str)]) -> RetryPolicy {
        RetryPolicy::load(&mut Reader::new(&pairs.iter().copied().collect::<Env>()))
    }

    #[test]
    fn pauses_are_random_and_grow_to_a_ceiling() {
        let policy = policy(&[("RETRY_BACKOFF", "2")]);
        let longest = |failed| {
            (0..1000)
                .map(|_| policy.delay(ErrorClass::Deadline, failed).as_secs_f64())
                .fold(0.0, f64::max)
        };
        assert!((1.5..=2.0).contains(&longest(1)));
        assert!((6.0..=8.0).contains(&longest(3)));
        assert!((100.0..=120.0).contains(&longest(50)) && longest(u64::MAX) <= 120.0);
    }

    #[test]
    fn after_the_first_death_a_job_does_not_wait() {
        let policy = policy(&[]);
        assert_eq!(policy.delay(ErrorClass::Crash, 1), Duration::ZERO);
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let policy = policy(&[("UPLOAD_TIMEOUT", "0")]);
        assert_eq!(policy.limits.of(Step::Upload), None);
        assert_eq!(
            policy.limits.of(Step::Download),
            Some(Duration::from_secs(300))
        );
    }
}
