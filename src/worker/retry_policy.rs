//! When a job is retried and when it is given up, and how long steps and the end of the process may take.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::backoff::{Backoff, Jitter};
use crate::error_class::ErrorClass;
use crate::job::StepLimits;
use crate::settings::{Loader, Seconds};

/// The longest delay before another attempt, in first delays.
const LONGEST_DELAY: u32 = 60;

crate::settings! {
    /// When a job is retried, and when it is given up.
    struct PolicyVariables {
        /// Maximum attempts for a job that fails with a transient error; at least 1.
        max_attempts: NonZeroU64 = NonZeroU64::MIN,
        /// How many consumers may die while they hold a job before it fails; at least 1.
        max_crashes: NonZeroU64 = NonZeroU64::MIN.saturating_add(2),
        /// Longest delay before the first retry of a job, in seconds; doubles with each further retry, up to 60 times this.
        retry_backoff: Seconds = Seconds::new(2),
        /// Timeout for downloading the input of a job, in seconds; 0 means no limit.
        download_timeout: Seconds = Seconds::new(300),
        /// Timeout for decoding, preprocessing and predicting, in seconds; 0 means no limit.
        predict_timeout: Seconds = Seconds::new(600),
        /// Timeout for postprocessing, in seconds; 0 means no limit.
        postprocess_timeout: Seconds = Seconds::new(600),
        /// Timeout for encoding and uploading the result, in seconds; 0 means no limit.
        upload_timeout: Seconds = Seconds::new(300),
        /// How long running jobs may continue after SIGTERM, in seconds; then they are released.
        shutdown_grace: Seconds = Seconds::new(25),
        /// How long the child jobs of an archive or a movie are kept after it has finished, in seconds.
        expire_time: Seconds = Seconds::new(3600),
    }
}

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
    /// Loads `MAX_ATTEMPTS`, `MAX_CRASHES` and the like.
    pub(crate) fn load(loader: &mut Loader<'_>) -> Self {
        let variables: PolicyVariables = loader.load();
        Self {
            max_attempts: variables.max_attempts.get(),
            max_crashes: variables.max_crashes.get(),
            base_delay: variables.retry_backoff.0,
            limits: StepLimits {
                download: variables.download_timeout.limit(),
                predict: variables.predict_timeout.limit(),
                postprocess: variables.postprocess_timeout.limit(),
                upload: variables.upload_timeout.limit(),
            },
            grace: variables.shutdown_grace.0,
            child_lifetime: variables.expire_time.0,
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
        RetryPolicy::load(&mut Loader::new(&pairs.iter().copied().collect::<Env>()))
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
