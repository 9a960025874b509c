//! Which failures deserve another attempt, when, and how often.

use std::time::{Duration, Instant};

use super::error::Error;
use super::failure::Failure;
use super::model::ModelId;
use super::settings::ServingSettings;
use crate::backoff::{Backoff, Jitter};

/// Keeps a delay of zero from becoming a busy loop.
const MIN_DELAY: Duration = Duration::from_millis(10);

/// What has become of one call so far: late and overloaded attempts are counted, an absent server is waited for.
pub(super) struct RetryState {
    max_retries: Option<u32>,
    unavailable_timeout: Option<Duration>,
    backoff: Backoff,
    retries: u32,
    attempts: u32,
    unavailable_since: Option<Instant>,
}

impl RetryState {
    /// A call that has not been tried yet.
    pub(super) fn new(settings: &ServingSettings) -> Self {
        Self {
            max_retries: settings.max_retries,
            unavailable_timeout: settings.unavailable_timeout,
            backoff: constant(settings.backoff),
            retries: 0,
            attempts: 0,
            unavailable_since: None,
        }
    }

    /// How long to wait before the next attempt; none if there should not be one.
    pub(super) fn next_delay(&mut self, failure: &Failure, now: Instant) -> Option<Duration> {
        self.attempts += 1;
        match failure {
            Failure::Unavailable(_) => {
                let left = self.time_left(now);
                (!left.is_zero()).then(|| left.min(self.delay()))
            }
            Failure::DeadlineExceeded | Failure::Exhausted(_) => {
                self.unavailable_since = None;
                self.retries += 1;
                let is_allowed = self.max_retries.is_none_or(|most| self.retries <= most);
                is_allowed.then(|| self.delay())
            }
            Failure::ModelMissing(_)
            | Failure::TooMuch { .. }
            | Failure::Refused { .. }
            | Failure::BadMetadata(_)
            | Failure::BadTensor { .. } => None,
        }
    }

    /// The error to end the call with.
    pub(super) fn into_error(self, failure: Failure, model: &ModelId) -> Error {
        let (model, attempts) = (model.clone(), self.attempts);
        match failure {
            Failure::DeadlineExceeded => Error::Deadline { model, attempts },
            Failure::Exhausted(message) => Error::Exhausted {
                model,
                attempts,
                message,
            },
            Failure::Unavailable(message) => Error::Unavailable {
                model,
                waited: self
                    .unavailable_since
                    .map_or(Duration::ZERO, |since| since.elapsed()),
                message,
            },
            Failure::ModelMissing(message) => Error::ModelMissing { model, message },
            Failure::TooMuch { message, .. } => Error::TooMuch { model, message },
            Failure::Refused { code, message } => Error::Refused {
                model,
                code,
                message,
            },
            Failure::BadMetadata(source) => Error::BadMetadata { model, source },
            Failure::BadTensor { name, source } => Error::BadTensor {
                model,
                tensor: name,
                source,
            },
        }
    }

    fn delay(&self) -> Duration {
        self.backoff.delay(self.retries).max(MIN_DELAY)
    }

    /// For how much longer an absent server is waited for.
    fn time_left(&mut self, now: Instant) -> Duration {
        let since = *self.unavailable_since.get_or_insert(now);
        let waited = now.saturating_duration_since(since);
        self.unavailable_timeout
            .map_or(Duration::MAX, |timeout| timeout.saturating_sub(waited))
    }
}

/// Always this delay on average: whoever waits for a model server holds a job, and the server may be back any moment.
fn constant(average: Duration) -> Backoff {
    Backoff {
        first: average,
        cap: average,
        jitter: Jitter::Half,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(max_retries: Option<u32>, unavailable_timeout: Option<u64>) -> RetryState {
        RetryState {
            max_retries,
            unavailable_timeout: unavailable_timeout.map(Duration::from_secs),
            backoff: constant(Duration::from_secs(3)),
            retries: 0,
            attempts: 0,
            unavailable_since: None,
        }
    }

    fn away() -> Failure {
        Failure::Unavailable("gone".to_owned())
    }

    #[test]
    fn five_retries_are_six_attempts() {
        for failure in [Failure::DeadlineExceeded, Failure::Exhausted(String::new())] {
            let mut retry = retry(Some(5), None);
            let delays = (0..100)
                .take_while(|_| retry.next_delay(&failure, Instant::now()).is_some())
                .count();
            assert_eq!((delays, retry.attempts), (5, 6));
        }
    }

    #[test]
    fn without_a_limit_it_goes_on() {
        let mut retry = retry(None, None);
        assert!((0..1000).all(|_| {
            retry
                .next_delay(&Failure::DeadlineExceeded, Instant::now())
                .is_some()
        }));
    }

    #[test]
    fn an_absent_server_is_waited_for_without_counting() {
        let mut retry = retry(Some(1), Some(60));
        let start = Instant::now();
        assert!((0..60).all(|second| {
            retry
                .next_delay(&away(), start + Duration::from_secs(second))
                .is_some()
        }));
        assert_eq!(
            retry.next_delay(&away(), start + Duration::from_secs(60)),
            None
        );
        assert_eq!(retry.retries, 0);
    }

    #[test]
    fn a_server_that_answers_in_between_is_not_absent() {
        let mut retry = retry(Some(5), Some(60));
        let start = Instant::now();
        retry.next_delay(&away(), start);
        retry.next_delay(&Failure::DeadlineExceeded, start + Duration::from_secs(50));
        assert!(
            retry
                .next_delay(&away(), start + Duration::from_secs(100))
                .is_some()
        );
    }

    #[test]
    fn the_last_delay_ends_with_the_timeout() {
        let mut retry = retry(None, Some(1));
        assert!(
            retry
                .next_delay(&away(), Instant::now())
                .is_some_and(|delay| delay <= Duration::from_secs(1))
        );
    }

    #[test]
    fn delays_vary_around_their_average() {
        let mut retry = retry(None, None);
        let delays: Vec<_> = (0..100)
            .filter_map(|_| retry.next_delay(&away(), Instant::now()))
            .collect();
        assert!(
            delays
                .iter()
                .all(|delay| (1.5..=4.5).contains(&delay.as_secs_f64()))
        );
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }

    #[test]
    fn what_is_wrong_with_model_or_request_is_final() {
        let code = tonic::Code::InvalidArgument;
        let message = "shape".to_owned();
        for failure in [
            Failure::ModelMissing("no m".to_owned()),
            Failure::Refused { code, message },
        ] {
            assert_eq!(retry(None, None).next_delay(&failure, Instant::now()), None);
        }
    }
}
