//! When a transfer is tried again, and when it is given up.
//!
//! The schedule is the predecessor's on Google, for every store: a transient failure is repeated after
//! min(2ⁿ + r, cap) seconds, r uniform in 0 … 1. Dropping the future ends it at once.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::field::{self, Empty};
use tracing::{Instrument as _, Span, info_span};

use super::error::{Error, Failure};
use super::metrics::StorageMetrics;
use super::object::Object;
use super::provider::Bucket;
use crate::backoff::{Backoff, Jitter};
use crate::traces;

/// How long a store that does not answer is asked again.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    /// Longest delay.
    pub(super) max_backoff: Duration,
    /// No attempt starts later than this after the first; `None` tries forever.
    pub(super) limit: Option<Duration>,
    /// Counts the attempts.
    pub(super) metrics: StorageMetrics,
}

impl Retry {
    /// Calls `attempt` until it succeeds, fails permanently, or the time is over.
    pub(super) async fn run<T, F, A>(&self, object: &Object, mut attempt: F) -> Result<T, Error>
    where
        F: FnMut() -> A,
        A: Future<Output = Result<T, Failure>>,
    {
        let start = Instant::now();
        let mut retries = 0_u32;
        loop {
            let span = span(object);
            let answer = attempt().instrument(span.clone()).await;
            if answer.is_err() {
                span.record("otel.status_code", "ERROR");
            }
            self.metrics.answered(object.direction, &answer);
            let reason = match answer {
                Ok(value) => return Ok(value),
                Err(Failure::Permanent(error)) => return Err(error),
                Err(Failure::Transient(reason)) => reason,
            };
            let delay = self.delay(retries);
            let elapsed = start.elapsed();
            if self.limit.is_some_and(|limit| elapsed + delay > limit) {
                return Err(object.unavailable(retries + 1, elapsed, reason));
            }
            tracing::warn!(
                storage.key = %object.path, storage.bucket = %object.bucket,
                attempt = retries + 1, delay_s = delay.as_secs_f64(), error = reason,
                "storage request failed; retrying"
            );
            sleep(delay).await;
            retries = retries.saturating_add(1);
        }
    }

    /// The delay before retry `retries` (from 0).
    fn delay(&self, retries: u32) -> Duration {
        Backoff {
            first: Duration::from_secs(1),
            cap: self.max_backoff,
            jitter: Jitter::Added(Duration::from_secs(1)),
        }
        .delay(retries)
    }
}

/// The span of one attempt; its attributes for S3 are those of the conventions.
fn span(object: &Object) -> Span {
    let (s3, other) = match &object.bucket {
        Bucket::S3(name) => (Some(name), None),
        bucket => (None, Some(bucket)),
    };
    info_span!(
        target: traces::TARGET,
        "transfer",
        otel.name = format!("storage {}", object.direction.word()),
        otel.kind = "client",
        aws.s3.bucket = s3,
        aws.s3.key = s3.map(|_| object.path.as_ref()),
        storage.bucket = other.map(field::display),
        storage.key = other.map(|_| object.path.as_ref()),
        otel.status_code = Empty,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::error::Direction;
    use object_store::path::Path;
    use std::cell::Cell;

    fn retry(max_backoff: Duration, limit: Option<Duration>) -> Retry {
        Retry {
            max_backoff,
            limit,
            metrics: StorageMetrics::new("s3"),
        }
    }

    fn quick() -> Retry {
        retry(Duration::from_millis(1), None)
    }

    fn object() -> Object {
        Object {
            path: Path::from("a"),
            bucket: Bucket::S3("b".to_owned()),
            direction: Direction::Read,
            sha256: None,
        }
    }

    #[tokio::test]
    async fn a_transient_failure_is_repeated_until_it_is_over() {
        let (object, attempts) = (object(), Cell::new(0));
        let retry = quick();
        let result = retry.run(&object, || async {
            attempts.set(attempts.get() + 1);
            if attempts.get() < 5 {
                Err(Failure::Transient("busy".to_owned()))
            } else {
                Ok(attempts.get())
            }
        });
        assert!(matches!(result.await, Ok(5)));
    }

    #[tokio::test]
    async fn a_permanent_failure_is_not_repeated() {
        let (object, attempts) = (object(), Cell::new(0));
        let retry = quick();
        let result = retry.run(&object, || async {
            attempts.set(attempts.get() + 1);
            Err::<(), _>(Failure::Permanent(object.not_found()))
        });
        assert!(matches!(result.await, Err(Error::NotFound { .. })));
        assert_eq!(attempts.get(), 1);
    }

    #[tokio::test]
    async fn an_attempt_that_would_start_after_the_limit_is_not_made() {
        let retry = retry(Duration::from_secs(60), Some(Duration::from_millis(900)));
        let result = retry
            .run(&object(), || async {
                Err::<(), _>(Failure::Transient("HTTP 503".to_owned()))
            })
            .await;
        let error = result.expect_err("the first delay is longer than the limit");
        assert!(
            matches!(error, Error::Unavailable { attempts: 1, .. }),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            "gave up on `a` in s3://b after 1 attempts in 0 s: HTTP 503"
        );
    }
}
