//! Which failures deserve another attempt, when, and how often.

use std::error::Error as _;
use std::time::{Duration, Instant};

use tonic::{Code, Status};

use super::error::Error;
use super::model::ModelId;
use super::settings::ServingSettings;

/// Keeps a pause of zero from becoming a busy loop.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// What became of an attempt that failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    /// No answer within the deadline.
    Late,
    /// The server has too much to do.
    Exhausted(String),
    /// There is no server, or the way to it broke.
    Unavailable(String),
    /// Another attempt would fail in the same way.
    Final(Code, String),
}

impl Failure {
    /// The word for it in metrics, after the codes of gRPC.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Late => "DEADLINE_EXCEEDED",
            Self::Exhausted(_) => "RESOURCE_EXHAUSTED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Final(Code::NotFound, _) => "NOT_FOUND",
            Self::Final(Code::InvalidArgument, _) => "INVALID_ARGUMENT",
            Self::Final(Code::FailedPrecondition, _) => "FAILED_PRECONDITION",
            Self::Final(Code::Internal, _) => "INTERNAL",
            Self::Final(..) => "OTHER",
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // What a server says has no source; what has one happened on this side: refused, reset, cut off.
        if status.source().is_some() {
            return Self::Unavailable(with_sources(&status));
        }
        let message = status.message().to_owned();
        match status.code() {
            Code::DeadlineExceeded => Self::Late,
            Code::ResourceExhausted => Self::Exhausted(message),
            Code::Unavailable => Self::Unavailable(message),
            code => Self::Final(code, message),
        }
    }
}

/// The message and those of its causes, without repetitions.
fn with_sources(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !text.contains(&message) && error.downcast_ref::<Status>().is_none() {
            text = format!("{text}: {message}");
        }
        source = error.source();
    }
    text
}

/// The account of one call: late and overloaded attempts are counted, an absent server is waited for.
pub(super) struct Retry {
    max_retries: Option<u32>,
    patience: Option<Duration>,
    backoff: Duration,
    counted: u32,
    attempts: u32,
    away_since: Option<Instant>,
}

impl Retry {
    /// An account with nothing in it.
    pub(super) fn new(settings: &ServingSettings) -> Self {
        let ServingSettings {
            max_retries,
            patience,
            backoff,
            ..
        } = *settings;
        Self {
            max_retries,
            patience,
            backoff,
            counted: 0,
            attempts: 0,
            away_since: None,
        }
    }

    /// How long to pause before the next attempt; none if there should not be one.
    pub(super) fn pause(&mut self, failure: &Failure, now: Instant) -> Option<Duration> {
        self.attempts += 1;
        let jittered = self.backoff.mul_f64(0.5 + fastrand::f64()).max(MIN_PAUSE);
        match failure {
            Failure::Final(..) => None,
            Failure::Unavailable(_) => {
                let left = self
                    .patience
                    .map(|patience| patience.saturating_sub(self.away(now)));
                left.is_none_or(|left| !left.is_zero())
                    .then(|| left.map_or(jittered, |left| left.min(jittered)))
            }
            Failure::Late | Failure::Exhausted(_) => {
                self.away_since = None;
                self.counted += 1;
                self.max_retries
                    .is_none_or(|most| self.counted <= most)
                    .then_some(jittered)
            }
        }
    }

    /// The error to end the call with.
    pub(super) fn into_error(self, failure: Failure, model: &ModelId) -> Error {
        let (model, attempts) = (model.clone(), self.attempts);
        match failure {
            Failure::Late => Error::Deadline { model, attempts },
            Failure::Exhausted(message) => Error::Exhausted {
                model,
                attempts,
                message,
            },
            Failure::Unavailable(message) => {
                let waited = self
                    .away_since
                    .map_or(Duration::ZERO, |since| since.elapsed());
                Error::Unavailable {
                    model,
                    waited,
                    message,
                }
            }
            Failure::Final(Code::NotFound, message) => Error::ModelMissing { model, message },
            Failure::Final(code, message) => Error::Refused {
                model,
                code,
                message,
            },
        }
    }

    /// For how long the server has been away.
    fn away(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.away_since.get_or_insert(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(max_retries: Option<u32>, patience: Option<u64>) -> Retry {
        let patience = patience.map(Duration::from_secs);
        let backoff = Duration::from_secs(3);
        Retry {
            max_retries,
            patience,
            backoff,
            counted: 0,
            attempts: 0,
            away_since: None,
        }
    }

    fn away() -> Failure {
        Failure::Unavailable("gone".to_owned())
    }

    #[test]
    fn five_retries_are_six_attempts() {
        for failure in [Failure::Late, Failure::Exhausted(String::new())] {
            let mut retry = retry(Some(5), None);
            let pauses = (0..100)
                .take_while(|_| retry.pause(&failure, Instant::now()).is_some())
                .count();
            assert_eq!((pauses, retry.attempts), (5, 6));
        }
    }

    #[test]
    fn without_a_limit_it_goes_on() {
        let mut retry = retry(None, None);
        assert!((0..1000).all(|_| retry.pause(&Failure::Late, Instant::now()).is_some()));
    }

    #[test]
    fn an_absent_server_is_waited_for_without_counting() {
        let mut retry = retry(Some(1), Some(60));
        let start = Instant::now();
        assert!((0..60).all(|second| {
            retry
                .pause(&away(), start + Duration::from_secs(second))
                .is_some()
        }));
        assert_eq!(retry.pause(&away(), start + Duration::from_secs(60)), None);
        assert_eq!(retry.counted, 0);
    }

    #[test]
    fn a_server_that_answers_in_between_is_not_absent() {
        let mut retry = retry(Some(5), Some(60));
        let start = Instant::now();
        retry.pause(&away(), start);
        retry.pause(&Failure::Late, start + Duration::from_secs(50));
        assert!(
            retry
                .pause(&away(), start + Duration::from_secs(100))
                .is_some()
        );
    }

    #[test]
    fn the_last_pause_ends_with_patience() {
        let mut retry = retry(None, Some(1));
        assert!(
            retry
                .pause(&away(), Instant::now())
                .is_some_and(|pause| pause <= Duration::from_secs(1))
        );
    }

    #[test]
    fn pauses_vary_around_the_backoff() {
        let mut retry = retry(None, None);
        let pauses: Vec<_> = (0..100)
            .filter_map(|_| retry.pause(&away(), Instant::now()))
            .collect();
        assert!(
            pauses
                .iter()
                .all(|pause| (1.5..=4.5).contains(&pause.as_secs_f64()))
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }

    #[test]
    fn the_servers_words_are_told_from_a_broken_line() {
        let model = ModelId::new("m", 1);
        let ends = |status: Status| retry(None, None).into_error(status.into(), &model);
        assert!(matches!(
            ends(Status::not_found("no m")),
            Error::ModelMissing { .. }
        ));
        assert!(matches!(
            ends(Status::invalid_argument("shape")),
            Error::Refused {
                code: Code::InvalidArgument,
                ..
            }
        ));
        assert!(matches!(
            ends(Status::deadline_exceeded("")),
            Error::Deadline { .. }
        ));
        assert!(matches!(
            ends(Status::resource_exhausted("")),
            Error::Exhausted { .. }
        ));
        assert!(matches!(
            ends(Status::unavailable("")),
            Error::Unavailable { .. }
        ));
        assert!(matches!(
            ends(Status::unknown("a bug of the server")),
            Error::Refused { .. }
        ));
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(
            ends(Status::from_error(Box::new(reset))),
            Error::Unavailable { .. }
        ));
    }
}
